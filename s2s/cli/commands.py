"""The command line: parse, call, print. The only module that prints, with `s2s.cli.terminal` for what goes wrong.

Results go to stdout; progress, warnings and errors to stderr. torch is imported only inside the
commands that compute, so that help and recipe errors answer at once.
"""

import csv
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import click

from s2s import __version__
from s2s.cli.options import FILE, corpora_option, device_option, precision_option
from s2s.cli.shipped import corpora, recipes
from s2s.cli.terminal import Commands, messages
from s2s.errors import S2SError

log = logging.getLogger("s2s")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="s2s")
@click.pass_context
def main(context: click.Context) -> None:
    """Train and run recurrent sequence-to-sequence translators from one recipe file.

    Exit codes: 0 done, 1 the work failed, 2 the command line was wrong, 130 interrupted. S2S_DEBUG=1 shows where an
    error comes from.
    """
    context.with_resource(messages())


@main.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/<recipe name>.")
@click.option("--resume", is_flag=True, help="Go on from the run folder's last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Check the recipe, read the data, print the recipe; train nothing.")
@corpora_option
@device_option
def train(
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    corpora: Path | None,
    **options: Any,
) -> None:
    """Train RECIPE: a shipped recipe's name, or a path that ends in .toml.

    KEY=VALUE puts another value in the recipe, for example model.hidden_size=256. Ctrl-C and SIGTERM save and exit.
    """
    from s2s.tasks import load_recipe, scores_of, task_of

    loaded = load_recipe(recipe, overrides)
    if dry_run:
        from s2s.recipe.toml import recipe_toml

        task = task_of(loaded)
        for line in task.check(loaded, task.find(loaded, corpora)):
            log.info("%s", line)
        click.echo(recipe_toml(loaded), nl=False)
        return
    from s2s.jobs.train import train as run_training
    from s2s.jobs.variants import train_variants
    from s2s.training.stopping import Interrupted

    name = Path(recipe).stem if recipe.endswith(".toml") else recipe
    try:
        place = out or Path("runs") / name
        if loaded.trainings:
            train_variants(loaded, place, corpora=corpora, command=sys.argv, **options)
            click.echo((place / "results.md").read_text(encoding="utf-8"), nl=False)
            return
        run = run_training(loaded, place, corpora=corpora, command=sys.argv, **options)
    except Interrupted as stop:
        click.echo(f"s2s: {stop}; go on with --resume", err=True)
        raise SystemExit(130) from None
    if run.scores.exists():
        scores = json.loads(run.scores.read_text(encoding="utf-8"))
        click.echo(scores_of(loaded.task).score_text(scores), nl=False)
    log.info("%s", run)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option("--input", "source", type=FILE, help="Lines to translate, .gz accepted. Default: stdin.")
@click.option("--output", type=FILE, help="A file is written whole at the end, or not at all. Default: stdout.")
@click.option("--beam", type=click.IntRange(min=1), help="Hypotheses kept; 1 is greedy. Default: the recipe's.")
@click.option(
    "--nbest",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Translations of each line; the beam is as wide at least. As text, more than 1 gives N lines for each line:"
    " score, tab, translation.",
)
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@click.option("--tokens", is_flag=True, help="With jsonl: tokens, their log-probabilities and the attention.")
@click.option("--attention", type=FILE, help="Draw the alignment of the first line that is not blank to this PNG.")
@click.option("--batch", type=click.IntRange(min=1), help="Lines searched together. Default: the recipe's.")
@precision_option
@device_option
def translate(
    runs: tuple[str, ...],
    source: Path | None,
    output: Path | None,
    beam: int | None,
    nbest: int,
    form: str,
    tokens: bool,
    attention: Path | None,
    batch: int | None,
    precision: Any,
    device: str,
) -> None:
    """Translate lines with one RUN, or with several as an ensemble.

    A filter: one line in, one line out, in order, blank for blank, answered as they come.
    """
    if tokens and form != "jsonl":
        raise click.UsageError("--tokens needs --format jsonl")
    if source is None and sys.stdin is None:
        raise S2SError("the standard input is closed; give --input FILE, or lines")
    from s2s.cli.filter import arriving, in_blocks, rendered
    from s2s.cli.filter import output as opened
    from s2s.text.lines import read_lines
    from s2s.translation.translator import Translator

    translator = Translator.load(*runs, device=device, precision=precision)
    if batch:
        translator = translator.with_batch(batch)
    draw = attention
    with opened(output, sys.stdout) as out:
        for block in in_blocks(read_lines(source)) if source else arriving(sys.stdin.buffer):
            for found in translator.translate(block, beam=beam, nbest=nbest, attention=tokens or draw is not None):
                if draw is not None and found.tokens:
                    _draw_attention(found, draw)
                    draw = None
                for line in rendered(found, jsonl=form == "jsonl", nbest=nbest, tokens=tokens):
                    out.write(line + "\n")
            out.flush()
    if draw is not None:
        log.warning("--attention %s: nothing drawn, the input has no line with words", draw)


def _draw_attention(found: Any, path: Path) -> None:
    from s2s.translation.plots import plot_attention

    if found.attention is None:
        raise S2SError(f"--attention {path}: the model has no attention to draw (model.attention is none)")
    plot_attention(found.attention, found.source_tokens, found.tokens, path)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=click.Path(path_type=Path))
