"""`s2s translate` of a document: a file that is more than lines."""

import logging
import sys
from collections import Counter
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from s2s.documents.endings import KINDS, Kind, kind_of
from s2s.errors import DataError, S2SError
from s2s.files import writing

if TYPE_CHECKING:
    from s2s.translation.translator import Translator

log = logging.getLogger("s2s")
LINES = "lines"
document_option = click.option(
    "--document",
    type=click.Choice([LINES, *KINDS]),
    help="Kind of the input. Default: by the ending of --input (.po .xlf .tmx .srt .vtt .html .md), else lines.",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Of a document, translate anew what has a translation already."
)


def document_kind(asked: str | None, source: Path | None) -> Kind | None:
    """The kind of document that is to be translated; None for lines."""
    if asked is None:
        return kind_of(source) if source else None
    return next((kind for kind in KINDS if kind == asked), None)


def translate_document(
    translator: "Translator",
    kind: Kind,
    source: Path | None,
    output: Path | None,
    overwrite: bool,
    ways: dict[str, Any],
) -> Counter[str]:
    """Write a translated document, whole or not at all, and list what stays; the flags of its sentences."""
    from s2s.documents.translate import DocumentTranslation

    try:
        data = source.read_bytes() if source else sys.stdin.buffer.read()
    except FileNotFoundError:
        raise DataError(f"{source}: no such file; check the path") from None
    name = str(source or "standard input")
    work = DocumentTranslation(data, name, kind, translator.reading, overwrite)
    del data
    search = partial(translator.translate, **ways)
    if output is not None:
        with writing(output) as temporary, temporary.open("wb") as file:
            work.write(file, search)
    elif sys.stdout is None:
        raise S2SError("the standard output is closed; give --output FILE")
    else:
        work.write(whole := BytesIO(), search)  # or a document could be written in part
        sys.stdout.buffer.write(whole.getbuffer())
        sys.stdout.buffer.flush()
    for line in work.report():
        log.info("%s", line)
    return work.flags
