"""The tasks of a trainer."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from s2s.nn.loss import Loss

BatchT = TypeVar("BatchT")


class Task(Protocol[BatchT]):
    """A task of a trainer; without methods of its own for `kept` and `carried`, its batches are independent."""

    model: nn.Module
    """the weights to train"""

    def path(self) -> str:
        """Description of a batch and of how it is computed, for people."""

    def batches_in_epoch(self, epoch: int) -> int:
        """Batches of an epoch, which counts from 0."""

    def batches(self, epoch: int, skip: int) -> Iterator[BatchT]:
        """The batches of an epoch in their order, without the first `skip`."""

    def tokens(self, batch: BatchT) -> int:
        """Target tokens that the loss of a batch is summed over."""

    def rows(self, batch: BatchT) -> int:
        """Rows of a batch, which several processes share."""

    def part(self, batch: BatchT, taken: slice) -> BatchT:
        """Some rows of a batch."""

    def loss(self, batch: BatchT, step: int) -> Loss:
        """The summed loss of a batch at an optimizer step."""

    def rates(self, step: int) -> Mapping[str, float]:
        """Scheduled values for the log, by name."""
        return {}

    def validate(self) -> Mapping[str, Any]:
        """Scores of the model's present weights on validation data, by name; must draw no random numbers.

        The recipe's metric is a number; of the others one that cannot tell is None. Under `also`, where the recipe
        has data.also_validate, are those of each set there.
        """

    def guessed_loss(self) -> float:
        """Loss of a token in nats of a model that has learned nothing; infinite where there is no such number."""
        return math.inf

    def diverged_loss(self) -> float:
        """Loss of a token that only a training reaches, on average, whose weights have grown without bound."""
        return 10 * self.guessed_loss()

    def kept(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The part to keep of the weights that were validated last, when they are the best: all."""
        return weights

    def carried(self) -> dict[str, Tensor]:
        """State carried from one batch to the next, of all processes, saved with a checkpoint: nothing."""
        return {}

    def put_carried(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `carried` gave."""
        assert not tensors, "a task that carries something restores it"
