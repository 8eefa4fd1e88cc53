"""The recipe tree of forecasters: every value with its default, its rule and its unit."""

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from s2s.forecast.data import CsvFile, SeriesData
from s2s.recipe.sections import ForcingRate, Initialization, Optimization, Section, Tree, Variants

BASELINE = re.compile(r"(log )?(theta|ets\((N|Ad?)(,A)?\)|sarimax\(\d+,\d,\d+\)(\(\d,\d,\d\))?)", re.ASCII)
SEASONAL = re.compile(r",A\)|\)\(")


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
