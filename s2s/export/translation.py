"""A translator as the formats write it: an encoder, and a step with its attention."""

from functools import partial

import numpy as np
from torch import nn

from s2s.export.export import Opened, tokenizer_names
from s2s.export.graph import INT32, Array, Graph, Shapes, array, states_of, vectors, weights_of
from s2s.export.html import TRANSLATOR
from s2s.nn.attention import Attention
from s2s.nn.decoder import Decoder
from s2s.nn.recurrent import Recurrent
from s2s.nn.weights import load_model
from s2s.run import RunFolder
from s2s.text.special import TOKENS
from s2s.text.tokenizer import load_tokenizers
from s2s.translation.bundle import NEXT
from s2s.translation.engine import settled_decoding
from s2s.translation.lengths import EXTRA_TOKENS
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.recipe import TranslationRecipe

SCRIPTS = TRANSLATOR
LARGEST_TABLE = 1 << 23
"""Numbers at most of a table of tokens' products with a first layer, with int8 weights."""


def opened(run: RunFolder, recipe: TranslationRecipe) -> Opened:
    """The model with the search of its recipe, the longest output decided."""
    source, target = load_tokenizers(run.path)
    sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
    model = load_model(partial(build_seq2seq, recipe.model, **sizes), run.require_best())
    decoding = settled_decoding(run, recipe)
    longest = {"max_length_ratio": decoding.longest_ratio, "extra_tokens": EXTRA_TOKENS}
    content = {
        "tokens": TOKENS,
        "tokenizers": tokenizer_names(run, "source", "target"),
        "decoding": decoding.model_dump(mode="json") | longest,
        "max_tokens": recipe.data.max_tokens,
        "always_tagged": recipe.data.always_tagged,
        "protect": recipe.data.protect,
        "forms": [*recipe.data.augment.shares],
    }
    sizes |= {"encoder_units": recipe.model.encoder_units, "memory_size": recipe.model.memory_size}
    return Opened(model, sizes, content)


def graphs(model: Seq2Seq, recipe: TranslationRecipe, *, int8: bool) -> dict[str, Graph]:
    """An encoder, and the step of a search."""
    first = encoder(model, int8=int8)
    return {"encoder": first, "step": translator_step(model, first.outputs, int8=int8)}


def encoder(model: Seq2Seq, *, int8: bool) -> Graph:
    """Tokens (B, S) and lengths (B,) -> the memory of an attention, if any, and the first state of the step."""
    graph, decoder = Graph(int8=int8), model.decoder
    embedded = graph.node("Transpose", graph.rows(vectors(model.encoder.embedding), "tokens"), perm=[1, 0, 2])
    lengths = graph.node("Cast", "lengths", to=INT32)
    values, last = graph.recurrent(embedded, model.encoder.recurrent, lengths)
    graph.inputs |= {"tokens": ("B", "S"), "lengths": ("B",)}
    if decoder.attention is not None:
        values = graph.node("Transpose", values, perm=[1, 0, 2])
        _memory(graph, model, values)
    bridge, states = decoder.bridge, states_of(decoder.asking, decoder.above)
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
            graph.outputs[name] = "B", 1, size
    if decoder.input_feeding:
        graph.outputs["feed"] = "B", 1, decoder.embedding.embedding_dim
        _zeros(graph, decoder.embedding.embedding_dim, "feed")
    return graph


def _zeros(graph: Graph, size: int, name: str) -> None:
    """(B, 1, size) of zeros."""
    shape = graph.node("Concat", graph.node("Shape", "lengths"), graph.constant([1, size], np.int64), axis=0)
    graph.node("Expand", graph.constant(np.zeros((1, 1, size))), shape, output=name)


def _memory(graph: Graph, model: Seq2Seq, values: str) -> None:
    """(B, S, M) -> what attention asks, what it gives to all that reads contexts, and -inf beyond each length."""
    attention, node = model.decoder.attention, graph.node
    assert attention is not None
    keys, size = values, model.encoder.recurrent.output_size
    if attention.score in ("general", "concat"):
        bias = None if attention.key.bias is None else array(attention.key.bias)
        keys = graph.linear(values, array(attention.key.weight) * attention.scale, bias)
        size = len(attention.key.weight)
    elif attention.scale != 1.0:
        keys = node("Mul", values, graph.constant(attention.scale))
    if attention.by_products:
        node("Transpose", keys, perm=[0, 2, 1], output="keys")
        graph.outputs["keys"] = "B", size, "S"
    elif attention.score == "concat":
        node("Identity", keys, output="keys")
        graph.outputs["keys"] = "B", "S", size
    reading = np.concatenate(_readers(model))
    graph.linear(values, reading, output="values")
    graph.outputs |= {"values": ("B", "S", len(reading)), "mask": ("B", 1, "S")}
    position = _positions(graph, "tokens", 1)
    valid = node("Less", position, node("Unsqueeze", "lengths", graph.constant([1], np.int64)))
    mask = node("Where", valid, graph.constant(0.0), graph.constant(-np.inf))
    node("Unsqueeze", mask, graph.constant([1], np.int64), output="mask")


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


def translator_step(model: Seq2Seq, memory: Shapes, *, int8: bool) -> Graph:
    """Last tokens (B, K), the encoder's outputs -> log-probabilities (B, K, V), attention (B, K, S), the next states.

    B sentences with K hypotheses each, of which the encoder gives one.
    """
    graph, decoder = Graph(int8=int8), model.decoder
    layers = states_of(decoder.asking, decoder.above)
    graph.inputs["tokens"] = "B", "K"
    graph.outputs["log_probabilities"] = "B", "K", decoder.output.out_features
    depth, below = len(decoder.asking.layers), decoder.asking.output_size
    hidden = _stack(graph, decoder.asking, _first_gates(graph, decoder), layers[:depth], [])
    shares: list[str] = []
    if decoder.attention is not None:
        graph.outputs["attention"] = "B", "K", "S"
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
    states = [name for named in layers for name, _ in named] + ["feed"] * decoder.input_feeding
    graph.inputs |= {name: shape for name, shape in memory.items() if name not in states}
    for name in states:
        graph.carry(name, "B", "K", memory[name][2])
    return graph


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