@click.option("--on", metavar="SPLIT", help="train, validation, test, or CORPUS/SPLIT. Default: test.")
@click.option("--source", type=FILE, help="Source lines with --reference, or a language model's text; for --on.")
@click.option("--reference", type=FILE, help="Reference lines.")
@click.option("--beam", type=click.IntRange(min=1), help="Default: the recipe's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@corpora_option
@precision_option
@device_option
def evaluate(
    runs: tuple[Path, ...],
    on: str | None,
    source: Path | None,
    reference: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score each RUN: BLEU and chrF of a translator, nats per token of a language model, errors of a forecaster.

    Several translators are compared with the first by paired bootstrap.
    """
    if source is None and reference is not None:
        raise click.UsageError("--reference needs --source")
    if source is not None and on is not None:
        raise click.UsageError("--on and --source exclude each other")
    from s2s.jobs.evaluate import evaluate as score_runs
    from s2s.jobs.evaluate import without_text
    from s2s.language.recipe import TextFile
    from s2s.run import json_text
    from s2s.tasks import scores_of
    from s2s.translation.recipe import FileSplit
    from s2s.translation.scores import compare, comparison_text

    files: FileSplit | TextFile | None = None
    if source is not None:
        files = FileSplit(source=str(source), target=str(reference)) if reference else TextFile(file=str(source))
    results = score_runs(runs, on=on, files=files, compared=True, **options)
    plain = [without_text(result) for result in results]
    comparisons = compare(results)
    if as_json:
        both = plain[0] if len(plain) == 1 else {"runs": plain, "comparisons": comparisons}
        click.echo(json_text(both))
        return
    texts = [scores_of(result["task"]).score_text(result) for result in plain]
    click.echo("".join([*texts, *map(comparison_text, comparisons)]), nl=False)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompt", default="", help="The text to continue. Default: the beginning of a line.")
@click.option("--length", type=click.IntRange(min=0), default=200, show_default=True, help="Tokens to write.")
@click.option("--temperature", type=click.FloatRange(0, 1e6), default=1.0, show_default=True, help="0 is --greedy.")
@click.option("--top-k", type=click.IntRange(min=0), default=0, help="Draw from the K most likely tokens; 0 is off.")
@click.option(
    "--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Draw from the most likely ones."
)
@click.option("--greedy", is_flag=True, help="Always the most likely token.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True)
@click.option("--n", "samples", type=click.IntRange(min=1), default=1, show_default=True, help="Samples, in one batch.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects: text, log_probability, tokens.")
@precision_option
@device_option
def generate(
    run: Path,
    prompt: str,
    temperature: float,
    top_p: float,
    greedy: bool,
    as_json: bool,
    precision: Any,
    device: str,
    **sampling: Any,
) -> None:
    """Continue a text with the language model RUN."""
    if not math.isfinite(temperature + top_p):
        raise click.UsageError("--temperature and --top-p must be numbers")
    from s2s.language.generator import Generator
    from s2s.run import json_text

    generator = Generator.load(run, device=device, precision=precision)
    found = generator.generate(prompt, temperature=0.0 if greedy else temperature, top_p=top_p, **sampling)
    if as_json:
        click.echo(json_text([each._asdict() for each in found]))
        return
    for each in found:
        click.echo(each.text)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "source",
    type=FILE,
    help="CSV with the columns that the recipe names, its time column too. Default: go on after the run's own file.",
)
@click.option("--plot", type=FILE, help="Draw the last rows and the forecast of the first target to this PNG.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one for each step.")
@device_option
def forecast(run: Path, source: Path | None, plot: Path | None, as_json: bool, device: str) -> None:
    """Forecast what comes after the last row, with the forecaster RUN: CSV, or JSON.

    A column for each target, and one for each of its quantiles where the model gives them.
    """
    from s2s.forecast.forecaster import forecast_rows
    from s2s.run import json_text

    rows, draw = forecast_rows(run, source, device)
    if as_json:
        click.echo(json_text(rows))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([f"{value:.10g}" for value in row.values()] for row in rows)
    if plot is not None:
        draw(plot)


@main.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option("--run", type=click.Path(path_type=Path), help="Weights to translate with. Default: runs/<recipe name>.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@corpora_option
@device_option
def bench(
    recipe: str, overrides: tuple[str, ...], run: Path | None, as_json: bool, corpora: Path | None, device: str
) -> None:
    """Measure how fast RECIPE trains and translates here, beside the textbook's way and the machine's limit.

    Takes some minutes; nothing else should run. Without a run folder it translates with what its own steps learned. Of
    a recipe with variants the recipe itself is measured.
    """
    from s2s.tasks import load_recipe

    loaded = load_recipe(recipe, overrides)
    from s2s.benchmark.report import benchmark, benchmark_text

    name = Path(recipe).stem if recipe.endswith(".toml") else recipe
    found = benchmark(loaded, run or Path("runs") / name, asked=run is not None, corpora=corpora, device=device)
    click.echo(json.dumps(found, indent=2) if as_json else benchmark_text(found), nl=as_json)


main.add_command(recipes)
main.add_command(corpora)
