"""The report of one or several runs, as one HTML file."""

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from safetensors import safe_open

from s2s import __version__
from s2s.corpus.find import load_manifest
from s2s.errors import CorpusError, RunError
from s2s.figures.page import Section, folded, table
from s2s.files import write_text
from s2s.run import RunFolder, recorded
from s2s.tasks import Recipe, recipe_of, report_of

WEB = Path(__file__).resolve().parents[1] / "web"
"""Folder of the template and its styles."""


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
    module = report_of(tasks.pop())
    examined = [module.examine(run, recipe, corpora, device) for run, recipe in opened]
    chapters = [
        (_title(run, recipe), [*module.sections(found), Section("The run", facts(run, recipe))])
        for (run, recipe), found in zip(opened, examined, strict=True)
    ]
    if len(runs) > 1:
        chapters.insert(0, (f"{len(runs)} runs", module.compared(dict(zip(_names(folders), examined, strict=True)))))
    write_text(out, page(f"{', '.join(_names(folders))}: report", chapters))


def _require_free(out: Path) -> None:
    """RunError for a file that a report would take the place of, unless it is an older report."""
    if out.is_file() and out.stat().st_size and b"Report of s2s" not in out.read_bytes():
        raise RunError(f"{out}: exists already and is no report of s2s; remove it, or choose another place")


def _names(folders: Sequence[RunFolder]) -> list[str]:
    """Names of run folders, or their whole paths where two have one name."""
    names = [run.path.resolve().name for run in folders]
    return names if len(set(names)) == len(names) else [str(run) for run in folders]


def page(title: str, chapters: Sequence[tuple[str, Sequence[Section]]]) -> str:
    """The HTML of chapters of sections, whose policy allows its own styles and nothing else."""
    style = "".join((WEB / name).read_text(encoding="utf-8") for name in ("style.css", "report.css"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(
        title=title, chapters=chapters, style=Markup(style), style_hash=digest, version=__version__
    )


@cache
def _template() -> Template:
    loader = FileSystemLoader(WEB)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


def facts(run: RunFolder, recipe: Recipe) -> list[Markup]:
    """What the run was trained from and with."""
    environment, best = recorded(run.environment) or {}, run.require_best()
    with safe_open(best, "numpy") as tensors:
        weights = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    megabytes = best.stat().st_size / 1e6
    versions = ", ".join(f"{name} {number}" for name, number in environment.get("versions", {}).items())
    rows = [
        ("weights", f"{weights:,}" + (f" in {megabytes:,.1f} MB" if megabytes >= 0.1 else "")),
        *(("data", _with_licence(name)) for name in environment.get("corpora", {})),
        ("computed with", environment.get("precision", "unknown")),
        ("versions", versions or "unknown"),
    ]
    recipe_text = Markup("<pre tabindex=0>{}</pre>").format(run.require_recipe())
    return [table(("fact", "value"), rows), folded("The recipe, with all values", recipe_text)]


def _with_licence(corpus: str) -> str:
    try:
        manifest = load_manifest(corpus)
    except CorpusError:
        return corpus
    return f"{corpus}: {manifest.title}. Licence: {manifest.licence}. {manifest.citation}"


def _title(run: RunFolder, recipe: Recipe) -> str:
    name = run.path.resolve().name
    return f"{name}: {recipe.title}" if recipe.title else name
