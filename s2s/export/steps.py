"""The graphs of each task: a translator's encoder and step, and the steps of language models and forecasters.

Shapes are batch first. States are carried by name: an input `h0` of one step is the output `next_h0` of the last.
"""

from typing import NamedTuple

import numpy as np
import onnx
from torch import nn

from s2s.export.graph import Array, Graph, Shapes, array, vectors, weights_of
from s2s.forecast.model import SMALLEST_FREEDOM, SMALLEST_SCALE, Forecaster
from s2s.language.model import LanguageModel
from s2s.nn.attention import Attention
from s2s.nn.decoder import Decoder
from s2s.nn.recurrent import Recurrent
from s2s.translation.bundle import NEXT
from s2s.translation.model import Seq2Seq

LARGEST_TABLE = 1 << 23
"""Numbers at most of a table of tokens' products with a first layer, with int8 weights."""


class Part(NamedTuple):
    """A graph with its inputs and outputs."""

    model: onnx.ModelProto
    inputs: Shapes
    outputs: Shapes
    states: tuple[str, ...] = ()
    """Inputs that a step gives back for the next one, as outputs whose names begin with NEXT."""


def _states(*stacks: Recurrent | None) -> list[list[tuple[str, int]]]:
    """Names and sizes of the states of each layer."""
    layers = [(layer, stack.output_size) for stack in stacks if stack is not None for layer in stack.layers]
    return [
        [(f"{kind}{index}", size) for kind in ("hc" if isinstance(layer, nn.LSTM) else "h")]
        for index, (layer, size) in enumerate(layers)
    ]


def encoder(model: Seq2Seq, *, int8: bool) -> Part:
    """Tokens (B, S) and lengths (B,) -> the memory of an attention, if any, and the first state of the step."""
    graph, decoder = Graph(int8=int8), model.decoder
    embedded = graph.node("Transpose", graph.rows(vectors(model.encoder.embedding), "tokens"), perm=[1, 0, 2])
    lengths = graph.node("Cast", "lengths", to=onnx.TensorProto.INT32)
    values, last = graph.recurrent(embedded, model.encoder.recurrent, lengths)
    inputs: Shapes = {"tokens": ("B", "S"), "lengths": ("B",)}
    outputs: Shapes = {}
    if decoder.attention is not None:
        values = graph.node("Transpose", values, perm=[1, 0, 2])
        outputs |= _memory(graph, model, values)
    bridge, states = decoder.bridge, _states(decoder.asking, decoder.above)
    for index, named in enumerate(states):
        for part, (name, size) in enumerate(named):
            if bridge.kind == "zeros":
                _zeros(graph, size, name)
            else:
                layer = min(max(len(last) - bridge.layers, 0) + index, len(last) - 1)
                row = graph.reshaped(graph.node("Transpose", last[layer][part], perm=[1, 0, 2]), 0, 1, -1)
                if bridge.kind == "learned":
                    project = weights_of(bridge.project[part * bridge.layers + index])
                    row = graph.linear(row, project["weight"], project["bias"])
                graph.node("Tanh" if bridge.kind == "learned" and part == 0 else "Identity", row, output=name)
            outputs[name] = ("B", 1, size)
    if decoder.input_feeding:
        outputs["feed"] = ("B", 1, decoder.embedding.embedding_dim)
        _zeros(graph, decoder.embedding.embedding_dim, "feed")
    return Part(graph.model(inputs, outputs), inputs, outputs)


def _zeros(graph: Graph, size: int, name: str) -> None:
    """(B, 1, size) of zeros."""
    shape = graph.node("Concat", graph.node("Shape", "lengths"), graph.constant([1, size], np.int64), axis=0)
    graph.node("Expand", graph.constant(np.zeros((1, 1, size))), shape, output=name)


def _memory(graph: Graph, model: Seq2Seq, values: str) -> Shapes:
    """(B, S, M) -> what attention asks, what it gives to all that reads contexts, and -inf beyond each length."""
    attention, node = model.decoder.attention, graph.node
    assert attention is not None
    outputs: Shapes = {}
    keys, size = values, model.encoder.recurrent.output_size
    if attention.score in ("general", "concat"):
        bias = None if attention.key.bias is None else array(attention.key.bias)
        keys = graph.linear(values, array(attention.key.weight) * attention.scale, bias)
        size = len(attention.key.weight)
    elif attention.scale != 1.0:
        keys = node("Mul", values, graph.constant(attention.scale))
    if attention.by_products:
        node("Transpose", keys, perm=[0, 2, 1], output="keys")
        outputs["keys"] = ("B", size, "S")
    elif attention.score == "concat":
        node("Identity", keys, output="keys")
        outputs["keys"] = ("B", "S", size)
    reading = np.concatenate(_readers(model))
    graph.linear(values, reading, output="values")
    outputs["values"] = ("B", "S", len(reading))
    position = _positions(graph, "tokens", 1)
    valid = node("Less", position, node("Unsqueeze", "lengths", graph.constant([1], np.int64)))
    mask = node("Where", valid, graph.constant(0.0), graph.constant(-np.inf))
    node("Unsqueeze", mask, graph.constant([1], np.int64), output="mask")
    outputs["mask"] = ("B", 1, "S")
    return outputs


