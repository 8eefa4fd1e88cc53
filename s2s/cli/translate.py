"""`s2s translate`: lines, files and documents."""

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from s2s.cli.documents import document_kind, document_option, overwrite_option, translate_document
from s2s.cli.terminal import FILE, device_option, precision_option
from s2s.errors import S2SError

log = logging.getLogger("s2s")
UNLIKE = ("unknown", "invented", "sentences", "capitals", "title", "full_width")
"""Flags of lines that are likely to be translated badly."""


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|BUNDLE [RUN ...]")
@click.option(
    "--input", "source", type=FILE, help="File to translate, .gz, .xz or .zst too, or a document. Default: stdin."
)
@click.option("--output", type=FILE, help="Output file, written whole or not at all. Default: stdout.")
@click.option("--beam", type=click.IntRange(min=1), help="Beam size; 1 is greedy search. Default: the recipe's.")
@click.option(
    "--nbest",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Translations per line; the beam is at least this wide. As text, more than 1 gives N lines for each line:"
    " score, tab, translation.",
)
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@click.option("--tokens", is_flag=True, help="With jsonl: add tokens, their log-probabilities and the attention.")
@click.option("--attention", type=FILE, help="PNG file: plot the attention for the first line that is not blank.")
@click.option("--batch", type=click.IntRange(min=1), help="Lines per batch. Default: the recipe's.")
@click.option("--tag", help="Tag of all lines, one of those of the recipe's data.train.")
@click.option("--prefix", default="", help="Text that each translation begins with.")
@click.option(
    "--split",
    is_flag=True,
    help="Translate each sentence of a line by itself, and leave {name}, %s, tags, addresses as they are. jsonl has"
    " their list.",
)
@click.option(
    "--protect",
    is_flag=True,
    help="Leave numbers, addresses, {name}, %s, tags and emoji as they are: translate around them, unless the run was"
    " trained to keep them (data.protect).",
)
@document_option
@overwrite_option
@click.option("--copy-unknown", is_flag=True, help="Copy the source word in the place of an unknown one, for words.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes of one thread that share out a file. Default: one for each of --threads; 1 for a pipe, or a GPU.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where the same command, with --input and --output, was stopped: OUTPUT.part has what is done.",
)
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
    tag: str | None,
    prefix: str,
    split: bool,
    protect: bool,
    document: str | None,
    overwrite: bool,
    copy_unknown: bool,
    workers: int | None,
    resume: bool,
    **options: Any,
) -> None:
    """Translate lines with one RUN, with an ensemble of several, or with a BUNDLE of s2s export --format onnx.

    A filter: one line out for each line in, in order, as they arrive; blank lines stay blank. An --input that is a
    document (PO, XLIFF, TMX, SRT, VTT, HTML, Markdown) comes back with nothing but its text changed; what cannot be
    translated without harm stays, and is listed. A document is held in memory whole, with up to 3 kB for each message,
    paragraph or subtitle.
    """
    kind = document_kind(document, source)
    _refuse_contradictions(kind, click.get_current_context().params)
    if source is None and sys.stdin is None:
        raise S2SError("the standard input is closed; give --input FILE, or lines")
    from s2s.cli.blocks import Making, begin_workers, job_of, write_lines
    from s2s.translation.bundle import is_bundle
    from s2s.translation.translator import Translator

    asked, workers = workers, 1 if kind else begin_workers(workers, source)
    settings = Path(runs[0]) / ("bundle.json" if is_bundle(Path(runs[0])) else "recipe.toml")
    if settings.name == "recipe.toml":
        from s2s.device import settle_process

        settle_process()
    translator = Translator.load(*runs, **options)
    if batch:
        translator = translator.with_batch(batch)
    if prefix:
        translator = translator.with_prefix(prefix)
    if copy_unknown:
        translator = translator.copying()
    ways: dict[str, Any] = {"beam": beam, "nbest": nbest, "attention": tokens or attention is not None, "tag": tag}
    ways["protect"] = protect or None
    if kind:
        del ways["nbest"], ways["attention"]
        _warn_of_unlike(translate_document(translator, kind, source, output, overwrite, ways), "sentences")
        return
    if workers > 1 and translator.engine.on_gpu:
        if asked:
            raise S2SError(f"--workers {workers}: one process uses a GPU; leave it out, or give --device cpu")
        workers = 1
    making = Making(translator, split, ways, {"jsonl": form == "jsonl", "nbest": nbest, "tokens": tokens})
    named = {"precision": options["precision"], "batch": making.block_lines, "prefix": prefix, "split": split}
    counts, is_plotted = write_lines(
        making,
        source,
        output,
        workers,
        job=partial(job_of, runs=[*map(Path, runs)], options={**ways, **making.form, **named, "copies": copy_unknown}),
        resume=resume,
        plot=partial(_plot_attention, path=attention) if attention else None,
    )
    _warn_of_unlike(counts, "lines")
    if not is_plotted:
        log.warning("--attention %s: no plot, the input has no line with words", attention)
    outputs, cut_off = counts["outputs"], counts["truncated"]
    if 2 * cut_off > outputs:
        log.warning(
            "%s of %s outputs (%.0f%%) were cut off at the longest that is allowed: raise decoding.max_length_ratio in"
            " %s (%g), or train on if they go round in circles",
            f"{cut_off:,}", f"{outputs:,}", 100 * cut_off / outputs, settings, translator.decoding.longest_ratio,
        )  # fmt: skip


def _refuse_contradictions(kind: str | None, given: Mapping[str, Any]) -> None:
    """UsageError for given options of which one has no place beside another, or in a document of a kind."""
    source, output, prefix = given["source"], given["output"], given["prefix"]
    for_lines = {
        "--nbest": given["nbest"] > 1,
        "--format jsonl": given["form"] == "jsonl",
        "--attention": given["attention"],
        "--prefix": prefix,
        "--workers": (given["workers"] or 1) > 1,
        "--resume": given["resume"],
    }
    for option in (name for name, asked in for_lines.items() if kind and asked):
        raise click.UsageError(f"{option} is for lines, and the input is a document ({kind}); leave it out")
    if given["overwrite"] and not kind:
        raise click.UsageError("--overwrite is for documents, and the input is lines; leave it out, or give --document")
    if given["tokens"] and given["form"] != "jsonl":
        raise click.UsageError("--tokens needs --format jsonl")
    for other in (name for name in ("split", "protect") if prefix and given[name]):
        raise click.UsageError(f"--prefix begins one translation a line, and --{other} makes several; give one of them")
    if source and output and source.is_file() and output.is_file() and source.samefile(output):
        raise click.UsageError(f"--output {output}: is the --input file, which would be lost; name another file")
    if given["resume"] and not (source and source.is_file() and output):
        raise click.UsageError("--resume needs --input and --output, which are files; give them, or leave --resume out")


def _warn_of_unlike(flags: Counter[str], things: str) -> None:
    """Say how many lines, or sentences of a document, are likely to be translated badly."""
    unlike = ", ".join(f"{flag} {count:,}" for flag, count in flags.items() if flag in UNLIKE)
    more = "; --format jsonl has the flags of each line" * (things == "lines")
    if unlike:
        log.warning("%s unlike the training, by flag: %s%s", things, unlike, more)


def _plot_attention(found: Any, path: Path) -> None:
    from s2s.translation.plots import plot_attention

    if found.attention is None:
        raise S2SError(f"--attention {path}: the model has no attention to plot (model.attention is none)")
    plot_attention(found.attention, found.source_tokens, found.tokens, path)
