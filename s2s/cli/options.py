"""Options that several commands have."""

import re
from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(path_type=Path)


def device(value: str) -> str:
    """The value, if it names a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not a device; give auto, cpu, cuda or cuda:N")
    return value


device_option = click.option(
    "--device", type=device, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Precision of matrix products. float32: results do not depend on batching. bfloat16: faster; a few hypotheses"
    " at a time (one line) are searched with int8 weights.",
)
corpora_option = click.option(
    "--corpora",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of corpora. Default: S2S_CORPORA, else the user's cache.",
)
