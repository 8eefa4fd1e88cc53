"""Pairs that models make, for other models to learn from: written block by block, and gone on with after a kill."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from s2s.corpus.sources import Source
from s2s.errors import DataError, RecipeError, RunError
from s2s.files import locked_at_once, recorded, write_json
from s2s.run import RunFolder, read_run
from s2s.text.encoded import identity_of
from s2s.text.lines import read_lines
from s2s.text.tokenizer import has_loop
from s2s.translation.bleu import sentence_chrf
from s2s.translation.data import Portion, TableSplit, portions
from s2s.translation.outputs import Translation
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")
Item = TypeVar("Item")
Made = tuple[str, str, str | None]
"""source, target, and the fault for which the pair is left out, if it has one"""
BLOCK_LINES = 1024
"""Lines that are translated and kept together; a kill costs those of one block."""


def back_translate(run: Path, translator: Translator, text: Path, place: Path, **ways: Any) -> None:
    """Write pairs whose targets are the lines of a text, and their sources what the translator of a run makes of them.

    `ways` are `tag`, and `beam`, or `seed` and `temperature` to sample. Errors are those of `write_pairs`.
    """
    from s2s.translation.given import sample  # and torch

    def make(first: int, lines: Sequence[str]) -> Iterator[Made]:
        found = (
            sample(translator, lines, first=first, **ways) if "seed" in ways else translator.translate(lines, **ways)
        )
        for line, made in zip(lines, found, strict=True):
            yield made.text, line, _fault(made, made.text, line)

    data = read_run(RunFolder(run), {"translation": TranslationRecipe}).data
    job = _job([run], identity_of([text]), (data.target, data.source), ways)
    write_pairs(place, job, lambda: read_lines(text), make)


def distil(
    runs: Sequence[Path],
    translator: Translator,
    recipe: TranslationRecipe,
    pairs: Source[Iterator[tuple[str, str]]],
    place: Path,
    **ways: Any,
) -> TranslationRecipe:
    """Write what the translator of the runs makes of a recipe's training sources; the recipe that learns it too.

    `ways` are `beam` and `nbest`: of so many translations that of the highest chrF with the reference is taken
    (sequence-level interpolation, Kim & Rush 2016, section 3.3). Shares of training pairs are halved for it.
    Errors are those of `write_pairs`, RunError for a run of another direction, and RecipeError for training sources
    with tags.
    """
    if recipe.data.tags:
        raise RecipeError(
            f"data.train: has tags ({', '.join(recipe.data.tags)}), without which the translations would be learned;"
            " distil a recipe without tags, or translate each part's sources by s2s translate, and train on them as one"
            " more part with its tag"
        )
    if translator.reading.always_tagged:
        raise RunError(f"{runs[0]}: translates with a tag only, and distilling gives none; give a run without tags")
    way = recipe.data.source, recipe.data.target
    data = read_run(RunFolder(runs[0]), {"translation": TranslationRecipe}).data
    if (data.source, data.target) != way:
        raise RunError(
            f"{runs[0]}: translates from {data.source} to {data.target}, the recipe from {way[0]} to {way[1]}; give"
            " data.source and data.target where these are names of the same languages"
        )

    def make(first: int, given: Sequence[tuple[str, str]]) -> Iterator[Made]:
        found = translator.translate([source for source, _ in given], **ways)
        for (source, reference), made in zip(given, found, strict=True):
            texts = [each.text for each in made.nbest] or [made.text]
            scores = sentence_chrf(texts, [reference] * len(texts)) if len(texts) > 1 else [0.0]
            text = texts[scores.index(max(scores))]
            yield source, text, _fault(made, text, source, reference)

    write_pairs(place, _job(runs, pairs.identity, way, ways), pairs.read, make)
    train, shares = recipe.data.train, [part.share for part in portions(recipe.data.train)]
    double = 2.0 if None in shares else 2.0 * sum(share or 0.0 for share in shares)
    parts = [part.model_copy(update={"share": part.share and part.share / double}) for part in portions(train)]
    splits = [{"from": each} for each in ([] if parts else [train]) + [TableSplit(table=str(place.resolve()))]]
    learned = (*parts, *map(Portion.model_validate, splits))
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"train": learned})})


def _fault(made: Translation, text: str, *given: str) -> str | None:
    """Why a text that was made of given ones is not to be learned, if it is not."""
    if not all(side.strip() for side in given):
        return "blank"
    if not text.strip():
        return "empty"
    return "truncated" if "truncated" in made.flags else "repeats" if has_loop(text.split()) else None


def _job(runs: Sequence[Path], text: str, columns: tuple[str, str], ways: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the pairs of a table."""
    opened = map(RunFolder, runs)
    files = [[run.recipe, run.require_best(), *sorted(run.path.glob("tokenizer*"))] for run in opened]
    return {"runs": [identity_of(each) for each in files], "text": text, "columns": [*columns], **ways}


def write_pairs(
    place: Path,
    job: dict[str, Any],
    read: Callable[[], Iterator[Item]],
    make: Callable[[int, list[Item]], Iterator[Made]],
) -> None:
    """Write a table of the pairs that are made of the items from a number on, without those that have a fault.

    Until it is whole it is PLACE.part. PLACE.json keeps the job and how far it is, so that the same job goes on there,
    and does nothing where it has ended. RunError for a table of another job, and where another process writes it.
    """
    part, record = (place.with_name(place.name + ending) for ending in (".part", ".json"))
    with locked_at_once(place):
        state = _begun(place, part, record, job)
        if not place.exists():
            total = sum(1 for _ in read())  # what cannot be read is found before hours of work
            if not total:
                raise DataError(f"{place}: not written, since there are no lines to translate; check the input")
            bar = tqdm(desc=place.name, total=total, initial=state["lines"], unit=" lines", disable=None, leave=False)
            with part.open("ab") as file, bar:
                file.truncate(state["bytes"])
                items = islice(read(), state["lines"], None)
                while block := list(islice(items, BLOCK_LINES)):
                    made = [*make(state["lines"], block)]
                    rows = [pair[:2] for pair in made if pair[2] is None]
                    for row in [*([] if state["bytes"] else [job["columns"]]), *rows]:
                        file.write(("\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in row) + "\n").encode())
                    file.flush()
                    os.fsync(file.fileno())
                    state["lines"], state["pairs"] = state["lines"] + len(block), state["pairs"] + len(rows)
                    counts = Counter(state["faults"]) + Counter(pair[2] for pair in made if pair[2])
                    state["bytes"], state["faults"] = file.tell(), dict(counts)
                    write_json(record, state)
                    bar.update(len(block))
            os.replace(part, place)
        faults = ", ".join(f"{count:,} {fault}" for fault, count in state["faults"].items()) or "none"
        log.info("%s: %s pairs of %s lines; left out: %s", place, f"{state['pairs']:,}", f"{state['lines']:,}", faults)


def _begun(place: Path, part: Path, record: Path, job: dict[str, Any]) -> dict[str, Any]:
    """How far a job is; RunError where the table is that of another."""
    new, state = {"job": job, "lines": 0, "pairs": 0, "bytes": 0, "faults": {}}, recorded(record)
    if not place.exists() and (state is None or not part.exists()):
        return new
    if state is None or state["job"] != job:
        others = ", ".join(key for key in job if state and state["job"].get(key) != job[key])
        of = f"a job with other {others}" if state else f"unknown origin (there is no {record.name})"
        raise RunError(f"{place}: exists already, of {of}; name another, or remove it with {part.name}, {record.name}")
    return dict(state) if place.exists() or part.stat().st_size >= state["bytes"] else new
