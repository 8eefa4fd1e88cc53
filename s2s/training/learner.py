"""What a training changes and its run keeps: the weights and their averages, the optimizer, and the progress."""

import logging
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from s2s.errors import RunError
from s2s.nn.weights import load_tensors, put_weights, save_tensors, weights_of
from s2s.recipe.sections import Optimization
from s2s.run import RunFolder
from s2s.training.checkpoint import (
    Checkpoint,
    Progress,
    average,
    load_checkpoint,
    put_state,
    require_file,
    save_checkpoint,
    state_of,
    under,
)
from s2s.training.optimizer import build_optimizer, share_of_new

log = logging.getLogger("s2s")


class Learner:
    """A model with its optimizer, its averaged weights and its progress; a checkpoint has all of it."""

    def __init__(self, model: nn.Module, settings: Optimization, run: RunFolder, products: torch.dtype) -> None:
        """`products` is the type of matrix products in training."""
        self.model, self.settings, self.run, self._products = model, settings, run, products
        self.progress = Progress(restarts=settings.restarts)
        self.optimizer = build_optimizer(model, settings, products)
        averages = settings.moving_average or settings.optimizer == "asgd"
        self.moving = {name: weight.clone() for name, weight in weights_of(model).items()} if averages else None
        """the average over the steps"""
        self.averaged: list[str] = []
        """names of the files of the last validations' weights, where their mean is asked for"""
        self.known_rows: int | None = None
        """lines of metrics.jsonl that the checkpoint knows; None for one of an early version"""

    def step(self) -> None:
        """One update of the weights from their gradients, and of the average over the steps."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        if self.moving is not None:
            share = share_of_new(self.settings, self.progress.step, self.progress.averaged_from)
            for name, weight in weights_of(self.model).items():
                self.moving[name].lerp_(weight, share)

    def weights(self) -> dict[str, Tensor]:
        """The weights to validate: the average over the steps, where there is one."""
        return weights_of(self.model) if self.moving is None else self.moving

    def keep_for_average(self, *, writes: bool) -> None:
        """Keep the weights of a validation for the mean of the last ones; one process `writes` them."""
        name = f"validated-{self.progress.step}.safetensors"
        if writes:
            save_tensors(self.run.last / name, self.weights())
        self.averaged = [*self.averaged, name][-self.settings.average_last :]

    def take_average(self) -> tuple[dict[str, Tensor], int]:
        """The mean of the weights that were kept for it, which are kept no longer, and their number."""
        names, self.averaged = self.averaged, []
        return average([load_tensors(self.run.last / name) for name in names]), len(names)

    def save(self, carried: Mapping[str, Tensor]) -> None:
        """Write `last/`, with what the task carries from batch to batch."""
        tensors = state_of(self.model, self.optimizer)
        tensors.update({f"moving.{name}": weight for name, weight in (self.moving or {}).items()})
        tensors.update({f"carried.{name}": tensor for name, tensor in carried.items()})
        save_checkpoint(self.run.last, Checkpoint(tensors, asdict(self.progress), self.averaged))

    def take_up(self) -> dict[str, Tensor] | None:
        """Take up the last checkpoint, and give what the task carried; None where there is no checkpoint.

        RunError for one that is damaged, of another model, or of more restarts than the settings have.
        """
        checkpoint = load_checkpoint(self.run.last)
        if checkpoint is None:
            return None
        self.known_rows, origin = checkpoint.progress.get("metrics_rows"), str(self.run.last)
        try:
            self.progress = Progress(**checkpoint.progress)
        except TypeError:
            raise RunError(f"{origin}: damaged, checkpoint.json does not say where the training stands") from None
        put_state(self.model, self.optimizer, checkpoint.tensors, origin=origin)
        if self.moving is not None:
            # an average that begins now, begins from the weights of now
            moving = under("moving.", checkpoint.tensors) or under("model.", checkpoint.tensors)
            for name, weight in moving.items():
                self.moving[name].copy_(weight)
        if self.progress.best is not None:
            load_tensors(self.run.require_best())  # damaged ones are to be known before hours of training
        self.averaged = checkpoint.averaged
        for name in self.averaged:
            require_file(self.run.last / name)
        if self.settings.restarts < self.progress.restarts:
            raise RunError(
                f"training.restarts: the run has had {self.progress.restarts} (given {self.settings.restarts});"
                " give every KEY=VALUE that it went on with"
            )
        return under("carried.", checkpoint.tensors)

    def restart(self) -> None:
        """Go back to the best weights, with a new optimizer and a new curve of the learning rate."""
        best = load_tensors(self.run.require_best())
        put_weights(self.model, best, origin=str(self.run.best))
        for name, weight in (self.moving or {}).items():
            weight.copy_(best[name])
        self.optimizer = build_optimizer(self.model, self.settings, self._products)
        progress = self.progress
        progress.restarts, progress.curve_start = self.settings.restarts, progress.step
        progress.halvings = progress.since_halving = progress.validations_without_better = 0
        progress.validated, progress.averaged_from = [], None
        log.info("the weights of step %s, the best, go on with a new optimizer", f"{progress.best_step:,}")
