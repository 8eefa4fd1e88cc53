"""The part of a forecaster's recipe that names its series: where they come from, and how they are divided in time."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, Tag, model_validator

from s2s.recipe.sections import Section, SetName, SplitName, form_of

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
DURATION = re.compile(r"(\d+(?:\.\d+)?)(?: (second|minute|hour|day|week)s?)?", re.ASCII)


def _as_text(value: object) -> object:
    """A number as text, so that it may be written without quotes; all else as it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _not_a_form(value: object) -> object:
    """What lists cells; ValueError for a word, such as a value of data.missing_values."""
    if isinstance(value, str):
        raise ValueError(
            f'must list cells, such as ["NA", -9999] (given "{value}"); what becomes of their rows is said by'
            ' data.missing_values = "leave_out" or "mark"'
        )
    return value


Cell = Annotated[str, BeforeValidator(_as_text)]
Feature = Literal["minute", "hour", "weekday", "day_of_month", "day_of_year", "month"]


class CsvFile(Section):
    """One table of comma-separated values."""

    file: str = Field(
        min_length=1,
        description="path of the CSV file, UTF-8; .gz, .xz, .zst accepted; where semicolons or tabs separate the"
        " columns, numbers may have a decimal comma",
    )


Table = Annotated[SplitName | Annotated[CsvFile, Tag("CsvFile")], form_of(CsvFile)]


class SeriesData(Section):
    """Where the series comes from, and how it is divided in time."""

    series: Table = Field(description='"CORPUS/SPLIT", a path ending in .csv, or {file}')
    also_validate: dict[SetName, Table] = Field(
        default={},
        description="series whose validation parts are scored in each validation too, by name; they choose no weights",
    )
    time: str | None = Field(
        default=None, min_length=1, description="column of times that sorts the rows; default: the file's order"
    )
    time_format: str | None = Field(
        default=None, description='strptime form of the times, such as "%d/%m/%Y %H:%M"; default: found from them'
    )
    time_zone: str | None = Field(
        default=None,
        description="time zone of the clocks by which times without an offset are written, such as Europe/Berlin;"
        " default: UTC",
    )
    longest_step: Cell | None = Field(
        default=None,
        description='longest time between neighbouring rows, such as "3 days", or a number where times are numbers; a'
        " longer one is a hole, which no window and no baseline reaches across; default: found from the times",
    )
    missing: Annotated[tuple[Cell, ...], Field(strict=False), BeforeValidator(_not_a_form)] = Field(
        default=(), description='cells without a value, such as -9999 or "NA"'
    )
    missing_values: Literal["leave_out", "mark"] = Field(
        default="leave_out",
        description="leave_out: rows with a cell of data.missing are left out, and are holes; mark: they stay, and"
        " those with empty cells too: the last known value is read, with a mark beside it, and is no target",
    )
    newest_first: bool = Field(default=False, description="without a time column: the file's last row is the oldest")
    targets: Names = Field(min_length=1, description="columns to forecast")
    inputs: Names = Field(default=(), description="columns that the model reads; default: the targets")
    series_id: str | None = Field(
        default=None,
        min_length=1,
        description="column that names the series of each row; every series is divided by its own rows, so that each is"
        " trained, validated and tested on, whenever it begins and ends; default: the table is one series",
    )
    known: Names = Field(
        default=(),
        description="columns known ahead, such as a promotion, read at the step that is forecast; the last rows of the"
        " file may have them without any target, and are the steps to forecast",
    )
    calendar: Annotated[tuple[Feature, ...], Field(strict=False)] = Field(
        default=(), description="parts of the time of the step that is forecast, each read as a sine and a cosine"
    )
    window: int = Field(default=12, ge=1, description="rows that the model reads for a forecast")
    horizon: int = Field(default=1, ge=1, description="rows that it forecasts")
    season: int | None = Field(default=None, ge=2, description="rows of a season, for the seasonal naive forecast")
    validation_share: float = Field(default=0.1, gt=0, lt=1, description="share of the rows, before the test part")
    test_share: float = Field(default=0.2, gt=0, lt=1, description="share of the rows, at the end")
    scaling: Literal["minmax", "standard", "square_root", "log_return", "mean", "none"] = Field(
        default="standard",
        description="fitted on each column's training part; mean, a division by it, for distributions of counts;"
        " square_root, standardised, for counts otherwise",
    )
    floor: float | None = Field(
        default=None, description="lowest value that a target can have, such as 0; no forecast lies below it"
    )

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that the model reads."""
        return self.inputs or self.targets

    @property
    def rows_before(self) -> int:
        """Rows that a forecast needs: the window, and for log returns the row before it."""
        return self.window + (self.scaling == "log_return")

    @property
    def features_read(self) -> int:
        """Features of a row that the model reads: its columns, and a mark for each where missing values are marked."""
        return len(self.read) * (1 + (self.missing_values == "mark"))

    @property
    def features_ahead(self) -> int:
        """Features of a row that are known ahead."""
        return len(self.known) + 2 * len(self.calendar)

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        for name in ("targets", "inputs", "known", "calendar"):
            columns = getattr(self, name)
            if len(set(columns)) != len(columns):
                raise ValueError(f"{name}: names {'a column' if name != 'calendar' else 'a part'} twice")
        for column in self.known:
            if column in (*self.targets, *self.inputs, self.time):
                others = "data.targets, data.inputs and data.time"
                raise ValueError(f"known: {column} is read at the step that is forecast; leave it out of {others}")
        if self.series_id and self.series_id in (*self.targets, *self.inputs, *self.known, self.time):
            raise ValueError(f"series_id: {self.series_id} names the series; leave it out of all other columns")
        if self.calendar and self.time is None:
            raise ValueError("calendar: is read from the column of times; name it with data.time")
        if self.missing_values == "mark" and self.scaling == "log_return":
            raise ValueError("missing_values: a log return needs both its values; choose another data.scaling")
        if self.time is not None and self.newest_first:
            raise ValueError("newest_first: rows are sorted by data.time already; set one of them")
        for name in ("time_format", "time_zone", "longest_step"):
            if self.time is None and getattr(self, name) is not None:
                raise ValueError(f"{name}: is of the column of times; name it with data.time")
        if self.longest_step is not None and not DURATION.fullmatch(self.longest_step):
            raise ValueError(
                f'longest_step: must be a number with seconds, minutes, hours, days or weeks, such as "3 days", or a'
                f' number alone where times are numbers (given "{self.longest_step}")'
            )
        if self.time_zone is not None and self.time_zone not in available_timezones():
            raise ValueError(
                f"time_zone: must be a name of the IANA time zone database, such as Europe/Berlin (given"
                f' "{self.time_zone}")'
            )
        if self.time_format is not None and not _is_form(self.time_format):
            raise ValueError(
                f'time_format: must be a form of strptime with the year, such as "%d/%m/%Y %H:%M" (given'
                f' "{self.time_format}")'
            )
        if self.validation_share + self.test_share >= 1:
            raise ValueError(f"validation_share: leaves nothing to train on with test_share {self.test_share}")
        return self


def _is_form(form: str) -> bool:
    """Whether strptime reads what strftime writes in a form, the year with it."""
    moment = datetime(2013, 11, 22)
    try:
        return datetime.strptime(moment.strftime(form), form).year == moment.year
    except ValueError:
        return False
