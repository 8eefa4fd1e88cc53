"""What a run keeps of its series: their scaling, and their last rows, after which it forecasts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from s2s.errors import RunError
from s2s.forecast.data import SeriesData
from s2s.forecast.holes import Rhythm
from s2s.forecast.scaling import Kind, Scaler
from s2s.forecast.series import Shared, Values, ahead_of
from s2s.forecast.table import SeriesTable
from s2s.run import RunFolder

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class SavedScaling(NamedTuple):
    """Scaling of a run's series, and its last window."""

    reader: Scaler
    scaler: Scaler
    read: Floats
    """(W + 1, F) the last rows of the columns that the model reads, in the file's units; fewer after a late hole"""
    targets: Floats
    """(W + 1, K)"""
    learned: Floats | None = None
    """(2, F) lowest and highest scaled value of each column in the training part; None in an old run"""
    rhythm: Rhythm | None = None
    """of the training table; None in an old run, and without times"""
    marks: Flags | None = None
    """(W + 1, F) whether a value that is read stands for a missing one; None where none is marked"""
    ahead: Floats | None = None
    """(W + 1 + M, C) what is known ahead, scaled; None where nothing is"""
    local: float | None = None
    """days by the local clock, of the last row that is known ahead"""
    id: str = ""
    number: int = 0
    lowest: Floats | None = None
    """(K,) lowest value of each target in the table; None in an old run"""

    @property
    def valid(self) -> None:
        """No targets are to be compared."""
        return

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        plain = {name: None if value is None else value.tolist() for name, value in self._arrays().items()}
        scalers = {
            name: {"shift": each.shift.tolist(), "factor": each.factor.tolist()} for name, each in self._scalers()
        }
        rhythm = None if self.rhythm is None else self.rhythm._asdict()
        own = {"id": self.id, "number": self.number} if self.id else {}
        return {"kind": self.reader.kind, **scalers, **plain, "rhythm": rhythm, "local": self.local, **own}

    def _scalers(self) -> list[tuple[str, Scaler]]:
        return [("reader", self.reader), ("scaler", self.scaler)]

    def _arrays(self) -> dict[str, NDArray[Any] | None]:
        return {name: getattr(self, name) for name in ("read", "targets", "learned", "marks", "ahead", "lowest")}

    @classmethod
    def of_json(cls, saved: Mapping[str, Any]) -> Self:
        """Inverse of `as_json`."""
        reader, scaler = (_scaler(saved["kind"], saved[name]) for name in ("reader", "scaler"))
        learned, ahead, lowest = (
            None if saved.get(name) is None else np.array(saved[name], float) for name in ("learned", "ahead", "lowest")
        )
        rhythm, marks = saved.get("rhythm"), saved.get("marks")
        return cls(
            reader,
            scaler,
            np.array(saved["read"], float),
            np.array(saved["targets"], float),
            learned,
            None if rhythm is None else Rhythm(**{**rhythm, "resting": _tuple(rhythm["resting"])}),
            None if marks is None else np.array(marks, bool),
            ahead,
            saved.get("local"),
            saved.get("id", ""),
            saved.get("number", 0),
            lowest,
        )

    def beyond(self, columns: Sequence[str], values: Floats) -> Iterator[str]:
        """The lowest forecast (H, K, Q) of each target, if it is below all values that the data had, in sentences.

        `columns` are the names of all K targets' Q values.
        """
        if self.lowest is None:
            return
        for place, (own, least) in enumerate(zip(values.swapaxes(0, 1), self.lowest, strict=True)):
            if own.min() < least:
                column = columns[place * own.shape[1] + int(own.argmin()) % own.shape[1]]
                which = f"{self.id}: " if self.id else ""
                yield f"{which}{column} is as low as {own.min():.4g}, and the data never below {least:g}"

    def unlike(self, table: SeriesTable, data: SeriesData) -> Iterator[str]:
        """What tells the end of another table, which is here, from what the training saw, in sentences."""
        window = slice(-data.window, None)
        if self.learned is not None:
            scaled = self.reader.scale(self.read)[window]
            width = self.learned[1] - self.learned[0]
            far = (scaled < self.learned[0] - width).any(axis=0) | (scaled > self.learned[1] + width).any(axis=0)
            own = self.reader.in_words(np.stack([scaled.min(axis=0), scaled.max(axis=0)]))
            for place in np.flatnonzero(far)[:1].tolist():
                yield (
                    f"{table.name}: column {data.read[place]} has {own[place]} in the last {data.window} rows, but"
                    f" {self.reader.in_words(self.learned)[place]} in training, so the forecast is a guess; check the"
                    " unit and the column, or train again with these rows"
                )
        for name, values in zip(data.targets, self.targets.T, strict=True):
            if data.window > 1 and (values[window] == values[-1]).all():
                yield (
                    f"{table.name}: column {name} is {values[-1]:g} in all of the last {data.window} rows; check that"
                    " they were measured"
                )
                return


