"""The textbook's way gives the numbers of the real one: it is slow, not other."""

import itertools

import pytest
import torch

from s2s.benchmark.limit import Products
from s2s.benchmark.textbook import Textbook
from s2s.text.batches import collate
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.recipe import Seq2SeqModel
from s2s.translation.search.beam import beam_search
from s2s.translation.search.hypotheses import SearchOptions
from s2s.translation.search.step import Stepper

CELLS = ("elman", "gru", "lstm")
PAIRS = ([[4, 5, 6, 7], [8, 4], [9]], [[6, 7], [4, 8, 9, 5, 5], [7, 7, 7]])


def build(cell: str, wiring: str, attention: str, feeding: bool) -> Seq2Seq:
    torch.manual_seed(3)
    settings = Seq2SeqModel.model_validate(
        {"cell": cell, "wiring": wiring, "attention": attention, "input_feeding": feeding, "embedding_size": 5}
        | {"hidden_size": 6, "encoder_layers": 2, "decoder_layers": 2}
    )
    return build_seq2seq(settings, source_vocabulary=10, target_vocabulary=10)


@pytest.mark.parametrize(
    ("cell", "wiring", "attention", "feeding"),
    list(itertools.product(CELLS, ("luong", "gnmt"), ("general", "concat", "none"), (False, True))),
)
def test_loss_gradients_and_greedy_search_are_the_same(cell: str, wiring: str, attention: str, feeding: bool) -> None:
    model = build(cell, wiring, attention, feeding)
    batch = collate(*PAIRS)
    arguments = batch.source, batch.source_lengths, batch.inputs, batch.targets
    own = model.loss(*arguments, target_lengths=batch.target_lengths, smoothing=0.1)
    mean = own.smoothed / own.tokens
    textbook = Textbook(model).loss(*arguments, 0.1)
    torch.testing.assert_close(textbook, mean)
    weights = list(model.parameters())
    for one, other in zip(torch.autograd.grad(mean, weights), torch.autograd.grad(textbook, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    stepper, options = Stepper(model.eval()), SearchOptions(forbidden=(PAD, START, UNKNOWN))
    with torch.inference_mode():
        for row in PAIRS[0]:
            source, lengths = torch.tensor([[*row, END]]), torch.tensor([len(row) + 1])
            begin = stepper.begin(source, lengths)
            [[found]] = beam_search(stepper, begin, options, beam=1, max_lengths=torch.tensor([9]))
            assert Textbook(model).eval().greedy([*row, END], 9) == found.tokens


@pytest.mark.parametrize("cell", CELLS)
def test_the_products_of_a_step_are_its_weights_times_positions(cell: str) -> None:
    """Each weight matrix once for each position that it is applied to, two products of the attention; and gradients."""
    model = build(cell, "gnmt", "general", False)
    rows, source, target = 16, 4, 8  # positions in a multiple of 64, as rows are filled up to one
    expected = 0
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and name != "encoder.embedding.weight":
            positions = source if name.startswith("encoder") or "attention.key" in name else target
            positions = 1 if "bridge" in name else positions
            expected += rows * positions * weight.numel()
    expected += rows * target * source * (6 + 6)
    batch = collate([[4] * (source - 1)] * rows, [[5] * (target - 1)] * rows)
    arguments = batch.source, batch.source_lengths, batch.inputs, batch.targets
    with Products() as products:
        loss = model.loss(*arguments, target_lengths=batch.target_lengths)
        loss.smoothed.backward()  # type: ignore[no-untyped-call]
    found = sum(times * product.multiply_adds for product, times in products.found.items())
    assert found == 3 * expected
