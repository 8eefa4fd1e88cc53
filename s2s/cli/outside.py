"""`s2s export` and `s2s report`: a run for those who do not have s2s."""

import logging
from pathlib import Path
from typing import Any

import click

from s2s.cli.terminal import FILE, FOLDER, corpora_option, device_option

log = logging.getLogger("s2s")


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("dest", type=FOLDER)
@click.option("--format", "form", type=click.Choice(["html", "js", "onnx"]), default="html", show_default=True)
@click.option(
    "--weights",
    type=click.Choice(["int8", "float16", "float32"]),
    default="int8",
    show_default=True,
    help="Type that weights are stored in: int8 is a quarter of float32, with a scale for each row.",
)
def export(run: Path, dest: Path, form: Any, weights: Any) -> None:
    """Write RUN to DEST, to be used where there is no torch.

    html: one page that translates offline, opened by a double click. js: a folder with a module for pages and Node.
    onnx: a folder for s2s translate and other programs. Runs with tags, data.protect or decoding.copy_unknown, and
    forecasters, export to onnx only.
    """
    from s2s.export.export import export as write_export

    write_export(run, dest, form, weights)
    log.info("%s", dest)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=FOLDER)
@click.option("--out", type=FILE, default="report.html", show_default=True, help="HTML file to write.")
@corpora_option
@device_option
def report(runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Write one page on each RUN: curves, scores, best and worst examples; several of one task are compared.

    A run that s2s train has ended has its own as report.html.
    """
    from s2s.device import settle_process
    from s2s.report.report import write_report

    settle_process()
    write_report(runs, out, **options)
    log.info("%s", out)
