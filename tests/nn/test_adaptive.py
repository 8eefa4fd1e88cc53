"""A vocabulary in clusters is one distribution over all tokens, and its loss is that distribution's."""

import pytest
import torch
from torch import Tensor, nn

from s2s.nn import loss as loss_module
from s2s.nn.adaptive import AdaptiveVocabulary
from s2s.nn.recurrent import initialize

CUTOFFS = {"derived": (), "one": (4,), "three": (1, 5, 40), "beyond": (3, 50, 90)}


def vocabulary(cutoffs: tuple[int, ...], size: int = 50) -> AdaptiveVocabulary:
    torch.manual_seed(4)
    made = AdaptiveVocabulary(size, 20, 9, cutoffs).double()
    for weight in made.parameters():
        nn.init.normal_(weight)
    return made


@pytest.fixture
def readout() -> Tensor:
    return torch.randn(33, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.fixture
def targets() -> Tensor:
    return torch.randint(50, (33,), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("cutoffs", CUTOFFS.values(), ids=CUTOFFS)
def test_probabilities_of_all_tokens_sum_to_one(cutoffs: tuple[int, ...], readout: Tensor) -> None:
    logged = vocabulary(cutoffs).log_probabilities(readout.view(3, 11, 9))
    assert logged.shape == (3, 11, 50)
    torch.testing.assert_close(logged.exp().sum(dim=-1), torch.ones(3, 11, dtype=torch.float64))


@pytest.mark.parametrize("cutoffs", CUTOFFS.values(), ids=CUTOFFS)
def test_the_loss_is_that_of_the_whole_distribution(cutoffs: tuple[int, ...], readout: Tensor, targets: Tensor) -> None:
    made = vocabulary(cutoffs)
    leaves = [readout, *(weight for name, weight in made.named_parameters() if not name.startswith("read"))]
    loss = made.loss(readout, targets)
    expected = -made.log_probabilities(readout).gather(1, targets[:, None]).sum()
    torch.testing.assert_close(loss.smoothed, expected)
    torch.testing.assert_close(loss.nats, expected.detach())
    assert loss.tokens == len(targets)
    wanted = torch.autograd.grad(expected, leaves)
    for one, other in zip(torch.autograd.grad(loss.smoothed, leaves), wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("cutoffs", CUTOFFS.values(), ids=CUTOFFS)
def test_scores_that_skip_clusters_are_those_of_the_whole_distribution(
    cutoffs: tuple[int, ...], readout: Tensor, targets: Tensor
) -> None:
    made = vocabulary(cutoffs)
    own, likeliest, highest = made.scored(readout, targets)
    logged = made.log_probabilities(readout)
    torch.testing.assert_close(highest, logged.max(dim=1).values)
    torch.testing.assert_close(own, logged.gather(1, targets[:, None])[:, 0])
    assert torch.equal(likeliest, logged.argmax(dim=1))
    assert len({sum(token >= bound for bound in made.bounds) for token in likeliest.tolist()}) > 1  # not the head alone


def test_what_is_read_is_a_row_of_each_token_alone_and_every_weight_has_a_gradient(targets: Tensor) -> None:
    made = vocabulary(())
    matrix = torch.cat([made(torch.tensor([token])) for token in range(50)])
    torch.testing.assert_close(made(targets.view(3, 11)), matrix[targets].view(3, 11, 20))
    first = torch.zeros(4, dtype=torch.int64)  # only the first cluster has tokens
    (made(first).sum() + made.loss(torch.ones(4, 9, dtype=torch.float64), first).smoothed).backward()
    assert all(weight.grad is not None for weight in made.parameters())


def test_derived_clusters_are_powers_of_the_vocabulary_and_rare_tokens_have_few_units() -> None:
    with torch.device("meta"):
        made = AdaptiveVocabulary(300_000, 128, 256)
    assert made.bounds == (0, 4481, 36666, 300_000)
    assert [table.embedding_dim for table in made.tables] == [128, 32, 16]
    assert sum(weight.numel() for weight in made.parameters()) < 300_000 * 128 / 6
    with torch.device("meta"):
        assert AdaptiveVocabulary(2, 8, 8).bounds == (0, 1, 2)


def test_no_logits_of_all_positions_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor made has fewer numbers than positions times tokens, many times over."""
    largest = 0

    class Watched(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore
            nonlocal largest
            found = function(*args, **(kwargs or {}))
            for each in found if isinstance(found, tuple | list) else [found]:
                largest = max(largest, each.numel() if isinstance(each, Tensor) else 0)
            return found

    monkeypatch.setattr(loss_module, "LARGEST_GRADIENT", 1 << 15)
    made = AdaptiveVocabulary(3000, 16, 8)
    initialize(made, "orthogonal")
    readout, targets = torch.randn(2000, 8, requires_grad=True), torch.randint(3000, (2000,))
    with Watched():  # type: ignore[no-untyped-call]
        made.loss(readout, targets).smoothed.backward()  # type: ignore[no-untyped-call]
    assert largest < 2000 * 3000 / 20
