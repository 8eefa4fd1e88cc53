"""Spreadsheets (.xlsx) whose columns are languages.

- The first sheet that is shown is read; its first row names the columns, unless the recipe does.
- A value is what was last computed; a number is written as it is kept, and not as it is shown. `_x000D_` and the like,
  which stand for control characters, are decoded.
- Rows without any value are no units; one with an empty cell is `empty`.
"""

import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree.ElementTree import ParseError

from s2s.errors import DataError
from s2s.formats.codes import require
from s2s.formats.units import Sides
from s2s.text.packed import missing

log = logging.getLogger("s2s")
MOST_BYTES = 1 << 30
"""What the parts of a file may unpack to, together."""


def sheet_pairs(path: Path, wanted: Sequence[str], columns: Sequence[str]) -> Iterator[Sides]:
    """Two cells of the rows of a sheet; DataError where it has not both columns, or cannot be read."""
    with _rows(path) as rows:
        header = columns or [_text(cell).strip() for cell in next(rows, ())]
    if not any(header):
        raise DataError(f"{path}: the first sheet is empty; its first row must name the columns")
    places = [header.index(require(name, [each for each in header if each], path)) for name in wanted]

    def units() -> Iterator[Sides]:
        with _rows(path) as rows:
            if not columns:
                next(rows)
            for row in rows:
                if any(cell is not None for cell in row):
                    source, target = (_text(row[place]) if place < len(row) else "" for place in places)
                    yield source, target

    return units()


def _text(cell: object) -> str:
    from openpyxl.utils.escape import unescape

    return "" if cell is None else str(unescape(str(cell)))


@contextmanager
def _rows(path: Path) -> Iterator[Iterator[tuple[object, ...]]]:
    """The rows of the first sheet that is shown, read one after another; the texts of a file are held in memory."""
    try:
        import defusedxml  # noqa: F401  # without which openpyxl expands entities
        from openpyxl import load_workbook
    except ImportError as problem:
        raise missing(problem, path) from None
    broken = (zipfile.BadZipFile, zlib.error, ParseError, OSError, KeyError, ValueError, TypeError, AttributeError)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:  # openpyxl leaves its own open where it fails
            size = sum(part.file_size for part in archive.infolist())
            if size > MOST_BYTES:
                raise DataError(
                    f"{path}: unpacks to {size:,} bytes, and at most {MOST_BYTES:,} are read; save the sheet as text"
                    " with tabs (.tsv)"
                )
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
            sheets[0].reset_dimensions()  # which some programs write wrong
            yield sheets[0].iter_rows(values_only=True)
    except broken as problem:
        cause = problem.__context__ or problem  # what openpyxl found, before its advice
        raise DataError(
            f"{path}: cannot be read as a spreadsheet (.xlsx): {cause!s:.200}; is it whole? Save it anew, or as text"
            " with tabs (.tsv); entities in it are not looked up"
        ) from None
