"""ONNX graphs, put together node by node from the weights of a model; no exporter of torch has a part in it.

Weights are float32, or uint8 around 128 with a scale for each output: then products are of integers where nothing but
a product reads the weights, and a runtime multiplies out the others when it loads.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from s2s.export.packed import quantized
from s2s.nn.layers import Embedding
from s2s.nn.recurrent import Recurrent
from s2s.translation.bundle import NEXT

FLOAT, INT32 = 1, 6
"""ONNX's numbers of types."""
ZERO = 128
"""What stands for 0 in uint8. Products with signed weights saturate on CPUs without VNNI."""
KINDS: dict[type[nn.RNNBase], str] = {nn.RNN: "RNN", nn.GRU: "GRU", nn.LSTM: "LSTM"}
ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""Places in torch's weights of the gates in ONNX's order."""

Array: TypeAlias = NDArray[Any]
Shapes: TypeAlias = dict[str, tuple[str | int, ...]]
"""Shapes of inputs or outputs by name; a dimension that is a text has any length."""


def array(weight: Tensor) -> Array:
    """The same numbers in NumPy."""
    numbers: Array = weight.detach().numpy()
    return numbers


def weights_of(layer: nn.Module) -> dict[str, Array]:
    """Weights of a layer by name."""
    return {name: array(weight) for name, weight in layer.named_parameters()}


class Graph:
    """A graph that grows; its values have the names that `node` gives."""

    def __init__(self, *, int8: bool) -> None:
        self.int8 = int8
        self.inputs: Shapes = {}
        self.outputs: Shapes = {}
        self.states: list[str] = []
        """inputs that a step gives back for the next one, as outputs whose names begin with NEXT"""
        self.nodes: list[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]] = []
        """operator, inputs, outputs and attributes of each"""
        self.constants: dict[tuple[np.dtype[Any], tuple[int, ...], bytes], str] = {}
        """type, shape and content, each once, with its name"""
        self._rounded: dict[str, list[str]] = {}

    def carry(self, name: str, *shape: str | int) -> None:
        """Name a state."""
        self.states.append(name)
        self.inputs[name] = self.outputs[NEXT + name] = shape

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The name of its only output, which may be given."""
        return self.several(operator, *inputs, outputs=[output or f"{operator}_{len(self.nodes)}"], **attributes)[0]

    def several(self, operator: str, *inputs: str, outputs: Sequence[str] | int, **attributes: Any) -> list[str]:
        """The names of its outputs, which are given or counted."""
        if isinstance(outputs, int):
            outputs = [f"{operator}_{len(self.nodes)}_{place}" for place in range(outputs)]
        self.nodes.append((operator, inputs, outputs, attributes))
        return [*outputs]

    def constant(self, numbers: Any, dtype: type[np.generic] = np.float32) -> str:
        """Its name."""
        made = np.array(numbers, dtype, order="C")
        return self.constants.setdefault((made.dtype, made.shape, made.tobytes()), f"constant_{len(self.constants)}")

    def reshaped(self, value: str, *shape: int) -> str:
        """0 keeps a dimension, -1 is what is left."""
        return self.node("Reshape", value, self.constant(shape, np.int64))

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Parts of (..., F), side by side."""
        if len(sizes) == 1:
            return [value]
        return self.several("Split", value, self.constant(sizes, np.int64), outputs=len(sizes), axis=-1)

    def rows(self, table: Array, tokens: str) -> str:
        """(V, F) and (...) -> (..., F)."""
        if not self.int8:
            return self.node("Gather", self.constant(table), tokens)
        rounded, scales = round_rows(table)
        rows = self.node("Gather", self.constant(rounded, np.uint8), tokens)
        return self._exact(rows, self.node("Gather", self.constant(scales), tokens))

    def weight(self, weight: Array) -> str:
        """(..., O, I) in float32."""
        if not self.int8:
            return self.constant(weight)
        rounded, scales = round_rows(weight)
        return self._exact(self.constant(rounded, np.uint8), self.constant(scales))

    def _exact(self, rounded: str, scales: str) -> str:
        exact = self.node("Cast", rounded, to=FLOAT)
        return self.node("Mul", self.node("Sub", exact, self.constant(ZERO)), scales)

    def linear(self, inputs: str, weight: Array, bias: Array | None = None, output: str | None = None) -> str:
        """(..., I) by (O, I) and (O,) -> (..., O)."""
        last = output if bias is None else None
        if self.int8:
            if inputs not in self._rounded:
                self._rounded[inputs] = self.several("DynamicQuantizeLinear", inputs, outputs=3)
            numbers, scale, zero = self._rounded[inputs]
            rounded, scales = round_rows(weight)
            own = self.constant(rounded.T, np.uint8), zero, self.constant(ZERO, np.uint8)
            product = self.node("Cast", self.node("MatMulInteger", numbers, *own), to=FLOAT)
            scale = self.node("Mul", scale, self.constant(scales[:, 0]))
            product = self.node("Mul", product, scale, output=last)
        else:
            product = self.node("MatMul", inputs, self.constant(weight.T), output=last)
        return product if bias is None else self.node("Add", product, self.constant(bias), output=output)

    def recurrent(
        self, inputs: str, stack: Recurrent, lengths: str, states: Sequence[Sequence[str]] | None = None
    ) -> tuple[str, list[list[str]]]:
        """(T, B, I), (B,), of each layer (h,) or (h, c), (D, B, H) each -> outputs (T, B, D x H) and the last states.

        As those of `Recurrent` are, zero beyond each length.
        """
        last = []
        for index, layer in enumerate(stack.layers):
            assert isinstance(layer, nn.RNNBase)
            kind, below, weights = KINDS[type(layer)], inputs, weights_of(layer)
            ends = ("_l0", "_l0_reverse")[: stack.directions]
            into, across, *biases = (
                np.stack([ordered(weights[name + end], kind) for end in ends])
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            begin = () if states is None else states[index]
            outputs, *after = self.several(
                kind, inputs, self.weight(into), self.weight(across), self.constant(np.hstack(biases)), lengths, *begin,
                outputs=3 if kind == "LSTM" else 2,
                hidden_size=layer.hidden_size,
                direction="bidirectional" if layer.bidirectional else "forward",
                **({"linear_before_reset": 1} if kind == "GRU" else {}),
            )  # fmt: skip
            inputs = self.reshaped(self.node("Transpose", outputs, perm=[0, 2, 1, 3]), 0, 0, -1)
            if index >= stack.residual_from:
                inputs = self.node("Add", inputs, below)
            last.append(after)
        return inputs, last

    def cell(self, gates: str, layer: nn.RNNBase, state: Sequence[str], after: Sequence[str]) -> str:
        """The inputs' share of the gates (..., G) and the state, (..., H) each -> the next state, named `after`."""
        weights, size = weights_of(layer), layer.hidden_size
        product = self.linear(state[0], weights["weight_hh_l0"], weights["bias_hh_l0"])
        if isinstance(layer, nn.GRU):
            (opened, candidate), (open_state, inner) = (self.split(each, [2 * size, size]) for each in (gates, product))
            reset, update = self.split(self.node("Sigmoid", self.node("Add", opened, open_state)), [size, size])
            candidate = self.node("Tanh", self.node("Add", candidate, self.node("Mul", reset, inner)))
            moved = self.node("Mul", update, self.node("Sub", state[0], candidate))
            return self.node("Add", candidate, moved, output=after[0])
        gates = self.node("Add", gates, product)
        if isinstance(layer, nn.RNN):
            return self.node("Tanh", gates, output=after[0])
        opened, candidate, give = self.split(gates, [2 * size, size, size])
        take, forget = self.split(self.node("Sigmoid", opened), [size, size])
        taken = self.node("Mul", take, self.node("Tanh", candidate))
        kept = self.node("Add", self.node("Mul", forget, state[1]), taken, output=after[1])
        return self.node("Mul", self.node("Sigmoid", give), self.node("Tanh", kept), output=after[0])


