"""Strict reading of text and of parallel text: anything that cannot be read exactly is an error, never a guess."""

import json
import logging
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from s2s.errors import DataError
from s2s.text.conventions import SAMPLE_BYTES, other_separator, quoted_cell, require_line_ends, require_text, unquoting
from s2s.text.packed import opened

log = logging.getLogger("s2s")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 24
"""Bytes of a line that is read whole, so that memory has a bound."""


class Lines(NamedTuple):
    """Two files aligned by line."""

    source: Path
    target: Path


class Table(NamedTuple):
    """File of tab-separated columns, two of which are the sides of a pair."""

    path: Path
    source: str
    target: str
    columns: tuple[str, ...] = ()
    """All columns of a file without a header; empty where the first line is the header."""


PairFiles: TypeAlias = Lines | Table


def read_lines(path: Path, *, exact: bool = False) -> Iterator[str]:
    r"""Lines of a UTF-8 file, streamed, without their ends.

    Only `\n` and `\r\n` end a line: other separators (U+2028, `\x0b`, `\x1c`, a lone `\r`) stay inside it, so that two
    files aligned by any other program stay aligned here. A byte-order mark is dropped, a last line without an end
    counts, and a file whose name ends in `.gz`, `.xz` or `.zst` is unpacked while it is read. `exact` lines, whose
    only end is `\n`, have all their bytes, those that are not UTF-8 as lone surrogates (PEP 383).
    Raises DataError, when reading gets there, for a file that is missing, unreadable, not UTF-8, packed and
    damaged, or has a line of LONGEST_LINE.
    """
    has_warned = False
    with opened(path) if exact else _opened(path) as stream:
        for number, line in enumerate(iter(partial(stream.readline, LONGEST_LINE), b""), start=1):
            if len(line) == LONGEST_LINE:
                raise DataError(f"{path}, line {number:,}: has {LONGEST_LINE:,} bytes or more; break it into lines")
            if exact:
                yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")
                continue
            if number == 1 and not (line := line.removeprefix(BYTE_ORDER_MARK)):
                return
            line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_text(path, number, error) from None
            if "\0" in text and not has_warned:
                has_warned = _warn_of_nul(path, number)
            yield text


def read_text(path: Path, *, longest: int = 1 << 20, exact: bool = False) -> Iterator[str]:
    r"""Text of a UTF-8 file in pieces: its lines, each with `\n` at its end, and a long line in several pieces.

    A piece holds at most `longest` bytes; byte-order mark, `.gz`, line ends, errors, and what `exact` is, are as in
    read_lines.
    """
    if exact:
        decoder = getincrementaldecoder("utf-8")("surrogateescape")
        with opened(path) as stream:
            while data := stream.readline(longest):
                yield decoder.decode(data)
        if rest := decoder.decode(b"", final=True):
            yield rest
        return
    decoder = getincrementaldecoder("utf-8")()
    number, held, is_first, finished, has_warned = 1, "", True, False, False
    with _opened(path) as stream:
        while not finished:
            data = stream.readline(longest)
            finished = not data
            if is_first:
                data, is_first = data.removeprefix(BYTE_ORDER_MARK), False
            ended = data.endswith(b"\n")
            try:
                piece = held + decoder.decode(data, final=ended or finished)
            except UnicodeDecodeError as error:
                raise _not_text(path, number, error) from None
            held = "\r" if piece.endswith("\r") and not finished else ""  # it may be half of an end
            piece = piece.removesuffix(held)
            if ended:
                piece = piece.removesuffix("\n").removesuffix("\r") + "\n"
                number += 1
            if "\0" in piece and not has_warned:
                has_warned = _warn_of_nul(path, number - ended)
            if piece:
                yield piece


