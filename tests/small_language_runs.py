"""Run folders with small language models of every kind, not trained: their weights are sampled, and large."""

from pathlib import Path

import torch

from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe.load import recipe_toml
from s2s.run import RunFolder
from s2s.tasks import load_recipe
from s2s.text.tokenizer import listed, save_tokenizers, train_tokenizer

LINES = ["the cat sat", "a dog ran and ran", "", "the the the", "dog", "a cat and a dog sat", "a snake", "ran"]
KINDS = {
    "characters": ("stream", 'kind = "characters"'),
    "words": ("chunks", 'kind = "words"'),
    "punctuation": ("stream", 'kind = "words"\npunctuation = true'),
    "subwords": ("stream", 'kind = "subword"\nvocabulary_size = 40\nbyte_fallback = false'),
    "bytes": ("stream", 'kind = "subword"\nvocabulary_size = 600'),
    "every byte": ("stream", 'kind = "bytes"'),
    "lines": ("lines", 'kind = "words"'),
    "characters of lines": ("lines", 'kind = "characters"'),
    "every byte of lines": ("lines", 'kind = "bytes"'),
    "bytes of lines": ("lines", 'kind = "subword"\nvocabulary_size = 600'),
    "closed": ("lines", 'kind = "characters"\nsymbols = ["a", "b", "c"]'),
    "closed stream": ("stream", 'kind = "words"\nsymbols = ["a", "b", "c"]'),
}
"""How each cuts its text, and keys of its [tokenizer]."""


def small_language_run(path: Path, kind: str, cell: str = "lstm") -> Path:
    """Run folder of a language model with sampled weights, which knows all of LINES but the snake."""
    cut, tokenizer = KINDS[kind]
    path.mkdir()
    toml = path / "recipe.toml"
    toml.write_text(
        f'task = "language"\n[data]\ncut = "{cut}"\ntrain.text = "a b"\nvalidation.text = "a b"\n'
        f"[tokenizer]\n{tokenizer}\n"
        f'[model]\ncell = "{cell}"\nhidden_size = 12\nlayers = 2\nembedding_size = 6\n[training]\nepochs = 1\n'
    )
    recipe = load_recipe(toml)
    assert isinstance(recipe, LanguageRecipe)
    toml.write_text(recipe_toml(recipe))
    ends = "\n" if kind == "characters" else ""
    symbols = recipe.tokenizer.symbols
    learned = (
        listed(recipe.tokenizer)(symbols, closed=True)
        if symbols
        else train_tokenizer(recipe.tokenizer, [line + ends for line in LINES if "snake" not in line])
    )
    save_tokenizers(learned, learned, path)
    torch.manual_seed(3)
    model = build_language_model(recipe.model, learned.vocabulary_size)
    save_tensors(RunFolder(path).best, {name: 2 * weight for name, weight in weights_of(model).items()})
    return path