def last_rows(
    data: SeriesData,
    table: SeriesTable,
    values: Values,
    shared: Shared,
    learned: Floats | None = None,
    *,
    shown: int = 0,
) -> SavedScaling:
    """The end of a table, all that a forecast after it needs, and the rows `shown` in a plot."""
    kept, scaler = (
        slice(-min(max(data.window, shown), int(table.before[-1])) - 1, None),
        shared.scaler(data, table, values),
    )
    ahead = ahead_of(data, table, shared.known)
    if ahead is not None:
        ahead = ahead[kept.start + len(table) :]
    return SavedScaling(
        shared.reader(data, scaler), scaler, values.read[kept], values.targets[kept], learned, table.rhythm,
        None if values.marks is None else values.marks[kept], ahead,
        None if table.local is None else float(table.local[-1]), table.id, shared.numbers.get(table.id, 0),
        np.nanmin(values.gaps()[1], axis=0),
    )  # fmt: skip


class Saved(NamedTuple):
    """Scaling of a run's series, each with its last window."""

    shared: Shared
    series: tuple[SavedScaling, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; those of a single series at the top, as all runs had them."""
        scalers = {name: getattr(self.shared, name) for name in ("inputs", "known")}
        common = {
            name: {"kind": each.kind, "shift": each.shift.tolist(), "factor": each.factor.tolist()}
            for name, each in scalers.items()
        }
        if self.shared.embedded:
            return {**common, "embedded": self.shared.embedded, "series": [each.as_json() for each in self.series]}
        return {**self.series[0].as_json(), **common}

    @classmethod
    def of_json(cls, saved: Mapping[str, Any], data: SeriesData) -> Self:
        """Inverse of `as_json`."""
        series = tuple(map(SavedScaling.of_json, saved.get("series", [saved])))
        others = [place for place, name in enumerate(data.read) if name not in data.targets]
        none = Scaler("standard", np.zeros(0), np.ones(0))
        inputs, known = (
            _scaler(saved[name]["kind"], saved[name]) if name in saved else none for name in ("inputs", "known")
        )
        return cls(
            Shared(
                inputs if "inputs" in saved else series[0].reader.at(others),
                known,
                {each.id: each.scaler for each in series},
                {each.id: each.number for each in series if each.number},
                saved.get("embedded", 0),
            ),
            series,
        )


def _scaler(kind: Kind, saved: Mapping[str, Any]) -> Scaler:
    return Scaler(kind, np.array(saved["shift"], float), np.array(saved["factor"], float))


def _tuple(days: list[int] | None) -> tuple[int, ...] | None:
    return None if days is None else tuple(days)


def saved_scaling(run: RunFolder, data: SeriesData) -> Saved:
    """Scaling of a run's series; RunError where it is missing or damaged."""
    try:
        return Saved.of_json(json.loads(run.series.read_text(encoding="utf-8")), data)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as problem:
        raise RunError(f"{run.series}: cannot be read ({problem}); train the run again") from None
