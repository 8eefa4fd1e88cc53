"""The command line: parse, call, print. The only module that prints.

Results go to stdout; progress, warnings and errors to stderr. torch is imported only inside the
commands that compute, so that help and recipe errors answer at once.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, TypeVar

import click
from tqdm import tqdm

from s2s.errors import S2SError

Command = TypeVar("Command", bound=Callable[..., Any])
LINES_AT_ONCE = 2048
"""Lines taken together from a filter's input, so that similar lengths meet; fewer when no more are waiting."""


class _Group(click.Group):
    """Turns an error into one readable message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (S2SError, OSError) as problem:
            if os.environ.get("S2S_DEBUG") == "1":
                raise
            click.echo(f"s2s: {_message(problem)}", err=True)
            context.exit(1)
        except KeyboardInterrupt:
            click.echo("s2s: interrupted", err=True)
            context.exit(130)


def _message(problem: BaseException) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        name = f"{problem.filename}: " if problem.filename else ""
        return f"{name}{problem.strerror}; nothing half-written is left behind"
    return str(problem)


class _ThroughBars(logging.Handler):
    """Writes messages to stderr without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="s2s")
def main() -> None:
    """Train and run recurrent sequence-to-sequence translators from one recipe file."""
    log = logging.getLogger("s2s")
    if not log.handlers:
        log.addHandler(_ThroughBars())
        log.setLevel(logging.INFO)
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(log.handlers[0])


def _device_option(command: Command) -> Command:
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")(command)


def _precision_option(command: Command) -> Command:
    choices = click.Choice(["auto", "float32", "bfloat16"])
    text = "Of matrix products; float32 gives the same translations in every batch."
    return click.option("--precision", type=choices, default="float32", show_default=True, help=text)(command)


def _corpora_option(command: Command) -> Command:
    text = "Folder of corpora; default: S2S_CORPORA, then the user's cache."
    return click.option("--corpora", type=click.Path(file_okay=False, path_type=Path), help=text)(command)


@main.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/<recipe name>.")
@click.option("--resume", is_flag=True, help="Go on from the run folder's last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and the data's presence, print the recipe, train nothing.")
@_corpora_option
@_device_option
def train(
    recipe: str, overrides: tuple[str, ...], out: Path | None, resume: bool, dry_run: bool, corpora: Path | None, device: str
) -> None:
    """Train RECIPE: a shipped recipe's name, or a path that ends in .toml."""
    from s2s.recipe_file import load_recipe, recipe_toml

    loaded = load_recipe(recipe, overrides)
    if dry_run:
        click.echo(recipe_toml(loaded), nl=False)
        return
    from s2s.tasks.train import train as run_training
    from s2s.training.trainer import Interrupted

    name = recipe.removesuffix(".toml").rsplit("/", 1)[-1]
    place = out or Path("runs") / name
    try:
        run = run_training(loaded, place, resume=resume, corpora=corpora, device=device, command=sys.argv)
    except Interrupted as stop:
        click.echo(f"s2s: {stop}; go on with --resume", err=True)
        raise SystemExit(130) from None
    if run.scores.exists():
        _print_scores([json.loads(run.scores.read_text(encoding="utf-8"))])
    click.echo(f"{run}", err=True)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option("--input", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: stdin.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout.")
@click.option("--beam", type=click.IntRange(min=1), help="Hypotheses kept; 1 is greedy. Default: the recipe's.")
@click.option("--nbest", type=click.IntRange(min=1), default=1, show_default=True, help="Translations of each line.")
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@click.option("--tokens", is_flag=True, help="With jsonl: tokens, their log-probabilities and the attention.")
@click.option("--attention", type=click.Path(path_type=Path), help="Draw the alignment of the first line to this PNG.")
@click.option("--batch", type=click.IntRange(min=1), help="Lines searched together. Default: the recipe's.")
@_precision_option
@_device_option
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
    """Translate lines with one RUN, or with several as an ensemble: one line in, one line out."""
    from s2s.decoding.translator import Translator
    from s2s.text.lines import read_lines

    translator = Translator.load(*runs, device=device, precision=precision)
    if batch:
        translator.decoding = translator.decoding.model_copy(update={"batch_lines": batch})
    blocks = _blocks(read_lines(source)) if source else _arriving(sys.stdin.buffer)
    draw = attention
    with _opened(output) as out:
        for block in blocks:
            wants_attention = tokens or draw is not None
            for found in translator.translate(block, beam=beam, nbest=nbest, attention=wants_attention):
                if draw is not None and found.tokens:
                    _draw_attention(found, draw)
                    draw = None
                for line in _lines_of(found, form, nbest, tokens):
                    out.write(line + "\n")
            out.flush()


def _lines_of(found: Any, form: str, nbest: int, tokens: bool) -> Iterator[str]:
    """The output of one input line: one line, or `nbest` lines of text with their scores."""
    if form == "jsonl":
        row: dict[str, Any] = {"text": found.text, "score": found.score, "flags": list(found.flags)}
        row["log_probability"] = found.log_probability
        row["nbest"] = [each._asdict() for each in found.nbest]
        if tokens:
            row["tokens"] = list(found.tokens)
            row["token_log_probabilities"] = list(found.log_probabilities)
            row["source_tokens"] = list(found.source_tokens)
            row["attention"] = None if found.attention is None else found.attention.round(4).tolist()
        yield json.dumps(row, ensure_ascii=False)
    elif nbest == 1:
        yield found.text
    else:
        alternatives = found.nbest or ()
        for rank in range(nbest):
            yield f"{alternatives[rank].score:.4f}\t{alternatives[rank].text}" if rank < len(alternatives) else ""


def _draw_attention(found: Any, path: Path) -> None:
    from s2s.evaluation.plots import plot_attention

    if found.attention is None:
        raise S2SError(f"--attention {path}: the model has no attention to draw (model.attention is none)")
    plot_attention(found.attention, found.source_tokens, found.tokens, path)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=click.Path(path_type=Path))
