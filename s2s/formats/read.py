"""Files of pairs by the endings of their names: found languages first, then pairs as a stream, with their counts."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import s2s.formats.po as po
import s2s.formats.sheets as sheets
import s2s.formats.tables as tables
import s2s.formats.tmx as tmx
import s2s.formats.xliff as xliff
from s2s.errors import DataError
from s2s.formats.codes import direction, require
from s2s.formats.units import counted, pairs_of
from s2s.text.packed import PACKED

log = logging.getLogger("s2s")
ENDINGS = (".tmx", ".po", ".xlf", ".xliff", ".jsonl", ".parquet", ".xlsx")
"""Endings of files of pairs; one of PACKED may follow, but for the last two."""
Read = Callable[[Counter[str]], Iterator[tuple[str, str]]]


def kind_of(path: Path) -> str:
    """The ending that says what a file holds, in small letters, without that of its packing."""
    name = path.name.lower()
    return Path(name.removesuffix(next(filter(name.endswith, PACKED), ""))).suffix


def read_units(
    path: Path, wanted: Sequence[str], columns: Sequence[str] = ()
) -> Callable[[], Iterator[tuple[str, str]]]:
    """Reads the pairs of a file, as often as it is called, by the names of its source and target language.

    `columns` names those of a sheet without a header. Raises DataError at once where a file does not have each of the
    languages once, and while it is read for all else that is wrong with it, and for one without a pair. The counts of
    its units are logged the first time.
    """
    read, is_logged = _reader(path, wanted, columns), False

    def pairs() -> Iterator[tuple[str, str]]:
        nonlocal is_logged
        counts, number = Counter[str](), 0
        for pair in read(counts):
            number += 1
            yield pair
        said = f"{path.name}: {counted(counts, number)}"
        if not number:
            raise DataError(f"{path}: gives no pairs of {wanted[0]} and {wanted[1]}: {said}")
        if not is_logged:
            is_logged = True
            log.info("%s", said)

    return pairs


def _reader(path: Path, wanted: Sequence[str], columns: Sequence[str]) -> Read:
    kind = kind_of(path)
    if kind in (".parquet", ".xlsx") and path.suffix.lower() != kind:
        raise DataError(f"{path}: is packed, as {kind} itself is already; unpack it")
    if columns and kind != ".xlsx":
        raise DataError(f"{path}: has names of its own for its sides; leave out columns = [...] of the recipe")
    if kind == ".tmx":
        names = tmx.languages(path)
        codes = [require(name, names, path) for name in wanted]
        return lambda counts: tmx.pairs(path, wanted, codes, counts)
    if kind == ".po":
        *_, is_turned = direction(wanted, *po.languages(path), path)
        return lambda counts: po.pairs(path, wanted, counts, is_turned=is_turned)
    if kind in (".xlf", ".xliff"):
        files = xliff.languages(path)
        source, target, is_turned = direction(wanted, [one for one, _ in files], [other for _, other in files], path)
        ways = {(one, other): is_turned for one, other in files if one == source and other in (target, "")}
        return lambda counts: xliff.pairs(path, wanted, counts, ways)
    rows = {".jsonl": tables.json_pairs, ".parquet": tables.parquet_pairs}.get(kind)
    units = partial(rows, path, wanted) if rows else partial(sheets.sheet_pairs, path, wanted, columns)
    units()  # finds the languages
    return lambda counts: pairs_of(units(), wanted, counts)
