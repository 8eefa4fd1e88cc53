"""The report of one or several runs, as one HTML file."""

import base64
import hashlib
import locale
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from safetensors import safe_open

from s2s import __version__
from s2s.corpus.find import load_manifest
from s2s.errors import CorpusError, RunError
from s2s.figures.curves import curves_of_runs, training
from s2s.files import recorded, write_text
from s2s.run import Metrics, RunFolder, number_text
from s2s.tasks import Recipe, recipe_of, report_of, scores_of

WEB = Path(__file__).resolve().parents[1] / "web"
"""Folder of the templates and their styles."""
NUMBER = re.compile(r"[-+−]?[\d,.]+(e[-+]?\d+)?%?|–")
"""A cell of a table that is written to the right of its column."""


def write_report(runs: Sequence[str | Path], out: Path, *, corpora: Path | None = None, device: str = "auto") -> None:
    """Write one page on some runs, first what compares those of one task, then each alone.

    Raises RunError for a run that is missing or damaged, and for a file that is no report; ValueError for no runs.
    """
    _require_free(out)
    if not runs:
        raise ValueError("write_report: there are 0 runs, and at least one is shown; give a run folder")
    folders = [RunFolder(Path(path)) for path in runs]
    places = [run.path.resolve() for run in folders]
    if twice := [str(run) for run, place in zip(folders, places, strict=True) if places.count(place) > 1]:
        raise RunError(f"{', '.join(twice)}: the same run more than once; name each run once")
    opened = [(run, recipe_of(run)) for run in folders]
    tasks = {recipe.task for _, recipe in opened}
    if len(tasks) > 1:
        raise RunError(f"a report is of runs of one task; these are of {', '.join(sorted(tasks))}: write one for each")
    for run in folders:
        run.require_best()
    task = tasks.pop()
    module, names = report_of(task), _names(folders)
    examined = [module.examine(run, recipe, corpora, device) for run, recipe in opened]
    trainings = [training(Metrics(run.metrics).read(), *module.CURVES) for run in folders]
    chapters = []
    if len(runs) > 1:
        headings, cells = ("run", "scored on", *scores_of(task).HEADINGS), []
        for name, (_, recipe), found in zip(names, opened, examined, strict=True):
            row = scores_of(task).row(recipe, found.scores) if found.scores else ["–"] * (len(headings) - 1)
            cells.append([name, *(cell.replace("**", "") for cell in row)])
        compared = module.compared(dict(zip(names, examined, strict=True)))
        curves = curves_of_runs(dict(zip(names, trainings, strict=True)), *module.CURVES[0])
        side_by_side = {"headings": headings, "rows": cells, "compared": compared, "curves": curves}
        chapters.append(_chapter(0, f"{len(runs)} runs", "compared", side_by_side))
    for number, ((run, recipe), found) in enumerate(zip(opened, examined, strict=True), start=1):
        own = {"found": found, "training": trainings[number - 1], "facts": facts(run, recipe), **module.shown(found)}
        own["recipe_text"] = run.require_recipe()
        chapters.append(_chapter(number, _title(run, recipe), task, own))
    write_text(out, page(f"{', '.join(names)}: report", chapters))


def _require_free(out: Path) -> None:
    """RunError for a file that a report would take the place of, unless it is an older report."""
    if out.is_file() and out.stat().st_size and b"Report of s2s" not in out.read_bytes():
        raise RunError(f"{out}: exists already and is no report of s2s; remove it, or choose another place")


def _names(folders: Sequence[RunFolder]) -> list[str]:
    """Names of run folders, or their whole paths where two have one name."""
    names = [run.path.resolve().name for run in folders]
    return names if len(set(names)) == len(names) else [str(run) for run in folders]


def _chapter(number: int, title: str, template: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A chapter by one of the templates, which adds the titles of its sections to a list."""
    titles = list[str]()
    body = _environment().get_template(f"report-{template}.html").render(chapter=number, titles=titles, **values)
    return {"number": number, "title": title, "titles": titles, "body": Markup(body)}


def page(title: str, chapters: Sequence[Mapping[str, Any]]) -> str:
    """The HTML of chapters, whose policy allows its own styles and nothing else."""
    style = "".join((WEB / name).read_text(encoding="utf-8") for name in ("style.css", "report.css"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = _environment().get_template("report.html")
    return template.render(title=title, chapters=chapters, style=Markup(style), style_hash=digest, version=__version__)


@cache
def _environment() -> Environment:
    """Templates in which everything that is not markup is escaped."""
    loader = FileSystemLoader(WEB)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["form"] = lambda value, form: "–" if value is None else number_text(value, form)
    environment.filters["language"] = language_code
    environment.tests["numeric"] = lambda cell: NUMBER.fullmatch(str(cell)) is not None
    return environment


def language_code(name: str) -> str:
    """Code of a language that a recipe names by its code or in English; empty for one that is not known."""
    code = locale.locale_alias.get(name.lower(), "").split("_")[0]
    return code if re.fullmatch("[a-z]{2,3}", code) else ""


def facts(run: RunFolder, recipe: Recipe) -> list[tuple[str, str]]:
    """What the run was trained from and with."""
    environment, best = recorded(run.environment) or {}, run.require_best()
    with safe_open(best, "numpy") as tensors:
        weights = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    megabytes = best.stat().st_size / 1e6
    versions = ", ".join(f"{name} {number}" for name, number in environment.get("versions", {}).items())
    return [
        ("weights", f"{weights:,} in {megabytes:,.2f} MB"),
        *(("data", _with_licence(name)) for name in environment.get("corpora", {})),
        ("computed with", environment.get("precision", "unknown")),
        ("versions", versions or "unknown"),
    ]


def _with_licence(corpus: str) -> str:
    try:
        manifest = load_manifest(corpus)
    except CorpusError:
        return corpus
    return f"{corpus}: {manifest.title}. Licence: {manifest.licence}. {manifest.citation}"


def _title(run: RunFolder, recipe: Recipe) -> str:
    name = run.path.resolve().name
    return f"{name}: {recipe.title}" if recipe.title else name