@click.option("--on", default="test", show_default=True, help="train, validation, test, or CORPUS/SPLIT.")
@click.option("--source", type=click.Path(path_type=Path), help="Source lines; with --reference in place of --on.")
@click.option("--reference", type=click.Path(path_type=Path), help="Reference lines.")
@click.option("--beam", type=click.IntRange(min=1), help="Default: the recipe's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_corpora_option
@_precision_option
@_device_option
def evaluate(
    runs: tuple[Path, ...],
    on: str,
    source: Path | None,
    reference: Path | None,
    beam: int | None,
    as_json: bool,
    corpora: Path | None,
    precision: Any,
    device: str,
) -> None:
    """Score each RUN with BLEU and chrF; several are compared with the first by paired bootstrap."""
    if (source is None) != (reference is None):
        raise click.UsageError("--source and --reference go together")
    from s2s.recipe import FileSplit
    from s2s.tasks.scoring import compare, without_text
    from s2s.tasks.scoring import evaluate as score_runs

    files = FileSplit(source=str(source), target=str(reference)) if source else None
    results = score_runs(runs, on=on, files=files, corpora=corpora, device=device, precision=precision, beam=beam)
    plain = [without_text(result) for result in results]
    comparisons = compare(results)
    if as_json:
        click.echo(json.dumps(plain[0] if len(plain) == 1 else {"runs": plain, "comparisons": comparisons}, indent=2))
        return
    _print_scores(plain)
    for each in comparisons:
        click.echo(
            f"{each['run']} against {each['against']}: {each['difference']:+.2f} BLEU"
            f" [{each['low']:+.2f}, {each['high']:+.2f}], p = {each['p_value']:.4f} (paired bootstrap)"
        )


def _print_scores(results: Sequence[dict[str, Any]]) -> None:
    for result in results:
        click.echo(f"{result['run']} on {result['split']}, {result['examples']:,} examples, beam {result['beam']}")
        for name, score in result["scores"].items():
            interval = f" [{score['low']:.2f}, {score['high']:.2f}]" if "low" in score else ""
            click.echo(f"  {name:5} {score['value']:6.2f}{interval}  {score.get('signature', '')}")
        click.echo("  source tokens   examples    BLEU   length ratio")
        for row in result["by_length"]:
            click.echo(f"  {row['source_tokens']:>13} {row['examples']:>10,} {row['bleu']:>7.2f} {row['length_ratio']:>14.3f}")
        click.echo("  " + ", ".join(f"{name} {share:.2%}" for name, share in result["rates"].items()))


@main.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List the shipped recipes; show, copy or check one, or tabulate runs."""
    if context.invoked_subcommand is None:
        from s2s.recipe_file import load_recipe, recipe_names

        for name in recipe_names():
            click.echo(f"{name:24} {load_recipe(name).title}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe with its measured results."""
    from s2s.recipe_file import recipe_path

    click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False)


