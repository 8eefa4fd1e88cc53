"""Between recurrent layers: embeddings, a linear layer over padded rows (which is the layer itself), dropout masks."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s.nn.decoder import DecoderMasks
from s2s.nn.layers import WHOLE, Dropout, Embedding, dropout_mask, linear, padded

LIKE = torch.zeros(1)


def test_a_token_reads_its_row_times_the_root_of_the_units() -> None:
    embedding = Embedding(7, 9)
    tokens = torch.tensor([[0, 6, 3], [3, 3, 1]])
    torch.testing.assert_close(embedding(tokens), embedding.weight[tokens] * 3.0)


def test_the_gradient_of_a_row_is_scaled_alike_and_counts_each_use() -> None:
    embedding = Embedding(4, 16)
    embedding(torch.tensor([2, 2, 1])).sum().backward()  # type: ignore[no-untyped-call]
    assert embedding.weight.grad is not None
    assert embedding.weight.grad[:, 0].tolist() == [0.0, 4.0, 8.0, 0.0]


@torch.no_grad()
def test_weights_of_deviation_one_over_root_e_are_read_out_unit_sized() -> None:
    torch.manual_seed(1)
    embedding = Embedding(400, 64)
    torch.nn.init.normal_(embedding.weight, std=1 / math.sqrt(64))
    assert abs(float(embedding(torch.arange(400)).std()) - 1.0) < 0.02


def values_and_gradients(layer: nn.Linear, inputs: Tensor, *, rows_padded: bool) -> list[Tensor]:
    layer.zero_grad()
    inputs = inputs.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = linear(layer, inputs) if rows_padded else layer(inputs)
    outputs.backward(torch.linspace(-1.0, 1.0, outputs.numel()).view(outputs.shape).to(outputs.dtype))  # type: ignore[no-untyped-call]
    return [outputs.detach(), *(part.grad for part in (inputs, *layer.parameters()) if part.grad is not None)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (8, 8), (8, 16), (5, 13)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_the_layers_own(bias: bool, shape: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(12, 7, bias=bias)
    inputs = torch.randn(*shape, 12, dtype=dtype)
    expected = values_and_gradients(layer, inputs, rows_padded=False)
    found = values_and_gradients(layer, inputs, rows_padded=True)
    assert len(found) == len(expected) == 3 + bias
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


def test_products_see_few_numbers_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    product = nn.functional.linear

    def spy(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        seen.add(len(rows))
        return product(rows, weight, bias)

    monkeypatch.setattr(nn.functional, "linear", spy)
    layer = nn.Linear(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        for steps in range(2, 40):
            linear(layer, torch.ones(6, steps, 4))
    assert seen == {WHOLE, 2 * WHOLE, 3 * WHOLE, 4 * WHOLE}


@pytest.mark.parametrize("octave", [512, 1024, 2048, 4096])
def test_products_of_many_rows_see_eight_numbers_an_octave_and_few_rows_in_vain(octave: int) -> None:
    counts = range(octave, 2 * octave)
    rounded = [len(padded(torch.ones(count, 1), torch.float32)) for count in counts]
    assert len(set(rounded)) == 9  # the next octave's first is one of them
    assert all(count <= more < count * 1.125 for count, more in zip(counts, rounded, strict=True))


def test_in_float32_the_layer_itself_is_called() -> None:
    layer, inputs = nn.Linear(4, 3), torch.randn(6, 5, 4)
    assert torch.equal(linear(layer, inputs), layer(inputs))


@pytest.mark.parametrize("of", [lambda outputs: outputs, lambda outputs: outputs / 5, lambda outputs: outputs.square()])
def test_a_second_derivative_through_the_padded_layer_is_refused(of: Callable[[Tensor], Tensor]) -> None:
    layer, inputs = nn.Linear(4, 3), torch.randn(2, 5, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = linear(layer, inputs)
    torch.autograd.grad(of(outputs).sum(), inputs, retain_graph=True)
    with pytest.raises(RuntimeError, match=r"linear has no second derivative .* torch.nn.functional.linear"):
        torch.autograd.grad(of(outputs).sum(), inputs, create_graph=True)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 0.95), st.integers(0, 2**31))
def test_a_mask_drops_the_asked_share_and_scales_the_rest(probability: float, seed: int) -> None:
    torch.manual_seed(seed)
    count = 40_000
    mask = dropout_mask(LIKE, probability, shape=(100, 400))
    kept = 1 / (1 - probability)
    assert torch.logical_or(mask == 0, torch.isclose(mask, torch.tensor(kept), rtol=1e-6)).all()
    dropped = int((mask == 0).sum())
    deviation = math.sqrt(count * probability * (1 - probability))
    # 1 / 65536 is the grain of the probability; six deviations are passed once in a billion
    assert abs(dropped - count * probability) <= 6 * deviation + count / 65536 + 1


def test_even_the_highest_probability_drops_nearly_all() -> None:
    torch.manual_seed(1)
    assert int((dropout_mask(LIKE, 1 - 1e-7, shape=(10_000,)) != 0).sum()) < 10


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (5, 1, 7), (0, 4)])
def test_a_mask_has_the_shape_and_type_asked_for(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        mask = dropout_mask(LIKE.to(dtype), 0.5, shape=shape)
        assert mask.shape == shape
        assert mask.dtype == dtype


def test_samples_are_independent_of_their_neighbours() -> None:
    """Four samples come from one random number: none may predict the next."""
    torch.manual_seed(1)
    kept = (dropout_mask(LIKE, 0.5, shape=(40_000,)) != 0).float() - 0.5
    for distance in range(1, 9):
        product = float((kept[:-distance] * kept[distance:]).mean()) / 0.25
        assert abs(product) < 6 / math.sqrt(40_000 - distance)


def test_the_same_seed_samples_the_same_masks_and_another_does_not() -> None:
    def sampled(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout_mask(LIKE, 0.3, shape=(50, 50))

    assert torch.equal(sampled(7), sampled(7))
    assert not torch.equal(sampled(7), sampled(8))


def test_a_probability_of_zero_samples_nothing() -> None:
    before = torch.get_rng_state()
    assert Dropout().mask(torch.zeros(2, 3), 0.0, 4, steps=5) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_variational_mask_is_one_sample_for_all_steps() -> None:
    like = torch.zeros(4, 9, 8)
    each = Dropout(variational=False).mask(like, 0.5, 8, steps=9)
    once = Dropout(variational=True).mask(like, 0.5, 8, steps=9)
    assert each is not None
    assert once is not None
    assert each.shape == (4, 9, 8)
    assert once.shape == (4, 1, 8)
    masks = DecoderMasks(embedding=once, layers=(each, once))
    for step in range(9):
        embedding, words, (between, above), readout = masks.at(step)
        assert embedding is above is once
        assert torch.equal(between, each[:, step : step + 1])
        assert words is readout is None


def test_word_dropout_takes_whole_tokens_each_by_its_own_sample_even_when_variational() -> None:
    torch.manual_seed(1)
    embedded = torch.ones(50, 40, 6)
    out = Dropout(words=0.25, variational=True).on_embedded(embedded, training=True)
    present = out != 0
    assert torch.equal(present.all(dim=2), present.any(dim=2))
    words = present.any(dim=2).float()
    assert abs(float(words.mean()) - 0.75) < 6 * math.sqrt(0.25 * 0.75 / 2000)
    assert (words.mean(dim=1) < 1).sum() > 40, "a word is sampled for each position, not once for the sentence"
    torch.testing.assert_close(out[present], torch.full_like(out[present], 1 / 0.75))


def test_unit_dropout_on_embedded_tokens_leaves_no_token_whole_or_empty() -> None:
    torch.manual_seed(1)
    out = Dropout(embedding=0.5).on_embedded(torch.ones(5, 7, 64), training=True)
    share = (out != 0).float().mean(dim=2)
    assert (share > 0.1).all()
    assert (share < 0.9).all()


def test_out_of_training_it_is_the_identity_and_samples_nothing() -> None:
    embedded = torch.randn(3, 4, 5)
    before = torch.get_rng_state()
    assert Dropout(embedding=0.9, words=0.9).on_embedded(embedded, training=False) is embedded
    assert torch.equal(torch.get_rng_state(), before)