def vectors(embedding: Embedding) -> Array:
    """(V, E), as they are read out."""
    table: Array = array(embedding.weight) * np.float32(embedding.embedding_dim**0.5)
    return table


def ordered(weight: Array, kind: str) -> Array:
    """The gates of a weight or a bias in ONNX's order."""
    gates = np.split(weight, len(ORDER[kind]))
    return np.concatenate([gates[place] for place in ORDER[kind]])


def round_rows(weight: Array) -> tuple[Array, Array]:
    """(..., O, I) -> uint8 numbers around ZERO, and scales (..., O, 1) by which they are multiplied."""
    rounded, scales = quantized(weight)
    return rounded.astype(np.int16) + ZERO, scales[..., None]


def states_of(*stacks: Recurrent | None) -> list[list[tuple[str, int]]]:
    """Names and sizes of the states of each layer."""
    layers = [(layer, stack.output_size) for stack in stacks if stack is not None for layer in stack.layers]
    return [
        [(f"{kind}{index}", size) for kind in ("hc" if isinstance(layer, nn.LSTM) else "h")]
        for index, (layer, size) in enumerate(layers)
    ]


def over_rows(graph: Graph, read: str, stack: Recurrent, lengths: str) -> str:
    """(B, T, I) -> (T, B, H), with states (B, H)."""
    layers, first = states_of(stack), graph.constant([0], np.int64)
    begin = [[graph.node("Unsqueeze", name, first) for name, _ in named] for named in layers]
    hidden, last = graph.recurrent(graph.node("Transpose", read, perm=[1, 0, 2]), stack, lengths, begin)
    for (name, size), part in zip(chain(*layers), chain(*last), strict=True):
        graph.node("Squeeze", part, first, output=NEXT + name)
        graph.carry(name, "B", size)
    return hidden
