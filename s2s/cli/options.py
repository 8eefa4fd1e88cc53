"""Options that several commands have."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)


class Device(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    name = "DEVICE"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            self.fail(f"{value!r} is not a device; give auto, cpu, cuda or cuda:N", param, context)
        return value


def device_option(command: Command) -> Command:
    text = "auto, cpu, cuda or cuda:N."
    return click.option("--device", type=Device(), default="auto", show_default=True, help=text)(command)


def precision_option(command: Command) -> Command:
    choices = click.Choice(["auto", "float32", "bfloat16"])
    text = (
        "Of matrix products; float32 gives the same lines in every batch, bfloat16 takes 8 bits for a line alone at"
        " beam 1."
    )
    return click.option("--precision", type=choices, default="float32", show_default=True, help=text)(command)


def corpora_option(command: Command) -> Command:
    text = "Folder of corpora; default: S2S_CORPORA, then the user's cache."
    return click.option("--corpora", type=click.Path(file_okay=False, path_type=Path), help=text)(command)
