"""`s2s generate`: texts that a language model writes."""

import json
import math
from pathlib import Path
from typing import Any

import click

from s2s.cli.filter import in_blocks
from s2s.cli.terminal import FILE, FOLDER, device_option, precision_option, temperature


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--prompt", help="Text to continue. Default: the start of a line.")
@click.option("--input", "source", type=FILE, help="Instead of --prompt: a file with a prompt in each line.")
@click.option("--length", type=click.IntRange(min=0), default=200, show_default=True, help="Tokens to generate.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; may be given several times.")
@click.option(
    "--temperature", type=temperature, default=1.0, show_default=True, help="0 is --greedy; else from 1e-6 to 1e6."
)
@click.option("--top-k", type=click.IntRange(min=0), default=0, help="Sample from the K most likely tokens; 0 is off.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Nucleus sampling; 1 is off.")
@click.option(
    "--min-p",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Sample from the tokens of at least this share of the highest probability; 0 is off.",
)
@click.option("--greedy", is_flag=True, help="Always take the most likely token.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=1,
    show_default=True,
    help="Random seed of each prompt; its further samples have those that follow.",
)
@click.option("--samples", "--n", type=click.IntRange(min=1), default=1, show_default=True, help="Texts of a prompt.")
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), help="jsonl: an object a line. Default: text.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of these objects instead: text, prompt, seed ...")
@precision_option
@device_option
def generate(
    run: Path,
    prompt: str | None,
    source: Path | None,
    temperature: float,
    greedy: bool,
    samples: int,
    form: str | None,
    as_json: bool,
    precision: Any,
    device: str,
    **sampling: Any,
) -> None:
    """Continue a text with the language model RUN; one text is written as it comes.

    A text is the same whatever is written beside it: its prompt, its seed and the options decide. An object has text,
    log_probability, tokens, prompt, seed, and stopped: "length", "end" (of a line) or "stop". A model of bytes writes
    any of them; in JSON the byte 0xff is \\udcff where it is not UTF-8.
    """
    if not (math.isfinite(sampling["top_p"]) and math.isfinite(sampling["min_p"])):
        raise click.UsageError("--top-p and --min-p must be numbers")
    if prompt is not None and source is not None:
        raise click.UsageError("--prompt and --input exclude each other")
    if as_json and form is not None:
        raise click.UsageError("--json and --format exclude each other")
    if "" in sampling["stop"]:
        raise click.UsageError("--stop: the text is empty, and would end all at once; leave it out")
    from s2s.files import json_text
    from s2s.language.generator import ROWS, Generator
    from s2s.text.lines import read_lines

    generator = Generator.load(run, device=device, precision=precision)
    sampling |= {"temperature": 0.0 if greedy else temperature}
    if not (source or as_json or form == "jsonl" or samples > 1):
        for piece in generator.stream(prompt or "", **sampling):
            click.echo(_exact(piece), nl=False)
        click.echo()
        return
    seed = sampling.pop("seed")
    exact = generator.recipe.tokenizer.kind == "bytes"
    blocks = in_blocks(read_lines(source, exact=exact) if source else [prompt or ""], max(ROWS // samples, 1))
    found = (
        each
        for block in blocks
        for done in range(0, samples, ROWS)
        for each in generator.generate(block, samples=min(samples - done, ROWS), seed=seed + done, **sampling)
    )
    if as_json:
        click.echo(_escaped(json_text([each._asdict() for each in found])))
        return
    for each in found:
        click.echo(_escaped(json.dumps(each._asdict(), ensure_ascii=False)) if form == "jsonl" else _exact(each.text))


def _exact(text: str) -> str | bytes:
    """A text, or its bytes where some are not UTF-8."""
    return text if _is_whole(text) else text.encode("utf-8", "surrogateescape")


def _escaped(text: str) -> str | bytes:
    r"""JSON, a lone surrogate in it, such as of a byte that is not UTF-8, as \udcff."""
    return text if _is_whole(text) else text.encode("utf-8", "backslashreplace")


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
