"""A language model as the formats write it: a step over any number of tokens."""

from functools import partial

import numpy as np

from s2s.errors import RunError
from s2s.export.export import Opened, tokenizer_names
from s2s.export.graph import INT32, Graph, array, over_rows, vectors
from s2s.language.model import LanguageModel, build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.nn.adaptive import AdaptiveVocabulary
from s2s.nn.layers import Embedding
from s2s.nn.weights import load_model
from s2s.run import RunFolder
from s2s.text.special import END, PAD, START, TOKENS, UNKNOWN
from s2s.text.tokenizer import load_tokenizers
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer

SCRIPTS = ("engine.js", "page.js", "continue.js")


def opened(run: RunFolder, recipe: LanguageRecipe) -> Opened:
    """The model, how its text was cut, the tokens read before any, and those that are no text.

    With `cut` "lines" a text ends at END.
    """
    tokenizer = load_tokenizers(run.path)[0]
    sizes = {"vocabulary": tokenizer.vocabulary_size}
    model = load_model(partial(build_language_model, recipe.model, **sizes), run.require_best())
    if isinstance(model.embedding, AdaptiveVocabulary):
        raise RunError(f"{run}: a vocabulary in clusters (model.output is adaptive) is not exported; train with linear")
    closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
    ends, characters = recipe.data.cut == "lines" and not closed, isinstance(tokenizer, CharacterTokenizer)
    unwritten = [] if closed else [PAD, UNKNOWN, START, *([END] if characters and not ends else [])]
    content = {
        "tokens": {} if closed else TOKENS,
        "tokenizers": tokenizer_names(run, "text"),
        "cut": recipe.data.cut,
        "begin": [START] if ends else [],
        "unwritten": unwritten,
    }
    return Opened(model, sizes, content)


def graphs(model: LanguageModel, recipe: LanguageRecipe, *, int8: bool) -> dict[str, Graph]:
    """The step, in which a first state is of zeros."""
    return {"step": language_step(model, int8=int8)}


def language_step(model: LanguageModel, *, int8: bool) -> Graph:
    """Tokens (B, T), lengths (B,), states -> log-probabilities of the next tokens (B, T, V), the next states."""
    graph = Graph(int8=int8)
    graph.inputs |= {"tokens": ("B", "T"), "lengths": ("B",)}
    graph.outputs["log_probabilities"] = "B", "T", model.vocabulary
    if isinstance(model.embedding, Embedding):
        read = graph.rows(vectors(model.embedding), "tokens")
    else:
        depth, values = graph.constant(model.vocabulary, np.int64), graph.constant([0.0, 1.0])
        read = graph.node("OneHot", "tokens", depth, values)
    lengths = graph.node("Cast", "lengths", to=INT32)
    hidden = over_rows(graph, read, model.recurrent, lengths)
    readout = graph.node("Transpose", hidden, perm=[1, 0, 2])
    if model.output is not None:
        readout = graph.linear(readout, array(model.output.weight), array(model.output.bias))
    graph.node("LogSoftmax", readout, axis=-1, output="log_probabilities")
    return graph
