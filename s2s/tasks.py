"""The three tasks, named in this one place; without torch, so that recipe errors come at once."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, cast

from s2s.corpus.sources import Part, Source
from s2s.errors import RunError
from s2s.files import recorded
from s2s.recipe.load import read_recipe
from s2s.recipe.sections import Tree
from s2s.run import MODELS, RunFolder, read_run

if TYPE_CHECKING:
    import s2s.forecast.report
    import s2s.forecast.scores
    import s2s.forecast.task
    import s2s.language.report
    import s2s.language.scores
    import s2s.language.task
    import s2s.translation.report
    import s2s.translation.scores
    import s2s.translation.task
    from s2s.device import Compute, Precision
    from s2s.forecast.recipe import ForecastRecipe
    from s2s.language.recipe import LanguageRecipe
    from s2s.translation.recipe import TranslationRecipe

Recipe: TypeAlias = "TranslationRecipe | LanguageRecipe | ForecastRecipe"
Sources: TypeAlias = Mapping[str, Source[Any]]


class _Trees(Mapping[str, "type[Recipe]"]):
    """Recipe tree of each task, in the order of messages and tables; imported when it is asked for."""

    _names: ClassVar = {"translation": "TranslationRecipe", "language": "LanguageRecipe", "forecast": "ForecastRecipe"}

    def __getitem__(self, task: str) -> "type[Recipe]":
        return cast("type[Recipe]", getattr(import_module(f"s2s.{task}.recipe"), self._names[task]))

    def __contains__(self, task: object) -> bool:
        return task in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


TREES = _Trees()


def load_recipe(recipe: str | Path, overrides: Sequence[str] = (), *, resumed: str | Path | None = None) -> Recipe:
    """The recipe of a shipped name, or of a path that ends in .toml, with the overrides "KEY=VALUE".

    What it leaves to the run that training.start names is read there; of a training that is to be `resumed`, in its own
    run folder. Raises RecipeError for a file that is missing or not readable, and with every rule that it breaks.
    """

    def opened(start: str, task: str) -> Recipe:
        own = None if resumed is None else RunFolder(Path(resumed))
        run = own if own and own.checkpoint.exists() else RunFolder(Path(start))
        found = recipe_of(run)
        if found.task != task:
            held, wanted = MODELS[found.task][0], MODELS[task][0]
            raise RunError(f"{run}: holds a {held}, and the recipe trains a {wanted}; give a run of the same task")
        if run is not own and not (run.require_best() and recorded(run.checkpoint, "progress", "finished") != ""):
            raise RunError(f"{run}: its training has not ended; let it end, with --resume, or name another run")
        return found

    return read_recipe(recipe, TREES, overrides, opened)


def require_recipe(recipe: Recipe) -> None:
    """TypeError for anything but a recipe, such as the name of one."""
    if not isinstance(recipe, Tree):
        raise TypeError(
            f"recipe: what load_recipe gives is wanted (given {recipe!r}), as in train(load_recipe(NAME), out)"
        )


def recipe_of(run: RunFolder, *, whole: bool = False) -> Recipe:
    """The recipe that a run folder was trained with, whatever its task, as `read_run` gives it."""
    return read_run(run, TREES, whole=whole)


class TaskModule(Protocol):
    """What `s2s.TASK.task` answers: from a recipe to data, a training, scores and plots. Imports torch."""

    def find(self, recipe: Any, corpora: Path | None, /) -> Sources:
        """All data that a recipe names, by key; an error says which key named what is not there."""

    def check(self, recipe: Any, sources: Any, /) -> Iterator[str]:
        """Amount of data, in lines for people, after all of it is read."""

    def prepare(self, recipe: Any, run: RunFolder, compute: "Compute", sources: Any, /) -> Any:
        """A `Task`: everything before the first step of a training."""

    def unlike_start(self, recipe: Any, sources: Any, start: RunFolder, own: Any, /) -> Iterator[str]:
        """What a run to start from, whose `own` data may be known, lacks for the data of a training, in sentences."""

    def scored_part(self, recipe: Any, /) -> str | None:
        """What is scored when a training has ended, if anything."""

    def part_of(
        self, run: RunFolder, recipe: Any, *, on: str | None, files: Any, beam: int | None, corpora: Path | None
    ) -> Part:
        """What to score a run on; DataError for what it cannot be scored on."""

    def score(
        self, run: RunFolder, recipe: Any, part: Part, *, device: str, precision: "Precision", beam: int | None
    ) -> dict[str, Any]:
        """The scores of a run's best weights on a part."""

    def draw(self, run: RunFolder, task: Any, sources: Any, device: str, /) -> None:
        """Write the plots of a run that has ended."""


class ScoresModule(Protocol):
    """What `s2s.TASK.scores` answers: scores as text. Does not import torch."""

    @property
    def HEADINGS(self) -> tuple[str, ...]:
        """Of the columns with scores in a table of runs."""

    def score_text(self, result: Mapping[str, Any], /) -> str:
        """The scores of one run, for people."""

    def row(self, recipe: Any, result: Mapping[str, Any], /) -> list[str]:
        """What was scored, and the cells below HEADINGS."""


class ReportModule(Protocol):
    """What `s2s.TASK.report` answers: what people look at. Imports torch."""

    @property
    def CURVES(self) -> tuple[tuple[str, str], Mapping[str, str]]:
        """Loss of a validation, its key and its unit, and titles of further scores by key."""

    def examine(self, run: RunFolder, recipe: Any, corpora: Path | None, device: str, /) -> Any:
        """What a run has and gives; what cannot be had, for want of its data, is left out with a remark."""

    def shown(self, found: Any, /) -> Mapping[str, Any]:
        """What report-TASK.html shows of one run, besides what was found."""

    def compared(self, named: Any, /) -> Sequence[Any]:
        """What is to be said of several runs, given by name, and charts of it."""


def task_of(recipe: Recipe) -> TaskModule:
    """Module of a recipe's task."""
    return cast(TaskModule, import_module(f"s2s.{recipe.task}.task"))


def scores_of(task: str) -> ScoresModule:
    """Module of a task's scores."""
    return cast(ScoresModule, import_module(f"s2s.{task}.scores"))


def report_of(task: str) -> ReportModule:
    """Module of a task's report."""
    return cast(ReportModule, import_module(f"s2s.{task}.report"))


if TYPE_CHECKING:
    _tasks: tuple[TaskModule, ...] = (s2s.translation.task, s2s.language.task, s2s.forecast.task)
    _scores: tuple[ScoresModule, ...] = (s2s.translation.scores, s2s.language.scores, s2s.forecast.scores)
    _reports: tuple[ReportModule, ...] = (s2s.translation.report, s2s.language.report, s2s.forecast.report)
