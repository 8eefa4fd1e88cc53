"""A CSV file as rows of cells below its header; what cannot be read exactly is an error with its line."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.text.lines import read_lines

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))
"""Cells without a value, in lower case."""
SEPARATORS = ";\t,"
"""Between cells; where it is none of commas, a comma may stand before decimals."""
MOST_COLUMNS = 10_000
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

COLUMN = re.compile(rf"(?:(?:{NUMBER.pattern})\n)*+", re.ASCII)


class Row(NamedTuple):
    """A line of a CSV file."""

    path: Path
    line: int
    cells: list[str]

    def cell(self, place: int) -> str:
        """A cell without the space around it."""
        return self.cells[place].strip()

    def fault(self, message: str) -> DataError:
        """The error that a message tells of this row."""
        return DataError(f"{self.path}, line {self.line:,}: {message}")


class RowReader:
    """The rows of a CSV file below its header, one after another.

    Iterating raises DataError for a line that is not CSV or of another length, and for a file without rows.

    Lines that begin with # are comments; where no header is above the numbers, the last of them is the header.
    Below the header such a line with as many cells as there are columns is a row, whose first cell begins with #.
    Where semicolons or tabs separate the header's names, they separate all cells, and numbers may have a decimal comma.
    A line sep=; of a spreadsheet is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: list[str] = []
        """Names of the columns, from the first row on"""
        self.separator = ","

    def __iter__(self) -> Iterator[Row]:
        header: list[str] | None = None
        comment: list[str] = []
        is_empty = True
        for line, text in enumerate(read_lines(self.path), start=1):
            if not text.strip() or (line == 1 and text.strip().lower() in ("sep=;", "sep=,")):
                continue
            if header is None:
                bare = re.sub(r'"[^"]*"', "", text)
                self.separator = max(SEPARATORS, key=bare.count) if any(map(bare.count, SEPARATORS)) else ","
            remark = text.lstrip().startswith("#")
            row = Row(self.path, line, [text])
            try:
                row = Row(self.path, line, _cells(text, self.separator))
            except csv.Error as problem:
                if not remark:
                    raise row.fault(
                        f"is no line of comma-separated values ({problem}); close each quote in its line, and end lines"
                        " with \\n or \\r\\n"
                    ) from None
            cells = row.cells
            if remark and (header is None or len(cells) != len(header)):
                comment = [cell.strip() for cell in (cells[0].lstrip().lstrip("#"), *cells[1:])]
                continue
            if header is None:
                names = all(number_of(cell) is None for cell in cells)
                self.header = header = [cell.strip() for cell in cells] if names else self._commented(row, comment)
                if names:
                    continue
            if is_empty:
                _require_columns(row, header)
            if len(cells) != len(header):
                raise row.fault(
                    f"has {len(cells)} cells, but there are {len(header)} columns ({', '.join(header)}); write decimals"
                    " with a point, and text that holds a comma in quotes"
                )
            is_empty = False
            yield row
        if header is None:
            raise DataError(f"{self.path}: the file is empty; its first line must name the columns")
        if is_empty:
            raise DataError(f"{self.path}: there are no rows below the header")

    def _commented(self, row: Row, comment: list[str]) -> list[str]:
        if len(comment) != len(row.cells):
            raise row.fault("the first row must name the columns, but it holds numbers")
        return comment

    def with_points(self, rows: list[Row], header: list[str]) -> list[Row]:
        """Rows with a point for a decimal comma; DataError for a column whose numbers have both."""
        return rows if self.separator == "," else _with_points(rows, header)


def _cells(text: str, separator: str) -> list[str]:
    if '"' in text or "\r" in text or len(text) >= csv.field_size_limit():
        return next(csv.reader([text], strict=True, delimiter=separator))
    return text.split(separator)  # as the reader does, in a tenth of the time


def _require_columns(row: Row, header: Sequence[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise row.fault(f"there are {len(header):,} columns, and at most {MOST_COLUMNS:,} are read; take some out")
    if len(header) == 1 and "|" in header[0]:
        raise row.fault("columns are separated by vertical bars; separate them by commas")


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """The names of the columns, and all rows below them, numbers with a point; DataError as RowReader raises."""
    reader = RowReader(path)
    rows = list(reader)
    return reader.header, reader.with_points(rows, reader.header)


def _with_points(rows: list[Row], header: list[str]) -> list[Row]:
    """Rows with a point for a decimal comma; DataError for a column whose numbers have both."""
    for place, name in enumerate(header):
        commas = [at for at, row in enumerate(rows) if DECIMAL_COMMA.fullmatch(row.cell(place))]
        for at in commas:
            rows[at].cells[place] = rows[at].cell(place).replace(",", ".")
        points = {
            at for at, row in enumerate(rows) if "." in row.cell(place) and number_of(row.cell(place)) is not None
        }
        if commas and (other := points.difference(commas)):
            row = rows[min(other)]
            raise row.fault(
                f"column {name} has {row.cell(place)} with a point, and in line {rows[commas[0]].line:,} a decimal"
                " comma; write all numbers in one form, without marks between thousands"
            )
    return rows


def counted(count: int, noun: str) -> str:
    """A number of things in words: "1 row", "2,000 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def number_of(cell: str) -> float | None:
    """The number that a cell holds in ASCII digits, with a point and an exponent at most; None for any other text."""
    return float(cell) if NUMBER.fullmatch(cell.strip()) else None


def is_missing(cell: str, codes: tuple[str, ...]) -> bool:
    """Whether a cell is one of the codes of missing values, as text in any case or as a number."""
    texts, numbers = _codes(codes)
    return cell.lower() in texts or (bool(numbers) and number_of(cell) in numbers)


@lru_cache(maxsize=8)
def _codes(codes: tuple[str, ...]) -> tuple[frozenset[str], frozenset[float]]:
    numbers = (number_of(code) for code in codes)
    return frozenset(code.lower() for code in codes), frozenset(each for each in numbers if each is not None)


def values_in(rows: Sequence[Row], place: int, name: str) -> NDArray[np.float64]:
    """The numbers in a column (N,); DataError for a cell without one."""
    cells = [row.cells[place].strip() for row in rows]
    if COLUMN.fullmatch("".join([f"{cell}\n" for cell in cells])):
        values = np.array(list(map(float, cells)))
        if np.isfinite(values).all():
            return values
    return np.array([value_of(row, place, name) for row in rows], float)


def value_of(row: Row, place: int, name: str) -> float:
    """The number in a column of a row; DataError for a cell without one."""
    cell = row.cell(place)
    if cell.lower() in MISSING:
        raise row.fault(
            f"column {name} has no value ({cell!r}); fill it in, leave the row out, or let it be a hole with"
            f" data.missing='[\"{cell}\"]'"
        )
    value = number_of(cell)
    if value is None:
        raise row.fault(
            f"column {name} has {cell!r}, which is no number; write digits with a point before decimals and no other"
            " marks, such as -1200.5 or 3e-4"
        )
    if not math.isfinite(value):
        raise row.fault(f"column {name} has {cell}, which is not finite; the largest number is about 1.8e308")
    return value