def _readers(model: Seq2Seq) -> list[Array]:
    """Weights (O, M) of the contexts in the layers above and in the readout."""
    decoder = model.decoder
    below = decoder.asking.output_size
    above = () if decoder.above is None else decoder.above.layers
    reading = [*(weights_of(layer)["weight_ih_l0"] for layer in above), array(decoder.readout.weight)]
    return [weight[:, below:] for weight in reading]


def _positions(graph: Graph, like: str, axis: int) -> str:
    """0, 1, 2 ... along a dimension."""
    size = graph.node("Gather", graph.node("Shape", like), graph.constant(axis, np.int64))
    return graph.node("Range", graph.constant(0, np.int64), size, graph.constant(1, np.int64))


def translator_step(model: Seq2Seq, memory: Shapes, *, int8: bool) -> Part:
    """Last tokens (B, K), the encoder's outputs -> log-probabilities (B, K, V), attention (B, K, S), the next states.

    B sentences with K hypotheses each, of which the encoder gives one.
    """
    graph, decoder = Graph(int8=int8), model.decoder
    layers = _states(decoder.asking, decoder.above)
    states = [name for named in layers for name, _ in named] + ["feed"] * decoder.input_feeding
    depth, below = len(decoder.asking.layers), decoder.asking.output_size
    hidden = _stack(graph, decoder.asking, _first_gates(graph, decoder), layers[:depth], [])
    shares: list[str] = []
    if decoder.attention is not None:
        scores = graph.node("Add", _scores(graph, decoder.attention, hidden), "mask")
        weights = graph.node("Softmax", scores, axis=-1, output="attention")
        shares = graph.split(graph.node("MatMul", weights, "values"), [len(weight) for weight in _readers(model)])
    if decoder.above is not None:
        gates = _gates(graph, decoder.above.layers[0], hidden, below)
        hidden = _stack(graph, decoder.above, gates, layers[depth:], shares)
    readout = graph.linear(hidden, array(decoder.readout.weight)[:, :below], array(decoder.readout.bias))
    if shares:
        readout = graph.node("Add", readout, shares[-1])
    readout = graph.node("Tanh", readout, output=NEXT + "feed" if decoder.input_feeding else None)
    logits = graph.linear(readout, array(decoder.output.weight), array(decoder.output.bias))
    graph.node("LogSoftmax", logits, axis=-1, output="log_probabilities")
    wide: Shapes = {name: ("B", "K", shape[2]) if name in states else shape for name, shape in memory.items()}
    inputs: Shapes = {"tokens": ("B", "K"), **wide}
    outputs: Shapes = {"log_probabilities": ("B", "K", decoder.output.out_features)}
    if decoder.attention is not None:
        outputs["attention"] = ("B", "K", "S")
    outputs |= {NEXT + name: wide[name] for name in states}
    return Part(graph.model(inputs, outputs), inputs, outputs, tuple(states))


def _first_gates(graph: Graph, decoder: Decoder) -> str:
    """Last tokens (B, K) -> the gates of the first layer (B, K, G), with the share of the last readout."""
    weights, units = weights_of(decoder.asking.layers[0]), decoder.embedding.embedding_dim
    own, bias = weights["weight_ih_l0"], weights["bias_ih_l0"]
    table = vectors(decoder.embedding)
    if graph.int8 and len(table) * len(bias) <= LARGEST_TABLE:
        gates = graph.rows(table @ own[:, :units].T + bias, "tokens")
    else:
        gates = graph.linear(graph.rows(table, "tokens"), own[:, :units], bias)
    return graph.node("Add", gates, graph.linear("feed", own[:, units:])) if decoder.input_feeding else gates


def _gates(graph: Graph, layer: nn.Module, inputs: str, size: int) -> str:
    """(B, K, I), the first inputs of a layer -> their share of its gates (B, K, G)."""
    weights = weights_of(layer)
    return graph.linear(inputs, weights["weight_ih_l0"][:, :size], weights["bias_ih_l0"])


def _stack(graph: Graph, stack: Recurrent, gates: str, states: list[list[tuple[str, int]]], shares: list[str]) -> str:
    """The first layer's gates (B, K, G), names of states, contexts' shares for each layer -> top output (B, K, H)."""
    hidden = ""
    for index, (layer, named) in enumerate(zip(stack.layers, states, strict=True)):
        assert isinstance(layer, nn.RNNBase)
        below, names = hidden, [name for name, _ in named]
        if index:
            gates = _gates(graph, layer, hidden, stack.output_size)
        if shares:
            gates = graph.node("Add", gates, shares[index])
        hidden = graph.cell(gates, layer, names, [NEXT + name for name in names])
        if index >= stack.residual_from:
            hidden = graph.node("Add", hidden, below)
    return hidden


