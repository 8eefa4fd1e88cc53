"""Tables whose columns are languages, Parquet and JSONL: sides are found by name, never by position.

- The languages are fields of `translation`, as on the Hub, or else of the row itself.
- A unit with a side that is null or blank is `empty`; in JSONL one that lacks a key is `without` its language.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s2s.errors import DataError
from s2s.formats.codes import listed, require
from s2s.formats.units import Sides
from s2s.text.lines import read_lines
from s2s.text.packed import missing

FIELD = "translation"
ROWS = 1024
"""Rows of Parquet that are made texts at one time."""
MOST_COLUMNS = 10_000
"""Columns that a Parquet file may have."""
_HALF = re.compile(r"[\ud800-\udfff]")
"""Of a character of two in UTF-16, as JSON may write it and UTF-8 cannot."""


def json_pairs(path: Path, wanted: Sequence[str]) -> Iterator[Sides]:
    """Two sides of the rows of a JSONL file; DataError where the first row has not both, or a side is no text."""
    first = next(_objects(path), None)
    if first is None:
        raise DataError(f"{path}: the file is empty; write one object a line")
    names = [require(name, list(_sides(first[1])), path) for name in wanted]

    def rows() -> Iterator[Sides]:
        for number, row in _objects(path):
            sides, place = _sides(row), f"{path}, line {number:,}"
            source, target = (_text(sides[name], f"{place}: {name}") if name in sides else None for name in names)
            yield source, target

    return rows()


def json_texts(path: Path, name: str) -> Iterator[str]:
    """The texts under a key of each row of a JSONL file."""
    for number, row in _objects(path):
        if name not in row:
            raise DataError(f"{path}, line {number:,}: has no key {name}; it has {listed(list(row))}")
        yield _text(row[name], f"{path}, line {number:,}: {name}")


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file, with their lines."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise DataError(f"{path}, line {number:,}: is no JSON: {problem}; write one object a line") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number:,}: is no JSON object; write one a line, in braces")
            yield number, row


def _sides(row: dict[str, Any]) -> dict[str, Any]:
    field = row.get(FIELD)
    return field if isinstance(field, dict) else row


def _text(value: object, place: str) -> str:
    """A text, empty for null; DataError for another value."""
    if value is None or isinstance(value, str):
        if value and not value.isascii() and (half := _HALF.search(value)):
            raise DataError(f"{place} has half a character, \\u{ord(half[0]):04x}; write it whole, or leave it out")
        return value or ""
    raise DataError(f"{place} is {json.dumps(value)[:40]}, and a text is wanted; write it in quotes")


def parquet_pairs(path: Path, wanted: Sequence[str]) -> Iterator[Sides]:
    """Two sides of the rows of a Parquet file; DataError where it has not both."""
    with _parquet(path) as file:
        columns = {field.name: field.type for field in file.schema_arrow}
    inner = [field.name for field in getattr(columns.get(FIELD), "fields", ())]
    names = [require(name, inner or list(columns), path) for name in wanted]
    prefix = f"{FIELD}." if inner else ""
    return zip(*(parquet_texts(path, prefix + name) for name in names), strict=True)


def parquet_texts(path: Path, name: str) -> Iterator[str]:
    """The texts in a column of a Parquet file, or in a field of one, such as translation.de; empty for null."""
    with _parquet(path) as file:
        columns = file.schema_arrow.names
        if name not in columns and name.partition(".")[0] not in columns:
            raise DataError(f"{path}: has no column {name}; it has {listed(columns)}")
        for batch in file.iter_batches(ROWS, columns=[name]):
            column = batch.column(0) if name in columns else batch.column(0).flatten()[0]
            if "string" not in str(column.type):
                raise DataError(f"{path}: column {name} has values of the type {column.type}, and texts are wanted")
            yield from (text or "" for text in column.to_pylist())


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A Parquet file, opened, of which little more than a page of each column is held."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as problem:
        raise missing(problem, path) from None
    try:
        with ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            if file.metadata.num_columns > MOST_COLUMNS:
                raise DataError(
                    f"{path}: has {file.metadata.num_columns:,} columns, and at most {MOST_COLUMNS:,} are read; write a"
                    " file with those of the pairs"
                )
            yield file
    except (OSError, ValueError) as problem:
        said = str(problem).split("\n")[0].rstrip(": ")
        raise DataError(f"{path}: cannot be read as Parquet ({said}); is it whole? Get or write it again") from None
