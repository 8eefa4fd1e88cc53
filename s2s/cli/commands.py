"""The command line: parse, call, print.

Results go to stdout; progress, warnings and errors to stderr. torch is imported only inside the commands that
compute, so that help and recipe errors come at once.
"""

import csv
import logging
import math
import sys
from pathlib import Path
from typing import Any

import click

from s2s import __version__
from s2s.cli.generate import generate
from s2s.cli.outside import export, report
from s2s.cli.serve import serve
from s2s.cli.shipped import cache, corpora, recipes
from s2s.cli.teaching import backtranslate, distil, score
from s2s.cli.terminal import (
    FILE,
    FOLDER,
    Commands,
    corpora_option,
    device_option,
    messages,
    precision_option,
    together,
    train_and_show,
    wait_passively,
)
from s2s.cli.translate import translate
from s2s.errors import S2SError
from s2s.process import require_one_process, started_together

log = logging.getLogger("s2s")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="s2s")
@click.pass_context
def main(context: click.Context) -> None:
    """Train and run recurrent translators, language models and forecasters, each from one recipe file.

    Exit codes: 0 success, 1 failure, as of a wrong recipe or KEY=VALUE, 2 wrong options, 130 interrupted. With
    S2S_DEBUG=1 errors show a traceback.
    """
    require_one_process(trains=context.invoked_subcommand == "train" and started_together())
    context.with_resource(messages())
    wait_passively()
    if sys.stdout is None and context.invoked_subcommand not in ("train", "translate"):  # which write files too
        raise S2SError(f"the standard output is closed, and s2s {context.invoked_subcommand} has nowhere to write to")


@main.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option("--out", type=FOLDER, help="Run folder. Default: runs/<recipe name>.")
@click.option("--resume", is_flag=True, help="Continue from the run folder's last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Check recipe and data, print the recipe; do not train.")
@corpora_option
@device_option
def train(
    recipe: str, overrides: tuple[str, ...], out: Path | None, dry_run: bool, corpora: Path | None, **options: Any
) -> None:
    """Train RECIPE: the name of a shipped recipe, or a path that ends in .toml.

    KEY=VALUE overrides a value of the recipe, for example model.hidden_size=256. Ctrl-C and SIGTERM save a checkpoint
    and exit.
    """
    from s2s.tasks import load_recipe, task_of

    place = out or Path("runs") / (Path(recipe).stem if recipe.endswith(".toml") else recipe)
    with together(options["device"]):
        loaded = load_recipe(recipe, overrides, resumed=place if options["resume"] else None)
        if dry_run:
            from s2s.recipe.load import recipe_toml

            task = task_of(loaded)
            for line in task.check(loaded, task.find(loaded, corpora)):
                log.info("%s", line)
            click.echo(recipe_toml(loaded), nl=False)
            return
        train_and_show(loaded, place, corpora=corpora, **options)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=FOLDER)
