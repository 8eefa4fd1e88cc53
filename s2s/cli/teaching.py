"""`s2s score`, `s2s distil` and `s2s backtranslate`: numbers for given text, and pairs that models make."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from s2s.cli.terminal import FILE, FOLDER, corpora_option, device_option, precision_option, temperature, train_and_show
from s2s.errors import DataError, S2SError
from s2s.recipe.arguments import shortened

tag_option = click.option("--tag", help="Tag of all sources, one of those of the recipe's data.train.")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=FOLDER)
@click.option("--source", type=FILE, help="Text of a language model, or source lines with --target. Default: stdin.")
@click.option("--target", type=FILE, help="Translations of the source lines. Default: stdin has SOURCE, tab, TARGET.")
@click.option("--carried", is_flag=True, help="Carry a language model's state from line to line. Default: zeros.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print an object a line: these, nats per token, and of a text bits per byte.",
)
@tag_option
@precision_option
@device_option
def score(
    runs: tuple[Path, ...],
    source: Path | None,
    target: Path | None,
    carried: bool,
    as_json: bool,
    tag: str | None,
    **options: Any,
) -> None:
    """Print for each line, tab separated: nats, tokens, unknown tokens.

    The nats are the negative log-likelihood of a line under a language model, or of TARGET given SOURCE under a
    translator, or an ensemble of several, with the end of the line as a token. Nothing is normalised by length. A line
    gets the same numbers in any order. A pair with a blank side has 0 tokens, and 0 nats.

    To keep the best 100,000 pairs of a noisy corpus by both directions, which should agree that a pair is likely
    (Junczys-Dowmunt 2018, arXiv:1809.00197, section 2.1):

    \b
      s2s score runs/de-en --source raw.de --target raw.en > forward
      s2s score runs/en-de --source raw.en --target raw.de > backward
      paste forward backward raw.de raw.en | awk -F '\\t' '$2 && $5 {
          a = $1 / $2; b = $4 / $5
          print (a > b ? a - b : b - a) + (a + b) / 2 "\\t" $7 "\\t" $8
      }' | LC_ALL=C sort -g | head -n 100000 | cut -f 2,3 > best.tsv
    """
    from s2s.cli.filter import arriving, in_blocks
    from s2s.device import settle_process
    from s2s.run import RunFolder
    from s2s.tasks import recipe_of
    from s2s.text.lines import Lines, read_lines, read_pairs

    task = recipe_of(RunFolder(runs[0])).task
    if task == "forecast":
        raise S2SError(f"{runs[0]}: a forecaster has no scores of given text; use s2s evaluate, or s2s forecast")
    is_language = task == "language"
    if is_language and (len(runs) > 1 or target or tag):
        raise click.UsageError("a language model scores lines of text: give one RUN, and neither --target nor --tag")
    if not is_language and (carried or (source is None) != (target is None)):
        raise click.UsageError("a translator scores pairs: give --source with --target, and no --carried")
    if source is None and sys.stdin is None:
        raise S2SError("the standard input is closed; give --source FILE, or lines")
    settle_process()
    scores: Any
    blocks: Iterable[Sequence[Any]]
    if is_language:
        from s2s.language.generator import Generator
        from s2s.language.given import LineScorer

        generator = Generator.load(runs[0], **options)
        scores, exact = LineScorer(generator, carried=carried), generator.recipe.tokenizer.kind == "bytes"
        if exact and not source:
            raise S2SError(f"{runs[0]}: reads bytes, and the standard input is read as text; give --source FILE")
        blocks = in_blocks(read_lines(source, exact=exact)) if source else arriving(sys.stdin.buffer)
    else:
        from s2s.translation.given import score_given
        from s2s.translation.translator import Translator

        scores = partial(score_given, Translator.load(*runs, **options), tag=tag)
        files = in_blocks(read_pairs(Lines(source, target))) if source and target else None
        blocks = files or (list(map(_pair, lines)) for lines in arriving(sys.stdin.buffer))
    for block in blocks:
        rows = []
        for each in scores(block):
            nats, tokens, unknown = each[:3]
            rows.append(json.dumps(each.row()) if as_json else f"{nats:.4f}\t{tokens}\t{unknown}")
        click.echo("\n".join(rows))


def _pair(line: str) -> tuple[str, str]:
    """Source and target of a line of the standard input."""
    source, *targets = line.split("\t")
    if len(targets) != 1:
        raise DataError(
            f"standard input: {shortened(repr(line))} has {len(targets)} tabs, and one is wanted, as of:"
            " paste source.txt target.txt"
        )
    return source, targets[0]


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="RUN [RUN ...] RECIPE [KEY=VALUE ...]")
@click.option("--out", type=FOLDER, help="Run folder of the student. Default: runs/<recipe name>-student.")
@click.option("--pairs", type=FILE, help="TSV file of the translations. Default: <run folder>.tsv.")
@click.option("--beam", type=click.IntRange(min=1), help="Beam size of the teachers. Default: the first RUN's.")
@click.option(
    "--nbest",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Translations of which the one of the highest chrF with the reference is learned.",
)
@corpora_option
@precision_option
@device_option
def distil(
    words: tuple[str, ...],
    out: Path | None,
    pairs: Path | None,
    corpora: Path | None,
    precision: Any,
    device: str,
    **ways: Any,
) -> None:
    """Train RECIPE on what an ensemble of RUNs makes of its training sources, beside the references.

    The same command goes on after a kill, in the translations as in the training, and does nothing after the end. Not
    learned are translations that are empty, cut off at the longest length, or repeat themselves; their number is told.
    """
    runs = [word for word in words if not re.match(r"[a-z_.]+=", word)]
    if len(runs) < 2:
        raise click.UsageError("give the RUNs to learn from, and then the RECIPE to train")
    name = runs.pop()
    from s2s.tasks import load_recipe, recipe_of, task_of

    recipe = load_recipe(name, [word for word in words if re.match(r"[a-z_.]+=", word)])
    if recipe.task != "translation" or recipe.trainings:
        raise S2SError(f"{name}: is no recipe of one translator, which can be distilled; choose another")
    from s2s.device import settle_process
    from s2s.files import recorded
    from s2s.jobs.teach import distil as teach
    from s2s.recipe.load import differences
    from s2s.run import RunFolder
    from s2s.translation.translator import Translator

    settle_process()
    folders, place = [Path(run) for run in runs], out or Path("runs") / f"{Path(name).stem}-student"
    table = pairs or place.with_name(place.name + ".tsv")
    run = RunFolder(place)
    if run.exists() and not table.exists():
        raise S2SError(
            f"{place}: exists already, and not {table}, which it would have learned; name another with --out"
        )
    source = task_of(recipe).find(recipe, corpora)["train"]
    translator = Translator.load(*folders, device=device, precision=precision)
    student = teach(folders, translator, recipe, source, table, **ways)
    has_ended = recorded(run.checkpoint, "progress", "finished")
    if has_ended and (changes := differences(recipe_of(run, whole=True), student)):
        raise S2SError(
            f"{place}: exists already, of another training ({'; '.join(changes)}); name another with --out, or give the"
            " command that it was made by"
        )
    train_and_show(student, place, again="by the same command", resume=True, corpora=corpora, device=device)


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--input", "text", type=FILE, required=True, help="Text in the target language of the model to train.")
@click.option("--output", type=FILE, required=True, help="TSV file to write; beside it a .json says how far it is.")
@click.option("--beam", type=click.IntRange(min=1), help="Beam size; 1 is greedy search. Default: the recipe's.")
@click.option("--sampled", is_flag=True, help="Sample each token from the model (Edunov et al. 2018), without a beam.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of --sampled. Default: 1.")
@click.option("--temperature", type=temperature, help="Of --sampled; above 0. Default: 1.")
@tag_option
@precision_option
@device_option
def backtranslate(
    run: Path,
    text: Path,
    output: Path,
    beam: int | None,
    sampled: bool,
    seed: int | None,
    temperature: float | None,
    tag: str | None,
    **options: Any,
) -> None:
    """Write pairs for the opposite direction: real targets of a text, and sources that RUN translates them to.

    Its columns are those of a recipe whose data.source is RUN's target. Learned beside real pairs, with a tag that says
    which are made up (Caswell et al. 2019, arXiv:1906.06442):

    \b
      data.train=[{from = "train.tsv"}, {from = "made.tsv", tag = "back"}]

    The same command goes on after a kill. Left out, and counted, are lines that are blank or whose translation is
    empty, cut off at the longest length, or repeats itself; tabs become spaces.
    """
    if sampled and (beam or temperature == 0):
        raise click.UsageError("--sampled takes no --beam, and a --temperature above 0")
    if not sampled and (seed is not None or temperature is not None):
        raise click.UsageError("--seed and --temperature are of --sampled; give it too, or leave them out")
    if text.is_file() and output.is_file() and text.samefile(output):
        raise click.UsageError(f"--output {output}: input and output are the same file; name another file")
    from s2s.device import settle_process
    from s2s.jobs.teach import back_translate
    from s2s.translation.translator import Translator

    settle_process()
    ways: dict[str, Any] = {"beam": beam}
    if sampled:
        ways = {
            "seed": 1 if seed is None else seed,
            "temperature": 1.0 if temperature is None else temperature,
        }
    back_translate(run, Translator.load(run, **options), text, output, tag=tag, **ways)