def _scores(graph: Graph, attention: Attention, queries: str) -> str:
    """(B, K, H) -> (B, K, S)."""
    node = graph.node
    if attention.score == "concat":
        asked = graph.linear(queries, array(attention.query.weight))
        asked, keys = (
            node("Unsqueeze", each, graph.constant([axis], np.int64)) for each, axis in ((asked, 2), ("keys", 1))
        )
        hidden = node("Tanh", node("Add", asked, keys))
        combined = node("MatMul", hidden, graph.constant(array(attention.combine.weight).T))
        return node("Squeeze", combined, graph.constant([3], np.int64))
    if attention.score == "location":
        scores = graph.linear(queries, array(attention.position.weight))
        last = len(attention.position.weight) - 1
        position = _positions(graph, "mask", 2)
        near = node("Gather", scores, node("Min", position, graph.constant(last, np.int64)), axis=2)
        reached = node("LessOrEqual", position, graph.constant(last, np.int64))
        return node("Where", reached, near, graph.constant(-np.inf))
    return node("MatMul", queries, "keys")


def language_step(model: LanguageModel, *, int8: bool) -> Part:
    """Tokens (B, T), lengths (B,), states -> log-probabilities of the next tokens (B, T, V), the next states."""
    graph = Graph(int8=int8)
    if model.embedding is not None:
        read = graph.rows(vectors(model.embedding), "tokens")
    else:
        depth, values = graph.constant(model.vocabulary, np.int64), graph.constant([0.0, 1.0])
        read = graph.node("OneHot", "tokens", depth, values)
    lengths = graph.node("Cast", "lengths", to=onnx.TensorProto.INT32)
    hidden, states = _over_rows(graph, read, model.recurrent, lengths)
    readout = graph.node("Transpose", hidden, perm=[1, 0, 2])
    if model.output is not None:
        readout = graph.linear(readout, array(model.output.weight), array(model.output.bias))
    graph.node("LogSoftmax", readout, axis=-1, output="log_probabilities")
    inputs: Shapes = {"tokens": ("B", "T"), "lengths": ("B",), **states}
    outputs: Shapes = {"log_probabilities": ("B", "T", model.vocabulary), **_after(states)}
    return Part(graph.model(inputs, outputs), inputs, outputs, tuple(states))


def _over_rows(graph: Graph, read: str, stack: Recurrent, lengths: str) -> tuple[str, Shapes]:
    """(B, T, I) -> (T, B, H), and the states (B, H) by name."""
    layers, first = _states(stack), graph.constant([0], np.int64)
    begin = [[graph.node("Unsqueeze", name, first) for name, _ in named] for named in layers]
    hidden, last = graph.recurrent(graph.node("Transpose", read, perm=[1, 0, 2]), stack, lengths, begin)
    for named, after in zip(layers, last, strict=True):
        for (name, _), part in zip(named, after, strict=True):
            graph.node("Squeeze", part, first, output=NEXT + name)
    return hidden, {name: ("B", size) for named in layers for name, size in named}


def _after(states: Shapes) -> Shapes:
    return {NEXT + name: shape for name, shape in states.items()}


def forecaster_step(model: Forecaster, features: int, window: int, *, int8: bool) -> Part:
    """Scaled rows (B, T, F), the targets' last values (B, K), states -> a forecast (B, H, K, P), the next states.

    The T rows are a window, or the one row that a forecast which is fed back has given; a model with a linear part
    reads the whole `window` (B, W, F) up to it too. H is 1 where it is fed back.
    """
    graph = Graph(int8=int8)
    node, targets, parts = graph.node, model.targets, model.parameters_each
    hidden, states = _over_rows(graph, "rows", model.recurrent, "")
    top = node("Gather", hidden, graph.constant(-1, np.int64), axis=0)
    raw = graph.linear(top, array(model.head.weight), array(model.head.bias))
    raw = graph.reshaped(raw, 0, -1, targets, parts)
    located = raw
    inputs: Shapes = {"rows": ("B", "T", features)}
    if model.residual:
        inputs["last"] = "B", targets
        located = node("Add", located, node("Unsqueeze", "last", graph.constant([1, 3], np.int64)))
    if model.linear is not None:
        inputs["window"] = "B", window, features
        line = graph.linear(graph.reshaped("window", 0, -1), array(model.linear.weight), array(model.linear.bias))
        located = node("Add", located, graph.reshaped(line, 0, -1, targets, 1))
    if model.output in ("point", "quantiles"):
        node("Identity", located, output="forecast")
    else:
        mean, spread = graph.split(located, [1, parts - 1])[0], graph.split(raw, [1, parts - 1])[1]
        least = graph.constant([SMALLEST_SCALE, SMALLEST_FREEDOM][: parts - 1])
        node("Concat", mean, node("Add", node("Softplus", spread), least), axis=-1, output="forecast")
    steps = 1 if model.fed_back else model.horizon
    outputs: Shapes = {"forecast": ("B", steps, targets, parts), **_after(states)}
    inputs |= states
    return Part(graph.model(inputs, outputs), inputs, outputs, tuple(states))