@click.option("--on", metavar="SPLIT", help="Split to score: train, validation, test, or CORPUS/SPLIT. Default: test.")
@click.option(
    "--source",
    type=FILE,
    help="Instead of --on: source lines with --reference, a file of pairs such as .tmx, or a language model's text.",
)
@click.option("--reference", type=FILE, help="Reference translations of the source lines.")
@click.option("--tag", help="Tag of the sources that --on CORPUS/SPLIT or --source gives.")
@click.option("--beam", type=click.IntRange(min=1), help="Beam size of a translator. Default: the recipe's.")
@click.option("--dynamic", is_flag=True, help="Let a language model's weights follow the text (Krause et al. 2018).")
@click.option("--rate", type=click.FloatRange(0, 1000), help="Learning rate of --dynamic. Default: 0.0005.")
@click.option("--window", type=click.IntRange(min=1), help="Tokens scored and then learned at a time. Default: 20.")
@click.option(
    "--origins",
    type=click.IntRange(min=1),
    help="Backtest of a forecaster: from so many origins, spread evenly over the split. Default: from every row.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpora_option
@precision_option
@device_option
def evaluate(
    runs: tuple[Path, ...],
    on: str | None,
    source: Path | None,
    reference: Path | None,
    dynamic: bool,
    rate: float | None,
    window: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score each RUN: BLEU and chrF of a translator, nats per token of a language model, errors of a forecaster.

    Several translators are compared with the first by paired bootstrap, where they were scored on the same pairs.
    """
    if source is None and reference is not None:
        raise click.UsageError("--reference needs --source")
    if source is not None and on is not None:
        raise click.UsageError("--on and --source exclude each other")
    followed: dict[str, Any] = {key: value for key, value in (("rate", rate), ("window", window)) if value is not None}
    if followed and not dynamic:
        raise click.UsageError("--rate and --window are of --dynamic; give it too, or leave them out")
    if rate is not None and not math.isfinite(rate):
        raise click.UsageError("--rate must be a number")
    if dynamic:
        from s2s.language.dynamic import Dynamic

        options["dynamic"] = Dynamic(**followed)
    from s2s.device import settle_process
    from s2s.files import json_text
    from s2s.jobs.evaluate import evaluate as score_runs
    from s2s.jobs.evaluate import without_text
    from s2s.language.recipe import TextFile
    from s2s.run import RunFolder
    from s2s.tasks import recipe_of, scores_of
    from s2s.translation.comparison import compare, comparison_text
    from s2s.translation.data import FileSplit, TableSplit

    settle_process()
    files: FileSplit | TableSplit | TextFile | None = None
    if source is not None and reference is not None:
        files = FileSplit(source=str(source), target=str(reference))
    elif source is not None:
        recipe, name = recipe_of(RunFolder(runs[0])), str(source)
        has_pairs = recipe.task == "translation" and recipe.is_path(name)
        files = TableSplit(table=name) if has_pairs else TextFile(file=name)
    results = score_runs(runs, on=on, files=files, **options)
    plain = [without_text(result) for result in results]
    comparisons = compare(results)
    if as_json:
        click.echo(json_text(plain[0] if len(plain) == 1 else {"runs": plain, "comparisons": comparisons}))
        return
    texts = [scores_of(result["task"]).score_text(result) for result in plain]
    click.echo("".join([*texts, *map(comparison_text, comparisons)]), nl=False)


@main.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--input",
    "source",
    type=FILE,
    help="CSV file with the columns that the recipe names, its time column too. Default: continue the run's own file.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps to forecast; any number for a model whose steps are fed back. Default: the recipe's data.horizon.",
)
@click.option("--plot", type=FILE, help="PNG file: plot the last rows and the forecast of the first target.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, one for each step.")
@device_option
def forecast(run: Path, source: Path | None, steps: int | None, plot: Path | None, as_json: bool, device: str) -> None:
    """Forecast the steps after the last row with the forecaster RUN; print CSV or JSON.

    There is a column for each target and, unless the model gives points, for each of its quantiles; where the recipe
    has data.series_id, there are rows for each series. No row before the last hole in time is read.
    """
    from s2s.files import json_text
    from s2s.forecast.forecaster import forecast_rows

    rows, draw = forecast_rows(run, source, device, steps)
    if as_json:
        click.echo(json_text(rows))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows(
            [value if isinstance(value, str) else f"{value:.10g}" for value in row.values()] for row in rows
        )
    if plot is not None:
        draw(plot)


@main.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option("--run", type=FOLDER, help="Run folder with the weights to translate with. Default: runs/<recipe name>.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=1),
    default=5.0,
    show_default=True,
    help="Time that it may take: with more there are more rounds, and more pairs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpora_option
@device_option
def bench(
    recipe: str, overrides: tuple[str, ...], run: Path | None, as_json: bool, minutes: float, **options: Any
) -> None:
    """Measure how fast RECIPE trains and translates here, compared with textbook code and the machine's limit.

    Nothing else should run meanwhile; the lowest and the highest of the rounds stand beside each figure. Without a run
    folder, the weights trained in the measurement translate. Of a recipe with variants, only the recipe itself is
    measured.
    """
    from s2s.tasks import load_recipe

    loaded = load_recipe(recipe, overrides)  # its errors come before the import of torch
    from s2s.benchmark.report import benchmark, benchmark_text
    from s2s.files import json_text

    name = Path(recipe).stem if recipe.endswith(".toml") else recipe
    found = benchmark(loaded, run or Path("runs") / name, asked=run is not None, minutes=minutes, **options)
    click.echo(json_text(found) if as_json else benchmark_text(found), nl=as_json)


for command in (translate, generate, score, distil, backtranslate, export, report, serve, recipes, corpora, cache):
    main.add_command(command)