@recipes.command()
@click.argument("name")
@click.argument("destination", type=click.Path(path_type=Path))
def copy(name: str, destination: Path) -> None:
    """Copy a shipped recipe to DESTINATION, to change it."""
    from s2s.atomic import write_bytes
    from s2s.recipe_file import recipe_path

    place = destination / f"{name}.toml" if destination.is_dir() else destination
    if place.exists():
        raise S2SError(f"{place}: exists already; choose another name")
    write_bytes(place, recipe_path(name).read_bytes())
    click.echo(place)


@recipes.command()
@click.argument("path")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
def check(path: str, overrides: tuple[str, ...]) -> None:
    """Read a recipe and say everything that is wrong with it."""
    from s2s.recipe_file import load_recipe

    load_recipe(path, overrides)
    click.echo(f"{path}: a valid recipe")


@recipes.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=click.Path(path_type=Path))
def table(runs: tuple[Path, ...]) -> None:
    """Write a table of run folders' scores, in Markdown."""
    from s2s.result_table import result_table

    click.echo(result_table(runs), nl=False)


@main.group(invoke_without_command=True)
@click.pass_context
def corpora(context: click.Context) -> None:
    """List the corpora that s2s knows; fetch one, or say where it lies."""
    if context.invoked_subcommand is None:
        from s2s.corpora import load_manifest, names

        for name in names():
            manifest = load_manifest(name)
            click.echo(f"{name:20} {manifest.title} ({manifest.licence})")


@corpora.command()
@click.argument("name")
@_corpora_option
def fetch(name: str, corpora: Path | None) -> None:
    """Download a corpus, verify it, and put it in place."""
    from s2s.corpora import fetch as fetch_corpus

    click.echo(fetch_corpus(name, corpora))


@corpora.command()
@click.argument("name")
@_corpora_option
def where(name: str, corpora: Path | None) -> None:
    """Print the folder in which a corpus is looked for."""
    from s2s.corpora import folder, load_manifest

    load_manifest(name)
    click.echo(folder(name, corpora))


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == LINES_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _arriving(stream: IO[bytes]) -> Iterator[list[str]]:
    """Lines of a stream in blocks: what is waiting, without waiting for more."""
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def read() -> None:
        for line in stream:
            queue.put(line)
        queue.put(None)

    Thread(target=read, daemon=True).start()
    number, ended = 0, False
    while not ended:
        raw = [queue.get()]
        try:
            while raw[-1] is not None and len(raw) < LINES_AT_ONCE:
                raw.append(queue.get_nowait())
        except Empty:
            pass
        ended = raw[-1] is None
        block = []
        for line in raw:
            if line is not None:
                number += 1
                block.append(_decoded(line, number))
        if block:
            yield block


def _decoded(line: bytes, number: int) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as problem:
        raise S2SError(
            f"standard input, line {number:,}: byte 0x{line[problem.start]:02x} is not UTF-8; convert the text to UTF-8"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


class _opened:  # noqa: N801 - reads as a verb where it is used
    """The output: stdout, or a file that is whole or absent."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __enter__(self) -> IO[str]:
        if self.path is None:
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")  # type: ignore[union-attr]
            return sys.stdout
        from s2s.atomic import writing

        self.place = writing(self.path)
        self.file = self.place.__enter__().open("w", encoding="utf-8", newline="\n")
        return self.file

    def __exit__(self, *problem: Any) -> None:
        if self.path is not None:
            self.file.close()
            self.place.__exit__(*problem)
