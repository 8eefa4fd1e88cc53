"""Muon: orthogonalised momentum for the matrices, AdamW for the rest (Jordan et al. 2024)."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

QUINTICS = ((7.9347, -22.258, 15.8016), (3.5653, -2.5649, 0.4859), (2.6613, -1.9772, 0.4526))
"""Coefficients of a x + b x^3 + c x^5 in each round: those that bring singular values from 0.01 to 1 nearest to 1, to
0.73 to 1.27 (Amsel et al. 2025). All but the last are of x / 1.02, for the first doubles what rounding adds to 1."""
MOMENTUM = 0.95
LENGTH = 0.27
"""Root mean square of an update, as a share of the learning rate; that of AdamW is some 0.2 to 0.4."""
OUTPUTS = ("output", "head", "linear")
"""Names of the layers whose rows are tokens, or values that are forecast."""


class Muon(torch.optim.AdamW):
    """AdamW, but for matrices the orthogonal matrix nearest to their Nesterov momentum, each gate by itself.

    Embeddings and output layers, whose rows are tokens or values, stay with AdamW, as biases do.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float, products: torch.dtype) -> None:
        """`products` is the type in which matrices are made orthogonal."""
        super().__init__(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        self.products = products
        self.gates = gates_of(model)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        assert closure is None
        group = self.param_groups[0]
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for weight, gates in self.gates.items():
            if weight.grad is None:
                continue
            gradient, weight.grad = weight.grad, None  # so that AdamW passes it over
            state = self.state[weight]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
            for gate, ahead in zip(weight.chunk(gates), gradient.lerp_(momentum, MOMENTUM).chunk(gates), strict=True):
                wide = (gate, ahead) if gate.shape[0] <= gate.shape[1] else (gate.T, ahead.T)
                alike[tuple(wide[0].shape)].append(wide)
        super().step()
        for pairs in alike.values():
            updates = orthogonalized(torch.stack([ahead for _, ahead in pairs]).to(self.products))
            for (gate, _), update in zip(pairs, updates, strict=True):
                gate.mul_(1 - group["lr"] * group["weight_decay"])
                gate.add_(update, alpha=-group["lr"] * LENGTH * max(gate.shape) ** 0.5)


def gates_of(model: nn.Module) -> dict[nn.Parameter, int]:
    """Matrices that are not embeddings or output layers, and how many gates stand in each."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) or path.rpartition(".")[2] in OUTPUTS:
            continue
        for weight in module.parameters(recurse=False):
            if weight.dim() == 2:
                found[weight] = weight.shape[0] // module.hidden_size if isinstance(module, nn.RNNBase) else 1
    return found


def orthogonalized(matrices: Tensor) -> Tensor:
    """(N, m, n), m at most n -> the same with singular values of about 1, by Newton-Schulz iterations.

    They begin with the Schatten 4-norm at 1, which the first product gives and which is nearer to the largest singular
    value than Frobenius' norm: two rounds fewer do.
    """
    found: Tensor = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min_(1e-7)
    for number, (a, b, c) in enumerate(QUINTICS):
        square = found @ found.mT
        if number == 0:
            above = square.norm(dim=(1, 2), keepdim=True).clamp_min_(1e-7)
            found, square = found / above.sqrt(), square / above
        found = torch.baddbmm(found, torch.baddbmm(square, square, square, beta=b, alpha=c), found, beta=a)
    return found
