"""Scores of translators on test data, as `s2s evaluate` prints them and scores.json keeps them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2s.decoding.translator import Translator, recipe_of
from s2s.errors import DataError
from s2s.evaluation.scores import bleu, by_length, chrf, paired_bootstrap, rates, tokenization_for
from s2s.nn.precision import Precision
from s2s.recipe import Split, TranslationRecipe
from s2s.run import RunFolder
from s2s.tasks.splits import open_split


def split_of(recipe: TranslationRecipe, on: str) -> Split:
    """The split that `--on` names: train, validation or test of the recipe, or CORPUS/SPLIT."""
    if "/" in on:
        return on
    if on not in ("train", "validation", "test"):
        raise DataError(f"--on {on}: give train, validation, test, or CORPUS/SPLIT")
    split: Split | None = getattr(recipe.data, on)
    if split is None:
        raise DataError(f"--on {on}: the recipe has no data.{on}; give CORPUS/SPLIT, or --source and --reference")
    return split


def evaluate(
    runs: Sequence[str | Path],
    *,
    on: str = "test",
    files: Split | None = None,
    corpora: Path | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    beam: int | None = None,
) -> list[dict[str, Any]]:
    """Score each run on one split; beside the contract's keys each has its `hypotheses` and `references`."""
    results = []
    for path in runs:
        run = RunFolder(Path(path))
        recipe = recipe_of(run)
        split = files or split_of(recipe, on)
        data = recipe.data
        pairs = list(open_split(split, source=data.source, target=data.target, corpora=corpora).read())
        if not pairs:
            raise DataError(f"{on}: has no pairs to score")
        translator = Translator.load(path, device=device, precision=precision)
        name = split if isinstance(split, str) else "files" if files else on
        results.append(score(translator, pairs, run=str(run), split=name, language=data.target, beam=beam))
    return results


def score(
    translator: Translator, pairs: Sequence[tuple[str, str]], *, run: str, split: str, language: str, beam: int | None
) -> dict[str, Any]:
    """Translate the sources and hold the translations against the references."""
    sources, references = zip(*pairs, strict=True)
    width = translator.decoding.beam if beam is None else beam
    hypotheses = [translation.text for translation in translator.translate(sources, beam=width)]
    lengths = [len(translator.source.encode(source)) for source in sources]
    tokenize = tokenization_for(language)
    return {
        "task": "translation",
        "run": run,
        "split": split,
        "examples": len(pairs),
        "beam": width,
        "scores": {
            "bleu": bleu(hypotheses, references, tokenize=tokenize)._asdict(),
            "chrf": chrf(hypotheses, references)._asdict(),
        },
        "by_length": by_length(sources, hypotheses, references, lengths=lengths, tokenize=tokenize),
        "rates": rates(sources, hypotheses, split=str.split if tokenize == "13a" else list),
        "hypotheses": hypotheses,
        "references": list(references),
        "tokenize": tokenize,
    }


def compare(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each run after the first against the first, by paired bootstrap (Koehn 2004)."""
    first = results[0]
    comparisons = []
    for other in results[1:]:
        if other["references"] != first["references"]:
            raise DataError(
                f"{other['run']} and {first['run']}: scored on different references, so they do not compare"
            )
        hypotheses = first["hypotheses"], other["hypotheses"]
        paired = paired_bootstrap(*hypotheses, first["references"], tokenize=first["tokenize"])
        comparisons.append({"run": other["run"], "against": first["run"], "metric": "bleu", **paired._asdict()})
    return comparisons


def without_text(result: dict[str, Any]) -> dict[str, Any]:
    """A result as the contract has it, without what `compare` needs."""
    return {key: value for key, value in result.items() if key not in ("hypotheses", "references", "tokenize")}
