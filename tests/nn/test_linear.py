"""A linear layer over padded rows is the layer itself: values, gradients, and nothing from the padding."""

import pytest
import torch
from torch import Tensor, nn

from s2s.nn.linear import WHOLE, linear


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


def test_in_float32_the_layer_itself_is_called() -> None:
    layer, inputs = nn.Linear(4, 3), torch.randn(6, 5, 4)
    assert torch.equal(linear(layer, inputs), layer(inputs))
