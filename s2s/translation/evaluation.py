"""Scores of a translator on a part of its recipe's pairs, or on files."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

from s2s.corpus.sources import Part, split_of
from s2s.device import Precision
from s2s.errors import DataError, S2SError
from s2s.run import RunFolder
from s2s.translation.data import FileSplit, Mixture, TableSplit
from s2s.translation.pairs import held_pairs, open_pairs, share_in
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import score_pairs
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")


def scored_part(recipe: TranslationRecipe) -> str | None:
    """What is scored when a training has ended; None where the recipe names nothing for that."""
    return None if recipe.data.test is None else "test"


def part_of(
    run: RunFolder, recipe: TranslationRecipe, *, on: str | None, files: object, beam: int | None, corpora: Path | None
) -> Part:
    """The pairs to score a run on, its test split unless another is asked for; DataError where there are none."""
    if files is not None and not isinstance(files, FileSplit | TableSplit | tuple):
        raise DataError(
            f"{run}: a translator is scored on pairs; give --reference with --source, or a file of pairs"
            f" ({TranslationRecipe.endings()})"
        )
    data, on = recipe.data, on or "test"
    split: Mixture = files or split_of(data, on, "--source and --reference")
    opened = partial(open_pairs, source=data.source, target=data.target, corpora=corpora)
    pairs, training = opened(split), None
    try:
        training = None if on == "train" else opened(data.train)
    except S2SError as problem:
        log.warning("whether sources were trained on cannot be checked: data.train: %s", problem)
    named = split[0].split if files and isinstance(split, tuple) else split  # with a tag of its own
    return Part(named if isinstance(named, str) else "files" if files else on, pairs, training)


def score(
    run: RunFolder, recipe: TranslationRecipe, part: Part, *, device: str, precision: Precision, beam: int | None
) -> dict[str, Any]:
    """Scores of a run's translations of a part against its references."""
    pairs, tags, blank = held_pairs(part.source)
    if not pairs:
        raise DataError(f"{part.name}: has no pairs to score" + f" ({blank:,} have a blank side)" * bool(blank))
    translator = Translator.load(run.path, device=device, precision=precision)
    found = score_pairs(translator, pairs, recipe, run=str(run), split=part.name, beam=beam, tags=tags)
    trained_on = share_in(part.training, {(tag, source) for tag, (source, _) in zip(tags, pairs, strict=True)})
    return {**found, "data": {"blank": blank, **found["data"], "in_training": trained_on}}
