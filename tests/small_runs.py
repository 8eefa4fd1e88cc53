"""Run folders with small models of every kind, not trained: their weights are sampled, and large enough to decide."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from s2s.corpus.find import manifests_folder
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe.load import check_table, recipe_toml
from s2s.run import RunFolder
from s2s.tasks import TREES
from s2s.text.special import MASKS, TAG
from s2s.text.tokenizer import Tokenizer, save_tokenizers, train_tokenizers
from s2s.translation.model import build_seq2seq
from s2s.translation.recipe import PairTokenizer, TranslationRecipe

MODELS: dict[str, dict[str, Any]] = {
    "gru": {},
    "lstm-deep": {"cell": "lstm", "encoder_layers": 3, "decoder_layers": 3},
    "elman-dot": {"cell": "elman", "attention": "dot", "bridge": "last"},
    "gnmt": {"wiring": "gnmt", "decoder_layers": 2, "tied_embeddings": "all"},
    "gnmt-deep-lstm": {"cell": "lstm", "wiring": "gnmt", "decoder_layers": 4, "encoder_layers": 2},
    "scaled-dot": {"attention": "scaled_dot", "decoder_layers": 2},
    "concat": {"attention": "concat", "attention_size": 10, "bridge": "zeros"},
    "location": {"attention": "location", "location_positions": 101},
    "no-attention": {"attention": "none", "cell": "lstm"},
    "feeding": {"input_feeding": True, "decoder_layers": 2},
    "feeding-gnmt": {"input_feeding": True, "wiring": "gnmt", "decoder_layers": 3, "cell": "lstm"},
    "one-direction": {"bidirectional": False, "encoder_hidden_size": 12, "tied_embeddings": "none"},
    "deep-encoder": {"encoder_layers": 4, "decoder_layers": 2, "bridge": "learned"},
}
"""Keys of [model] of each."""
TOKENIZERS: dict[str, dict[str, Any]] = {
    "unigram": {"kind": "subword", "vocabulary_size": 700},
    "unigram-separate": {"kind": "subword", "vocabulary_size": 650, "joint": False},
    "unigram-no-bytes": {"kind": "subword", "vocabulary_size": 700, "byte_fallback": False},
    "bpe": {"kind": "subword", "model": "bpe", "vocabulary_size": 700},
    "words": {"kind": "words"},
    "words-punctuation": {"kind": "words", "punctuation": True},
    "characters": {"kind": "characters"},
}
"""Keys of [tokenizer] of each."""


def phrases(split: str = "train") -> list[tuple[str, str]]:
    """English and Korean lines of the phrase book that ships with s2s."""
    folder = manifests_folder() / "phrasebook-en-ko"
    sides = [(folder / f"{split}.{code}").read_text(encoding="utf-8").splitlines() for code in ("en", "ko")]
    return list(zip(*sides, strict=True))


@cache
def trained_tokenizers(
    settings: PairTokenizer, tags: tuple[str, ...] = (), masks: tuple[str, ...] = ()
) -> tuple[Tokenizer, Tokenizer]:
    """Those of source and target, trained once."""
    pairs = phrases()[:3000]
    symbols = (*[TAG + tag for tag in tags], *masks), masks
    return train_tokenizers(settings, settings.joint, lambda: iter(pairs), settings.rules, symbols, settings.sides[1])


def small_run(
    folder: Path,
    model: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
    decoding: dict[str, Any] | None = None,
    seed: int = 1,
    tags: tuple[str | None, ...] = (),
    data: dict[str, Any] | None = None,
) -> Path:
    """Run folder of a translator of the phrase book's languages with sampled weights; the path of the folder.

    With `tags` there is a part of the training pairs for each, None for one without a tag.
    """
    parts = [{"from": "phrasebook-en-ko/train", **({"tag": tag} if tag else {})} for tag in tags]
    held: Any = "phrasebook-en-ko/validation"
    if tags and all(tags):
        held = [{"from": held, "tag": tags[0]}]
    table = {
        "task": "translation",
        "data": {"source": "en", "target": "ko", "train": parts or "phrasebook-en-ko/train",
                 "validation": held, **(data or {})},
        "tokenizer": TOKENIZERS["unigram"] if tokenizer is None else tokenizer,
        "model": {"embedding_size": 16, "hidden_size": 24, **(model or {})},
        "training": {"epochs": 1},
        "decoding": {"max_length_ratio": 2.0, **(decoding or {})},
    }  # fmt: skip
    recipe = check_table(table, TREES, origin="small_run", folder=folder)
    assert isinstance(recipe, TranslationRecipe)
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.recipe.write_text(recipe_toml(recipe), encoding="utf-8")
    run.format.write_text("2\n", encoding="utf-8")
    run.lengths.write_text('{"max_length_ratio": 2.0}\n', encoding="utf-8")
    source, target = trained_tokenizers(recipe.tokenizer, recipe.data.tags, MASKS if recipe.data.protect else ())
    save_tokenizers(source, target, folder)
    torch.manual_seed(seed)
    sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
    built = build_seq2seq(recipe.model, **sizes)
    save_tensors(run.best, {name: 2 * weight for name, weight in weights_of(built).items()})
    return folder
