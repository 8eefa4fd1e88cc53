"""The recipe tree of forecasters: every value with its default, its rule and its unit."""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, Tag, model_validator

from s2s.recipe.sections import (
    ForcingRate,
    Initialization,
    Optimization,
    Section,
    SetName,
    SplitName,
    Tree,
    Variants,
    form_of,
)

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
BASELINE = re.compile(r"(log )?(theta|ets\((N|Ad?)(,A)?\)|sarimax\(\d+,\d,\d+\)(\(\d,\d,\d\))?)", re.ASCII)
SEASONAL = re.compile(r",A\)|\)\(")
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


class ForecastModel(Section):
    """Recurrent layers, and a head that forecasts from their last state."""

    cell: Literal["elman", "gru", "lstm"] = Field(default="gru", description="recurrent cell")
    layers: int = Field(default=1, ge=1, description="recurrent layers")
    hidden_size: int = Field(default=32, ge=1, description="units of each layer's state")
    steps: Literal["direct", "fed_back"] = Field(
        default="direct", description="direct: the last state forecasts all steps; fed_back: one, read for the next"
    )
    trained_rows: Literal["last", "each"] = Field(
        default="last", description="rows of a window that train: the last alone, or each on what came after it"
    )
    residual: bool = Field(default=True, description="residual connection: forecast the change since the last value")
    autoregression: bool = Field(
        default=False, description="add a linear function of the window to the forecast (Lai et al. 2018, section 3.6)"
    )
    autoregression_weights: Literal["trained", "least_squares"] = Field(
        default="trained",
        description="of linear parts; trained: with the network, from zero; least_squares: a ridge regression on the"
        " training part, which shrinks towards the seasonal naive forecast (data.season) and stays, so that the network"
        " learns what it leaves",
    )
    output: Literal["point", "quantiles", "gaussian", "student_t", "poisson", "negative_binomial"] = Field(
        default="point",
        description="a number, quantiles, or the parameters of a distribution (Salinas et al. 2020); poisson and"
        " negative_binomial are of counts, and their quantiles whole numbers",
    )
    loss: Literal["mse", "mae", "huber"] = Field(default="mse", description="loss of a point forecast")
    quantiles: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = Field(
        default=(0.1, 0.5, 0.9),
        min_length=2,
        description="quantile levels; paths of quantiles that are fed back never leave the outer two, so that later"
        " intervals are a little narrow",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout rate between layers and on the last state")
    series_embedding_size: int = Field(
        default=8, ge=0, description="units of the learned embedding of each series of data.series_id; 0: none"
    )
    series_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the windows trained without the name of their series, as one that was never seen is read",
    )
    initialization: Initialization = "orthogonal"

    @property
    def counts(self) -> bool:
        """Whether the forecast is a distribution of whole numbers from zero on."""
        return self.output in ("poisson", "negative_binomial")

    @model_validator(mode="after")
    def _forms_fit(self) -> Self:
        if self.autoregression and self.trained_rows == "each":
            raise ValueError("trained_rows: each row has no whole window for the autoregression; set it to last")
        if self.autoregression_weights == "least_squares" and (self.counts or not self.autoregression):
            raise ValueError(
                "autoregression_weights: least_squares is of a linear function of the window, and not of the mean of"
                " counts; set autoregression to true, and output to another than poisson and negative_binomial"
            )
        if self.loss != "mse" and self.output != "point":
            raise ValueError(f"loss: {self.loss} is of points, but output is {self.output}, which has its own loss")
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError("quantiles: must rise")
        if 0.5 not in self.quantiles:
            raise ValueError("quantiles: must hold 0.5, which is the point forecast")
        return self


class ForecastEvaluation(Section):
    """What the forecaster is compared with, besides the baselines that need no other library."""

    baselines: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description='statistical models, fitted on the rows before the scored part by the extra baselines: "theta";'
        ' "ets(TREND)" with N, A or Ad, all additive; "sarimax(p,d,q)"; with data.season "ets(TREND,A)" and'
        ' "sarimax(p,d,q)(P,D,Q)"; "log " before each, of logarithms',
    )

    @model_validator(mode="after")
    def _are_known(self) -> Self:
        for name in self.baselines:
            if not BASELINE.fullmatch(name):
                forms = '"theta", "ets(Ad)", "ets(Ad,A)", "sarimax(1,0,0)" or "sarimax(1,0,0)(0,1,1)"'
                raise ValueError(f'baselines: must be like {forms}, each also with "log " before it (given "{name}")')
        return self


