#!/usr/bin/env bash
# A function marked with torch's once_differentiable loses a gradient penalty without an error.
#
# Expected: the mark refuses every second derivative: a loss to which the squared norm of its own gradient is added
# (create_graph=True) raises as soon as the penalty is differentiated.
# Version: torch 2.13.0 on a CPU.
# Seen: it raises only where the incoming gradient itself requires one. With the function's value as the loss, or the
# value times a number, the first gradient comes back without a graph, and the penalty adds nothing to the second:
# 2 x is found where 2 x + 8 x is right. The square of the value is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys

import torch
from torch.autograd.function import once_differentiable


class Squares(torch.autograd.Function):
    """The sum of squares."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.square().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return 2 * gradient * values


def with_penalty(squares, outer):
    """Gradient at 3 of a loss and the square of its own gradient, or what is raised."""
    values = torch.tensor([3.0], requires_grad=True)
    loss = outer(squares(values))
    (first,) = torch.autograd.grad(loss, values, create_graph=True)
    try:
        (loss + first.square().sum()).backward()
    except RuntimeError as problem:
        return type(problem).__name__
    return float(values.grad)


outers = {"value": lambda value: value, "half": lambda value: value / 2, "square": lambda value: value * value}
right = {name: with_penalty(lambda values: values.square().sum(), outer) for name, outer in outers.items()}
found = {name: with_penalty(Squares.apply, outer) for name, outer in outers.items()}
print("right:", right)
print("found:", found)
if found != {"value": 6.0, "half": 3.0, "square": "RuntimeError"} or right["value"] != 30.0 or right["half"] != 9.0:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