def _warn_of_nul(path: Path, number: int) -> Literal[True]:
    log.warning(
        f"{path}, line {number:,}: has NUL bytes, which text has not; find out what wrote them, or remove them"
        " (tr -d '\\000')"
    )
    return True


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Bytes of a text, unpacked; DataError for what is none, and for what goes wrong with them inside the block."""
    with opened(path) as stream:
        sample = stream.peek(SAMPLE_BYTES)[:SAMPLE_BYTES]
        require_text(sample, str(path))
        require_line_ends(sample, str(path))
        yield stream


def read_pairs(files: PairFiles) -> Iterator[tuple[str, str]]:
    """(source, target) pairs of the files, streamed in order, nothing dropped.

    Raises DataError as read_lines does, for files of unequal length (after the lines that both have), for a row whose
    number of columns is not that of the header, and for a column that the table does not have. Warns once of cells
    with a spreadsheet's escapes, which are given as they are.
    """
    has_warned = False
    for number, pair in enumerate(_read_table(files) if isinstance(files, Table) else _read_aligned(files), start=1):
        if not has_warned and (cell := quoted_cell("\t".join(pair))):
            has_warned = True
            _warn_of_quotes(files, number, cell, in_source=quoted_cell(pair[0]) is not None)
        yield pair


def _warn_of_quotes(files: PairFiles, number: int, cell: str, *, in_source: bool) -> None:
    path = files.path if isinstance(files, Table) else files.source if in_source else files.target
    header = isinstance(files, Table) and not files.columns
    shown = cell if len(cell) <= 60 else f"{cell[:59]}…"
    log.warning(
        f"{path}, line {number + header:,}: {shown} has the quotation marks that a spreadsheet puts around a cell and"
        f" doubles inside it; they are kept as text. Save it without them, or convert it: {unquoting(str(path))}"
    )


def _read_aligned(files: Lines) -> Iterator[tuple[str, str]]:
    pairs = zip_longest(read_lines(files.source), read_lines(files.target))
    for common, (source, target) in enumerate(pairs):
        if source is None or target is None:
            longer = common + 1 + sum(1 for _ in pairs)
            source_lines, target_lines = (common, longer) if source is None else (longer, common)
            raise DataError(
                f"source {files.source} has {source_lines:,} lines, target {files.target} {target_lines:,}: "
                "line n of one must translate line n of the other; align the files again"
            )
        yield source, target


def _read_table(table: Table) -> Iterator[tuple[str, str]]:
    lines = enumerate(read_lines(table.path), start=1)
    columns = table.columns
    if not columns:
        _, header = next(lines, (0, None))
        if header is None:
            raise DataError(f"{table.path}: the file is empty; its first line must name the columns")
        columns = tuple(header.split("\t"))
        _require_tabs(table, 1, header, lambda cells: {table.source, table.target} <= set(cells))
    source, target = _column(table, columns, table.source), _column(table, columns, table.target)
    for number, line in lines:
        cells = line.split("\t")
        if number == 1 and [cell.strip().casefold() for cell in cells] == [name.casefold() for name in columns]:
            log.warning(
                f"{table.path}, line 1: holds the names of the columns, and is read as a pair, since the recipe names"
                " them too; leave out columns = [...] of the recipe, or the line"
            )
        if len(cells) != len(columns):
            _require_tabs(table, number, line, lambda cells: len(cells) == len(columns))
            broken = any(cell.startswith('"') and cell.count('"') % 2 for cell in cells)
            raise DataError(
                f"{table.path}, line {number:,}: expected {len(columns)} columns ({', '.join(columns)}), found "
                f"{len(cells)}; columns are separated by one tab each, and each must be named"
                + "; a cell opens with a quotation mark and goes on in the next line, as a spreadsheet writes line"
                " breaks: take them out of its cells" * broken
            )
        yield cells[source], cells[target]


def _require_tabs(table: Table, number: int, line: str, fits: Callable[[list[str]], bool]) -> None:
    """DataError for a line with another separator between its cells."""
    if other := other_separator(line, fits):
        separator, called = other
        raise DataError(
            f"{table.path}, line {number:,}: the columns are separated by {called}, and s2s reads tabs; convert the"
            f" file: {unquoting(str(table.path), separator)}"
        )


def _column(table: Table, columns: tuple[str, ...], name: str) -> int:
    if columns.count(name) == 1:
        return columns.index(name)
    there = ", ".join(columns)
    if name in columns:
        raise DataError(f"{table.path}: {columns.count(name)} columns are named {name} ({there}); rename all but one")
    fault = f"{table.path}: no column is named {name}; there are: {there}"
    if not table.columns:
        example = [table.source, table.target, *(f"column{number}" for number in range(3, len(columns) + 1))]
        named = json.dumps(example, ensure_ascii=False)
        fault += f"; if the file has no header line, name its columns: columns = {named}"
    raise DataError(fault)


def _not_text(path: Path, number: int, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"{path}, line {number:,}: byte 0x{error.object[error.start]:02x} at position {error.start + 1:,} of the line "
        "is not valid UTF-8; save the file as UTF-8 (for a Latin-1 file: iconv -f latin1 -t utf-8)"
    )
