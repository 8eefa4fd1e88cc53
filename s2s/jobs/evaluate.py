"""Scores of runs on test data, as `s2s evaluate` prints them and scores.json keeps them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2s.device import Precision
from s2s.errors import DataError
from s2s.run import RunFolder
from s2s.tasks import recipe_of, task_of

if TYPE_CHECKING:
    from s2s.language.dynamic import Dynamic
    from s2s.language.recipe import TextFile
    from s2s.translation.data import FileSplit, Portion, TableSplit


def evaluate(
    runs: str | Path | Sequence[str | Path],
    *,
    on: str | None = None,
    files: "FileSplit | TableSplit | TextFile | None" = None,
    tag: str | None = None,
    corpora: Path | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    beam: int | None = None,
    dynamic: "Dynamic | None" = None,
    origins: int | None = None,
) -> list[dict[str, Any]]:
    """Score a run, or each of several, on one split, by default its test, or else a language model's validation.

    The sources of files, or of a split of a corpus, may be given a `tag`; those of a recipe name their own.
    A forecaster is scored from every row, or from a number of `origins` spread evenly over the split.
    Each translator's result also has what `compare` needs: `hypotheses`, `references`, `right` and `tokenize`. It and
    a forecaster's have `outputs`, a row for each pair or window, which a run folder keeps as outputs.jsonl.
    With `dynamic` the weights of language models follow the text, and the run folders stay as they are.
    Raises ValueError for no runs.
    """
    runs = [runs] if isinstance(runs, str | Path) else runs
    if not runs:
        raise ValueError("evaluate: there are 0 runs, and at least one is scored; give a run folder, or a list of some")
    split = files if tag is None else _tagged(files or on, tag)
    opened = [(run, recipe_of(run)) for run in (RunFolder(Path(path)) for path in runs)]
    parts = [
        task_of(recipe).part_of(run, recipe, on=on, files=split, beam=beam, corpora=corpora) for run, recipe in opened
    ]
    ways: dict[str, Any] = {"device": device, "precision": precision, "beam": beam}
    if dynamic is not None:
        ways["dynamic"] = dynamic
    for given, task, wrong in (
        (dynamic, "language", "holds no language model, which --dynamic is for; leave it out"),
        (precision == "int8" or None, "translation", "holds no translator, which precision int8 is for; leave it out"),
        (origins, "forecast", "only a forecaster is scored from origins; leave out --origins"),
    ):
        if given is not None and (other := next((run for run, recipe in opened if recipe.task != task), None)):
            raise DataError(f"{other}: {wrong}")
    parts = [part if origins is None else part._replace(origins=origins) for part in parts]
    return [task_of(recipe).score(run, recipe, part, **ways) for (run, recipe), part in zip(opened, parts, strict=True)]


def _tagged(split: object, tag: str) -> "tuple[Portion, ...]":
    from s2s.translation.data import FileSplit, Portion, TableSplit

    if not (isinstance(split, FileSplit | TableSplit) or (isinstance(split, str) and "/" in split)):
        raise DataError(
            f"--tag {tag}: the recipe's own splits name their tags; give --tag with --on CORPUS/SPLIT, or with --source"
            " and --reference"
        )
    return (Portion.model_validate({"from": split, "tag": tag}),)


def without_text(result: dict[str, Any]) -> dict[str, Any]:
    """A result as it is printed and kept, without what each example gave."""
    left = ("hypotheses", "references", "right", "tokenize", "outputs")
    return {key: value for key, value in result.items() if key not in left}
