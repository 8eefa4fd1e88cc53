"""Scores of runs on test data, as `s2s evaluate` prints them and scores.json keeps them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2s.device import Precision
from s2s.errors import DataError
from s2s.forecast.baselines import baselines, naive_errors
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.scores import Interval, pinball_loss, score_forecast
from s2s.forecast.table import SeriesTable, find_series
from s2s.forecast.windows import prepare_series
from s2s.language.generator import Generator
from s2s.language.recipe import LanguageRecipe, TextFile
from s2s.language.task import encoded, score_text
from s2s.language.text import Pieces, open_text, open_texts
from s2s.run import RunFolder
from s2s.tasks import Recipe, recipe_of
from s2s.text.source import Source
from s2s.translation.pairs import open_split
from s2s.translation.recipe import FileSplit, Split
from s2s.translation.scores import bleu, by_length, chrf, paired_bootstrap, rates, tokenization_for
from s2s.translation.translator import Translator


def split_of(recipe: Recipe, on: str) -> Any:
    """The split that `--on` names: train, validation or test of the recipe, or CORPUS/SPLIT."""
    if "/" in on:
        return on
    if on not in ("train", "validation", "test"):
        raise DataError(f"--on {on}: give train, validation, test, or CORPUS/SPLIT")
    split = getattr(recipe.data, on)
    if split is None:
        files = "--source" if isinstance(recipe, LanguageRecipe) else "--source and --reference"
        raise DataError(f"--on {on}: the recipe has no data.{on}; give CORPUS/SPLIT, or {files}")
    return split


def evaluate(
    runs: Sequence[str | Path],
    *,
    on: str | None = None,
    files: FileSplit | TextFile | None = None,
    corpora: Path | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    beam: int | None = None,
) -> list[dict[str, Any]]:
    """Score each run on one split, by default its test; a language model without one is scored on its validation.

    Beside the contract's keys each translator's result has its `hypotheses` and `references`.
    """
    results = []
    for path in runs:
        recipe = recipe_of(RunFolder(Path(path)))
        if isinstance(recipe, LanguageRecipe):
            if isinstance(files, FileSplit):
                raise DataError(f"{path}: a language model is scored on one text; leave out --reference")
            if beam is not None:
                raise DataError(f"{path}: a language model translates nothing; leave out --beam")
            generator = Generator.load(path, device=device, precision=precision)
            name, source = _text_of(recipe, on, files, corpora)
            results.append(score_language(generator, source, run=str(path), split=name))
            continue
        if isinstance(recipe, ForecastRecipe):
            if files is not None or on not in (None, "test", "validation"):
                raise DataError(f"{path}: a forecaster is scored on the test or validation part of its own series")
            if beam is not None:
                raise DataError(f"{path}: a forecaster translates nothing; leave out --beam")
            series = find_series(recipe.data, corpora)["series"]
            _require_same_series(RunFolder(Path(path)), series)
            forecaster = SeriesForecaster.load(path, device=device)
            results.append(score_series(forecaster, series, run=str(path), split=on or "test"))
            continue
        if isinstance(files, TextFile):
            raise DataError(f"{path}: a translator is scored on pairs; give --reference beside --source")
        split: Split = files or split_of(recipe, on or "test")
        data = recipe.data
        pairs = list(open_split(split, source=data.source, target=data.target, corpora=corpora).read())
        if not pairs:
            raise DataError(f"{on or 'test'}: has no pairs to score")
        translator = Translator.load(path, device=device, precision=precision)
        name = split if isinstance(split, str) else "files" if files else on or "test"
        results.append(score(translator, pairs, run=str(path), split=name, language=data.target, beam=beam))
    return results


def _require_same_series(run: RunFolder, source: Source[SeriesTable]) -> None:
    """DataError for a series that is not the one trained on: rows that were learned from could be scored as unseen."""
    try:
        before = json.loads(run.environment.read_text(encoding="utf-8"))["data"]["series"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it is only a record, and may be damaged
    if before != source.identity:
        raise DataError(
            f"{source.description}: has changed since {run} was trained on it, so rows that it learned from could be"
            " scored as unseen; put the old file back, or train again"
        )


def _text_of(
    recipe: LanguageRecipe, on: str | None, files: TextFile | None, corpora: Path | None
) -> tuple[str, Pieces]:
    """The text to score a language model on, and its name."""
    if files is not None:
        return files.file, open_text(files, corpora)
    wanted = on or ("validation" if recipe.data.test is None else "test")
    if wanted in ("train", "validation"):  # one may be held out of the other
        return wanted, open_texts(recipe, corpora)[wanted]
    split = split_of(recipe, wanted)
    return split if isinstance(split, str) else wanted, open_text(split, corpora)


def score_language(generator: Generator, source: Pieces, *, run: str, split: str) -> dict[str, Any]:
    """Run a language model over a text, and say what its tokens have cost it."""
    recipe = generator.recipe
    text = encoded(source, generator.tokenizer, recipe.data)
    with generator.compute.autocast():
        predicted = score_text(generator.model, text, recipe, generator.compute)
    return {
        "task": "language",
        "run": run,
        "split": split,
        "examples": predicted.tokens,
        "unit": "tokens",
        "unknown_tokens": text.unknown,
        "scores": {name: {"value": value} for name, value in predicted.scores(text).items()},
    }


def score_series(forecaster: SeriesForecaster, source: Source[SeriesTable], *, run: str, split: str) -> dict[str, Any]:
    """Forecast from every row of a part of the series, and hold it against what came and against the baselines."""
    recipe = forecaster.recipe
    data = recipe.data
    series = prepare_series(data, source.read())
    parts = series.parts
    first, end = (parts.test, parts.end) if split == "test" else (parts.validation, parts.test)
    windows = series.windows(data, first, end)
    found = forecaster.after(series.read, series.targets, windows.origins)
    truth = series.truth(windows)
    levels = recipe.model.quantiles
    naive = naive_errors(series.targets[:first])
    targets = {}
    for place, name in enumerate(data.targets):
        own = series.targets[:, place]
        # what is fitted, and what MASE is scaled by, comes from before the part that is scored
        known = own[:first]
        others = baselines(own, windows.origins, data.horizon, train_end=len(known), season=data.season)
        interval = pinball = None
        if found.quantiles is not None:
            quantiles = found.quantiles[..., place]
            interval = Interval(quantiles[0], quantiles[-1], levels[-1] - levels[0])
            pinball = pinball_loss(truth[..., place], quantiles, levels)
        targets[name] = score_forecast(
            truth[..., place],
            found.points[..., place],
            others,
            naive_error=float(naive[place]),
            interval=interval,
            pinball=pinball,
        )
    result = {"task": "forecast", "run": run, "split": split, "examples": len(windows), "horizon": data.horizon}
    return {**result, "target": data.targets[0], **targets[data.targets[0]], "targets": targets}


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
    comparisons: list[dict[str, Any]] = []
    for other in results[1:]:
        if {other["task"], first["task"]} != {"translation"}:
            continue
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