class ForecastTraining(Optimization):
    """The optimisation of a forecaster: that of every training, with batches, score and teacher forcing."""

    batch_windows: int = Field(default=32, ge=1, description="batch size, in windows")
    metric: Literal["mase", "loss"] = Field(
        default="mase",
        description="validation score whose best weights are kept: mase, the mean over the targets of each one's"
        " absolute error in units of its naive one (Hyndman & Koehler 2006), or the loss",
    )
    teacher_forcing: ForcingRate = ForcingRate()


class ForecastRecipe(Tree):
    """A recurrent forecaster: data, model and training."""

    splits = ("series",)
    forms = (CsvFile,)
    paths = ("file",)
    path_endings = (".csv",)
    taken_over = (
        "model", "data.targets", "data.inputs", "data.window", "data.horizon", "data.scaling", "data.series_id",
        "data.known", "data.calendar", "data.missing_values",
    )  # fmt: skip
    may_differ = (*Tree.may_differ, "model.loss", "model.series_dropout", "model.autoregression_weights")
    conversions: ClassVar = {
        ".tsv": "python3 -c 'import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin,"
        ' delimiter="\\t"))\' < FILE > table.csv'
    }

    task: Literal["forecast"] = Field(description="what is trained; chooses this tree")
    data: SeriesData
    model: ForecastModel = ForecastModel()
    training: ForecastTraining
    evaluation: ForecastEvaluation = ForecastEvaluation()
    variants: Variants = Field(default={})

    def columns_of(self, target: str) -> tuple[str, ...]:
        """Columns of the forecasts of a target: itself, and its quantiles unless the model gives points."""
        levels = () if self.model.output == "point" else self.model.quantiles
        return target, *(f"{target}_{level:g}" for level in levels)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        data, model = self.data, self.model
        if model.residual and data.scaling == "log_return":
            raise ValueError("model.residual: a log return is the change already; set it to false")
        if model.counts and data.scaling not in ("mean", "none"):
            raise ValueError(f'model.output: {model.output} is of counts; set data.scaling = "mean" (or "none")')
        if model.counts and data.floor is not None:
            raise ValueError(f"data.floor: {model.output} has a floor of 0 already; leave it out")
        if data.season is None and (wants := [each for each in self.evaluation.baselines if SEASONAL.search(each)]):
            raise ValueError(f"evaluation.baselines: {wants[0]} needs data.season, the rows of a season")
        if model.steps == "fed_back" and data.read != data.targets:
            raise ValueError(
                "model.steps: fed_back reads its own forecasts, so data.inputs must be data.targets, in the same order;"
                " leave data.inputs out"
            )
        direct_quantiles = model.steps == "direct" and model.output == "quantiles"
        if direct_quantiles and data.scaling == "log_return" and data.horizon > 1:
            raise ValueError(
                f"model.output: quantiles of log returns do not add up to those of {data.horizon} steps (data.horizon);"
                ' set model.steps = "fed_back", or model.output = "gaussian" or "student_t"'
            )
        if model.trained_rows == "each" and data.window == 1:
            raise ValueError(
                "model.trained_rows: each needs a window of more than one row; change data.window, or set it to last"
            )
        if model.steps == "direct" and self.training.teacher_forcing != ForcingRate():
            raise ValueError("training.teacher_forcing: is for steps that are fed back (model.steps is direct)")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        taken = {"step", self.data.series_id}
        for target in self.data.targets:
            for column in self.columns_of(target):
                if column in taken:
                    raise ValueError(
                        f"data.targets: forecasts of {target} would have the column {column}, which is taken; rename"
                        " the target in the file, or write the quantiles with fewer digits"
                    )
                taken.add(column)
        return self
