"""Forecasters from a recipe: trained, resumed to the same bytes, scored without a leak, asked for the next steps."""

import json
import logging
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import s2s.forecast.forecaster
import s2s.forecast.task
from s2s.cli.commands import main
from s2s.device import choose_compute
from s2s.errors import DataError, RecipeError, RunError
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.saved import Saved, SavedScaling
from s2s.forecast.scores import score_text
from s2s.forecast.series import Shared, prepare_panel
from s2s.forecast.table import read_tables
from s2s.forecast.task import ForecastTask
from s2s.jobs.evaluate import evaluate
from s2s.jobs.train import train
from s2s.nn.weights import load_tensors
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES

RECIPE = """
task = "forecast"

[data]
series = "x.csv"
targets = ["b"]
window = 6
validation_share = 0.2

[model]
hidden_size = 8
output = "quantiles"
dropout = 0.1

[training]
steps = 14
learning_rate = 0.01
schedule = "constant"
warmup_steps = 0
precision = "float32"
validate_every = 7
log_every = 5
batch_windows = 8
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "x.csv", 90)
    return tmp_path


def write(path: Path, rows: int, *, changed_from: int | None = None) -> None:
    """A wave with a trend, and a second wave."""
    values = [10 + row / 20 + 3 * np.sin(row / 3) for row in range(rows)]
    if changed_from is not None:
        values[changed_from:] = [value * 7 for value in values[changed_from:]]
    lines = [f"{row},{value:.6f},{np.cos(row):.6f}" for row, value in enumerate(values)]
    path.write_text("a,b,c\n" + "\n".join(lines) + "\n")


def recipe_with(folder: Path, *overrides: str) -> ForecastRecipe:
    recipe = parse_recipe(RECIPE, TREES, origin="test", folder=folder, overrides=overrides)
    assert isinstance(recipe, ForecastRecipe)
    return recipe


def prepare(folder: Path, *overrides: str) -> ForecastTask:
    """The task of a recipe, before its first step."""
    recipe = recipe_with(folder, *overrides)
    series = prepare_panel(recipe.data, read_tables(recipe.data, folder / "x.csv")).series
    torch.manual_seed(recipe.seed)
    model = Forecaster(recipe.model, recipe.data, len(series) if recipe.data.series_id else 0)
    return ForecastTask(recipe, model, series, choose_compute("cpu", "float32"))


def validated(task: ForecastTask) -> Mapping[str, Any]:
    with torch.inference_mode():
        return task.validate()


def last_state(run: RunFolder) -> dict[str, torch.Tensor]:
    index = json.loads((run.last / "checkpoint.json").read_text())
    return load_tensors(run.last / index["state"])


FORMS = [
    [],
    ["model.steps=fed_back", "data.horizon=3", "training.teacher_forcing.rate=0.5"],
    ["model.trained_rows=each", "data.horizon=2"],
    ["model.autoregression=true", "model.autoregression_weights=least_squares", "data.season=4"],
]


@pytest.mark.parametrize("form", FORMS)
def test_a_resumed_training_ends_in_the_same_bytes(form: list[str], folder: Path) -> None:
    whole = train(recipe_with(folder, *form), folder / "whole", device="cpu")
    train(recipe_with(folder, *form, "training.steps=7"), folder / "parts", device="cpu")
    parts = train(recipe_with(folder, *form), folder / "parts", resume=True, device="cpu")
    one, other = last_state(whole), last_state(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.best.read_bytes() == parts.best.read_bytes()


def test_the_test_part_changes_no_weight_and_no_scaling(folder: Path) -> None:
    first = train(recipe_with(folder), folder / "first", device="cpu")
    write(folder / "x.csv", 90, changed_from=72)
    second = train(recipe_with(folder), folder / "second", device="cpu")
    assert first.best.read_bytes() == second.best.read_bytes()
    scalings = [json.loads(run.series.read_text()) for run in (first, second)]
    assert scalings[0]["reader"] == scalings[1]["reader"]
    assert scalings[0]["read"] != scalings[1]["read"]


@pytest.mark.usefixtures("drawn_plots")
def test_the_scores_are_in_the_units_of_the_file_and_compared_with_baselines(folder: Path) -> None:
    run = train(recipe_with(folder), folder / "run", device="cpu")
    result = evaluate([run.path], device="cpu")[0]
    values = np.array([float(line.split(",")[1]) for line in (folder / "x.csv").read_text().split()[1:]])
    naive = np.abs(values[72:] - values[71:-1]).mean()
    assert result["examples"] == 18
    assert result["scores"]["mae"]["persistence"] == pytest.approx(naive)
    assert result["scores"]["mase"]["value"] == pytest.approx(
        result["scores"]["mae"]["value"] / np.abs(np.diff(values[:72])).mean()
    )
    assert {"persistence", "drift"} <= set(result["baselines"])
    assert 0 <= result["scores"]["coverage"]["value"] <= 1
    assert json.loads(run.scores.read_text())["scores"] == result["scores"]
    for name in ("forecast.png", "curves.png"):
        assert (run.plots / name).read_bytes().startswith(b"\x89PNG")


def test_a_leak_is_suspected(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(3)
    values = 50 + 5 * generator.standard_normal(400)
    rows = [f"{today:.6f},{tomorrow:.6f}" for today, tomorrow in pairwise(values)]
    (folder / "x.csv").write_text("b,leak\n" + "\n".join(rows) + "\n")
    overrides = ['data.inputs=["b", "leak"]', "model.output=point", "model.dropout=0", "training.steps=400"]
    with caplog.at_level(logging.WARNING, "s2s"):
        train(recipe_with(folder, *overrides, "training.validate_every=100"), folder / "run", device="cpu")
    assert "b is too good: less than half the error of" in caplog.text


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


@pytest.mark.usefixtures("drawn_plots")
def test_the_command_forecasts_the_next_steps(folder: Path) -> None:
    run = train(recipe_with(folder, "data.horizon=3"), folder / "run", device="cpu")
    lines = call("forecast", str(run.path)).stdout.splitlines()
    assert lines[0] == "step,b,b_0.1,b_0.5,b_0.9"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    arguments = ["--input", str(folder / "x.csv"), "--plot", str(folder / "next.png"), "--json"]
    rows = json.loads(call("forecast", str(run.path), *arguments).stdout)
    assert [f"{row['b']:.6g}" for row in rows] == [f"{float(line.split(',')[1]):.6g}" for line in lines[1:]]
    assert all(row["b_0.1"] <= row["b_0.5"] <= row["b_0.9"] for row in rows)
    assert (folder / "next.png").read_bytes().startswith(b"\x89PNG")
    assert "MAE / MAE of persistence" in call("evaluate", str(run.path)).stdout
    (folder / "short.csv").write_text("a,b\n1,2\n3,4\n")
    short = call("forecast", str(run.path), "--input", str(folder / "short.csv"), code=1)
    assert "the table has 2 rows, but the model reads 6" in short.stderr


RETURNS = ["data.scaling=log_return", "model.residual=false"]


@pytest.mark.parametrize("form", [["model.steps=fed_back"], ["model.output=gaussian"], ["model.output=student_t"]])
def test_log_returns_of_several_steps_have_forms_whose_intervals_are_right(form: list[str], folder: Path) -> None:
    assert recipe_with(folder, *RETURNS, "data.horizon=2", *form).data.horizon == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.attention=dot"], "model.attention: unknown key"),
        (["model.autoregression_weights=least_squares"], "least_squares is of a linear function of the window"),
        (["model.trained_rows=each", "model.autoregression=true"], "each row has no whole window for the"),
        (["data.scaling=log_return"], "model.residual: a log return is the change already"),
        (['data.inputs=["a","b"]', "model.steps=fed_back"], "fed_back reads its own forecasts"),
        (['data.targets=["b","a"]', 'data.inputs=["a","b"]', "model.steps=fed_back"], "in the same order; leave"),
        (["model.trained_rows=each", "data.window=1"], "each needs a window of more than one row"),
        ([*RETURNS, "data.horizon=2"], "quantiles of log returns do not add up to those of 2 steps"),
        (["model.loss=huber"], "model.loss: huber is of points, but output is quantiles"),
        (["training.teacher_forcing.rate=0.5"], "training.teacher_forcing: is for steps that are fed back"),
        (["training.teacher_forcing.feed=sampled"], "training.teacher_forcing.feed: unknown key"),
        (['data.targets=["step"]'], "data.targets: forecasts of step would have the column step, which is taken"),
        (['data.targets=["b","b_0.5"]'], "forecasts of b_0.5 would have the column b_0.5, which is taken"),
        (["model.quantiles=[0.5]"], r"model.quantiles: must be a list of at least 2 entries \(given \[0.5\]\)"),
        (["model.quantiles=[0.9, 0.5]"], "quantiles: must rise"),
        (["model.quantiles=[0.1, 0.9]"], "quantiles: must hold 0.5"),
        (["data.test_share=0.9"], "validation_share: leaves nothing to train on"),
        (["data.series=3"], r'data.series: must be "CORPUS/SPLIT", a path ending in .csv'),
        (["data.newest_first=true", "data.time=a"], "newest_first: rows are sorted by data.time already"),
        (["data.longest_step=3 days"], "longest_step: is of the column of times; name it with data.time"),
        (["data.time_format=%Y"], "time_format: is of the column of times; name it with data.time"),
        (["data.time=a", "data.longest_step=3 months"], "longest_step: must be a number with seconds, minutes,"),
        (["data.time=a", "data.longest_step=-3"], "longest_step: must be a number with seconds, minutes,"),
        (["data.time=a", "data.time_format=%H:%M"], "time_format: must be a form of strptime with the year"),
        (["data.time=a", "data.time_format=%Y-%Q"], "time_format: must be a form of strptime with the year"),
        (["data.missing=-9999"], r"data.missing: must be a list \(given -9999\)"),
        (["model.output=poisson"], 'model.output: poisson is of counts; set data.scaling = "mean"'),
        (["model.output=poisson", "data.scaling=mean", "data.floor=0"], "data.floor: poisson has a floor of 0 already"),
        (['evaluation.baselines=["ets(M)"]'], r"evaluation.baselines: must be like .* \(given \"ets\(M\)\"\)"),
        (['evaluation.baselines=["log ets(N,A)"]'], r"evaluation.baselines: log ets\(N,A\) needs data.season"),
        (['evaluation.baselines=["sarimax(0,1,1)(0,1,1)"]'], r"sarimax\(0,1,1\)\(0,1,1\) needs data.season"),
    ],
)
def test_a_broken_recipe_says_the_rule(overrides: list[str], message: str, folder: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_with(folder, *overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n" + "1,5\n" * 40, r"x.csv: column b: is 5 in all of the training part"),
        ("a,b\n1,2\n3,4\n", r"the training part has 1 of 2 rows"),
        ("a,c\n1,2\n", "no column is named 'b'"),
        ("a,b\r1,2\r", "x.csv: its lines end in a lone carriage return"),
    ],
)
def test_a_series_that_cannot_be_trained_on_leaves_nothing(text: str, message: str, folder: Path) -> None:
    (folder / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        train(recipe_with(folder), folder / "run", device="cpu")
    assert not (folder / "run").exists()


def test_a_target_that_never_changes_is_refused_unscaled_too(folder: Path) -> None:
    (folder / "x.csv").write_text("a,b\n" + "1,5\n" * 40)
    with pytest.raises(DataError, match=r"x.csv: column b: never changes in the training part"):
        train(recipe_with(folder, "data.scaling=none"), folder / "run", device="cpu")


def test_a_name_with_a_comma_stays_one_column(folder: Path) -> None:
    (folder / "x.csv").write_text((folder / "x.csv").read_text().replace("a,b,c", 'a,"b, of it",c'))
    run = train(recipe_with(folder, 'data.targets=["b, of it"]', "model.output=point"), folder / "run", device="cpu")
    assert call("forecast", str(run.path)).stdout.splitlines()[0] == 'step,"b, of it"'


@pytest.mark.parametrize(("scaling", "value"), [("log_return", "0"), ("square_root", "-1")])
def test_values_without_a_log_or_root_are_refused_wherever_they_stand(scaling: str, value: str, folder: Path) -> None:
    form = [f"data.scaling={scaling}", "model.residual=false"]
    run = train(recipe_with(folder, *form), folder / "run", device="cpu")
    lines = (folder / "x.csv").read_text().splitlines()
    lines[85] = f"84,{value},0"
    (folder / "y.csv").write_text("\n".join(lines))
    message = rf"y.csv, line 86: column b has {value}, and a "
    with pytest.raises(DataError, match=message):
        train(recipe_with(folder, *form, f"data.series={folder / 'y.csv'}"), folder / "other", device="cpu")
    assert re.search(message, call("forecast", str(run.path), "--input", str(folder / "y.csv"), code=1).stderr)
    known = np.full((20, 1), float(value))
    with pytest.raises(DataError, match=f"row 1: column b has {value}, and a "):
        SeriesForecaster.load(run.path).next_steps(known, known)


def test_no_window_reads_the_return_of_the_first_row(folder: Path) -> None:
    series = prepare(folder, *RETURNS)
    assert series.train.origins[0] == 7
    assert prepare(folder).train.origins[0] == 6
    inputs = series.train.batch(np.arange(1)).inputs
    values = series.series[0].read[:7]
    np.testing.assert_allclose(
        inputs[0],
        (np.log(values[1:] / values[:-1]) - series.series[0].reader.shift) / series.series[0].reader.factor,
        rtol=1e-5,
    )


@pytest.mark.parametrize("output", ["point", "quantiles", "student_t"])
@pytest.mark.parametrize("steps", ["direct", "fed_back"])
def test_a_long_series_is_forecast_in_groups_of_windows(
    output: str, steps: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = prepare(folder, f"model.output={output}", f"model.steps={steps}", "data.horizon=2", "model.dropout=0")
    (series,) = task.series
    scaling = SavedScaling(series.reader, series.scaler, series.read, series.targets)
    saved = Saved(Shared(series.scaler, series.scaler), (scaling,))
    forecaster, panel = SeriesForecaster(task.model, task.recipe, saved, task.compute), task.panel
    whole, scores = forecaster.after(panel, np.arange(10, 88)), validated(task)
    largest: list[int] = []
    task.model.recurrent.register_forward_pre_hook(lambda _, given: largest.append(len(given[0])))
    for module in (s2s.forecast.forecaster, s2s.forecast.task):
        monkeypatch.setattr(module, "WINDOWS_AT_ONCE", 7)
    monkeypatch.setattr(s2s.forecast.forecaster, "SAMPLED_AT_ONCE", 7)
    parts, again = (forecaster.after(panel, np.arange(10, 88)) for _ in range(2))
    assert validated(task) == pytest.approx(scores)
    assert max(largest) <= 7 * (s2s.forecast.forecaster.PATHS if steps == "fed_back" else 1)
    np.testing.assert_allclose(parts.points, whole.points, rtol=1e-5)
    assert (parts.quantiles is None) == (output == "point")
    if parts.quantiles is not None and whole.quantiles is not None:
        assert np.array_equal(parts.quantiles, again.quantiles)
        sampled = (output, steps) != ("quantiles", "direct")  # other groups sample other paths
        assert np.abs(parts.quantiles - whole.quantiles).mean() < (0.3 if sampled else 1e-5)


@pytest.mark.parametrize("steps", ["direct", "fed_back"])
@pytest.mark.parametrize("rows", ["last", "each"])
@pytest.mark.parametrize("output", ["point", "quantiles", "gaussian", "student_t"])
def test_tokens_are_those_that_the_loss_is_summed_over(output: str, rows: str, steps: str, folder: Path) -> None:
    form = [f"model.steps={steps}", f"model.trained_rows={rows}", f"model.output={output}", 'data.targets=["b", "c"]']
    for horizon in (1, 3):
        task = prepare(folder, *form, f"data.horizon={horizon}")
        batch = next(task.batches(0, 0))
        assert task.tokens(batch) == task.loss(batch, 0).tokens


def test_targets_weigh_alike_in_validation_whatever_their_units(folder: Path) -> None:
    form = ['data.targets=["b", "c"]', "model.output=point"]
    both = validated(prepare(folder, *form))
    text = (folder / "x.csv").read_text().splitlines()
    rows = [line.split(",") for line in text[1:]]
    (folder / "x.csv").write_text("a,b,c\n" + "".join(f"{a},{b},{1000 * float(c)}\n" for a, b, c in rows))
    assert validated(prepare(folder, *form))["mase"] == pytest.approx(both["mase"], rel=1e-4)
    assert "mae" not in both


def test_a_validation_says_what_evaluating_on_its_part_does(folder: Path) -> None:
    run = train(recipe_with(folder), folder / "run", device="cpu")
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    best = [row["validation"] for row in rows if row.get("best")][-1]
    scores = evaluate([run.path], on="validation", device="cpu")[0]["scores"]
    assert {name: best[name] for name in ("mae", "mase")} == pytest.approx(
        {name: scores[name]["value"] for name in ("mae", "mase")}
    )


def test_scores_that_have_no_value_are_null_and_said(folder: Path) -> None:
    lines = (folder / "x.csv").read_text().splitlines()
    (folder / "x.csv").write_text("\n".join([*lines[:72], *(f"{row},0,0" for row in range(71, 90))]))
    run = train(recipe_with(folder, "data.season=80"), folder / "run", device="cpu")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    said = json.loads(call("evaluate", str(run.path), "--json").stdout, parse_constant=refuse)
    for found in (said, json.loads(run.scores.read_text(), parse_constant=refuse)):
        assert found["scores"]["mae"]["persistence"] == 0
        assert found["scores"]["mae"]["ratio"] is None
        assert found["scores"]["mape"]["value"] is None
        assert "seasonal_naive" not in found["baselines"]
        assert "MAE / MAE of persistence  undefined: persistence makes no error" in score_text(found)
    assert "MAE / MAE of persistence  undefined" in call("evaluate", str(run.path)).stdout
    assert "| undefined |" in call("recipes", "table", str(run.path)).stdout


def test_another_file_than_the_one_trained_on_is_not_scored(folder: Path) -> None:
    run = train(recipe_with(folder), folder / "run", device="cpu")
    write(folder / "x.csv", 95)
    with pytest.raises(DataError, match=r"x.csv: has changed since .*run was trained on it.*put the old file back, or"):
        evaluate([run.path], device="cpu")
    run.environment.unlink()
    assert evaluate([run.path], device="cpu")[0]["examples"] == 19


def dated(path: Path, days: list[int], *, shifted_until: int = 0) -> None:
    """The wave over days, its first rows moved."""
    dates = np.datetime64("2024-01-01") + np.array(days)
    values = [10 + day / 20 + 3 * np.sin(day / 3) + 500 * (row < shifted_until) for row, day in enumerate(days)]
    rows = [f"{date},{value:.6f},{value:.6f}" for date, value in zip(dates, values, strict=True)]
    path.write_text("a,b,c\n" + "\n".join(rows) + "\n")


def test_what_is_to_be_told_of_a_table_is_told_once_in_a_training(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dated(folder / "x.csv", [*range(50), *range(80, 130)])
    lines = (folder / "x.csv").read_text().splitlines()
    lines[20] = lines[20].rsplit(",", 2)[0] + ",-9999,0"
    (folder / "x.csv").write_text("\n".join([*lines, *lines[4:9]]))
    with caplog.at_level(logging.WARNING, "s2s"):
        run = train(recipe_with(folder, "data.time=a", "data.season=12"), folder / "run", device="cpu")
    told = [record.getMessage().removeprefix(f"{folder}/x.csv: ") for record in caplog.records]
    assert [each.split(",")[0] for each in told] == [
        "5 rows left out that repeat another",
        "column b has -9999 once",
        "1 hole in the series",
    ]
    assert "6 of 94 windows would reach across one and are left out" in told[2]
    caplog.clear()
    evaluate([run.path], device="cpu")
    assert caplog.text == ""
    assert "1 hole in the series" in call("train", str(run.recipe), "--dry-run").stderr


def test_rows_before_a_hole_change_no_forecast_after_it_and_no_score(folder: Path) -> None:
    days = [*range(60), *range(100, 140)]
    dated(folder / "x.csv", days)
    form = ["data.time=a", "data.validation_share=0.1", "data.test_share=0.2"]
    run = train(recipe_with(folder, *form), folder / "run", device="cpu")
    dated(folder / "other.csv", days, shifted_until=60)
    forecasts = [
        call("forecast", str(run.path), "--input", str(folder / name)).stdout for name in ("x.csv", "other.csv")
    ]
    assert forecasts[0] == forecasts[1] == call("forecast", str(run.path)).stdout


def test_a_forecast_needs_its_rows_since_the_last_hole(folder: Path) -> None:
    dated(folder / "x.csv", [*range(90), *range(120, 124)])
    run = train(recipe_with(folder, "data.time=a"), folder / "run", device="cpu")
    assert np.isfinite(evaluate([run.path], device="cpu")[0]["scores"]["mae"]["value"])
    own = call("forecast", str(run.path), code=1).stderr
    assert "after its last hole the training table has 4 rows, but the model reads 6" in own
    other = call("forecast", str(run.path), "--input", str(folder / "x.csv"), code=1).stderr
    assert "x.csv, line 92: only 4 rows follow the last hole, but the model reads 6 and none from before one" in other
    assert "a hole is more than 1.5 steps of 1 day; data.longest_step sets it" in other


def test_the_autoregression_and_the_season_stay_behind_holes_of_the_test_part(folder: Path) -> None:
    dated(folder / "x.csv", [*range(110), *range(140, 160)])
    run = train(recipe_with(folder, "data.time=a", "data.season=9"), folder / "run", device="cpu")
    result = evaluate([run.path], device="cpu")[0]
    assert result["examples"] == 20
    (order,) = [int(name[3:-1]) for name in result["baselines"] if name.startswith("ar")]
    assert order <= 6
    assert "seasonal_naive" not in result["baselines"]
    values = np.array([float(line.split(",")[1]) for line in (folder / "x.csv").read_text().split()[1:]])
    naive = np.abs(np.diff(values))[[*range(103, 109), *range(115, 129)]].mean()
    assert result["scores"]["mae"]["persistence"] == pytest.approx(naive)


def test_a_forecaster_has_no_beam(folder: Path) -> None:
    run = train(recipe_with(folder), folder / "run", device="cpu")
    refused = call("evaluate", str(run.path), "--beam", "3", code=1)
    assert "a forecaster translates nothing; leave out --beam" in refused.stderr


@pytest.mark.parametrize("steps", ["direct", "fed_back"])
@pytest.mark.parametrize("output", ["point", "quantiles", "gaussian", "student_t"])
def test_every_form_trains_forecasts_and_is_scored(output: str, steps: str, folder: Path) -> None:
    form = [f"model.output={output}", f"model.steps={steps}", "data.horizon=3", 'data.targets=["b", "c"]']
    run = train(recipe_with(folder, *form), folder / "run", device="cpu")
    forecaster = SeriesForecaster.load(run.path, device="cpu")
    found = forecaster.next_steps()
    again = forecaster.next_steps(forecaster.scaling.read, forecaster.scaling.targets)
    assert found.points.shape == (1, 3, 2)
    assert np.isfinite(found.points).all()
    assert np.array_equal(found.points, again.points)
    assert (found.quantiles is None) == (output == "point")
    if found.quantiles is not None and again.quantiles is not None:
        assert found.quantiles.shape == (3, 1, 3, 2)
        assert (np.diff(found.quantiles, axis=0) >= 0).all()
        assert np.array_equal(found.quantiles, again.quantiles)
    result = evaluate([run.path], device="cpu")[0]
    assert (result["examples"], len(result["by_step"])) == (16, 3)
    assert result["targets"].keys() == {"b", "c"}
    for scored in result["targets"].values():
        assert np.isfinite(scored["scores"]["mase"]["value"])
        assert ("coverage" in scored["scores"]) == (output != "point")


def test_other_runs_are_no_forecasters(folder: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        SeriesForecaster.load(folder / "nowhere")


def said_of(run: RunFolder, path: Path) -> list[str]:
    """The warnings of a forecast after a table."""
    lines = call("forecast", str(run.path), "--input", str(path)).stderr.splitlines()
    return [line.removeprefix(f"warning: {path}: ") for line in lines]


def test_a_table_unlike_the_training_is_told_and_one_like_it_not(folder: Path) -> None:
    dated(folder / "x.csv", [*range(120)])
    run = train(recipe_with(folder, "data.time=a"), folder / "run", device="cpu")
    dated(folder / "like.csv", [*range(200, 230)])
    dated(folder / "months.csv", [*range(0, 210, 30)])
    dated(folder / "weekdays.csv", [day for day in range(100) if day % 7 < 5])
    dated(folder / "far.csv", [*range(30)], shifted_until=30)
    (folder / "flat.csv").write_text("a,b,c\n" + "".join(f"2024-01-{day},12,12\n" for day in range(11, 31)))
    assert said_of(run, folder / "like.csv") == []
    assert said_of(run, folder / "months.csv") == [
        "its rows are usually 30 days apart, but those of the training table 1 day, and a forecast goes on in the steps"
        " that were learned; give a table like it"
    ]
    assert said_of(run, folder / "weekdays.csv")[0].startswith("it has no rows on Saturdays and Sundays, but the")
    (far,) = said_of(run, folder / "far.csv")
    assert re.match(r"column b has values from 51\d(\.\d)? to 51\d(\.\d)? in the last 6 rows, but values from 7", far)
    assert "so the forecast is a guess" in far
    assert said_of(run, folder / "flat.csv") == [
        "column b is 12 in all of the last 6 rows; check that they were measured"
    ]
    old = json.loads(run.series.read_text())
    run.series.write_text(json.dumps({key: old[key] for key in old if key not in ("learned", "rhythm")}))
    assert said_of(run, folder / "months.csv") == said_of(run, folder / "far.csv") == []


@pytest.mark.parametrize("scaling", ["minmax", "standard", "square_root", "log_return", "none"])
def test_the_learned_range_is_said_in_the_units_of_the_file(scaling: str, folder: Path) -> None:
    series = prepare(
        folder, f"data.scaling={scaling}", f"model.residual={str(scaling != 'log_return').lower()}"
    ).series[0]
    known = series.read[: series.parts.validation, 0]
    values = np.diff(np.log(known)) if scaling == "log_return" else known
    what = "log returns" if scaling == "log_return" else "values"
    assert series.reader.in_words(series.learned()) == [f"{what} from {values.min():.4g} to {values.max():.4g}"]


COUNTS = ['data.targets=["n"]', "data.scaling=mean", "data.season=7", "data.horizon=2"]


@pytest.mark.parametrize("output", ["poisson", "negative_binomial"])
def test_counts_are_forecast_with_whole_numbers_and_backtested(output: str, folder: Path) -> None:
    sold = np.random.default_rng(1).poisson(2 + 6 * (np.arange(200) % 7 == 5))
    (folder / "x.csv").write_text("day,n\n" + "\n".join(f"{day},{count}" for day, count in enumerate(sold)) + "\n")
    form = [*COUNTS, f"model.output={output}", "data.window=7", "data.time=day"]
    form += ['evaluation.baselines=["ets(N,A)", "sarimax(0,0,0)(0,1,1)"]', "training.steps=40"]
    run = train(
        recipe_with(folder, *form, "training.validate_every=40", "training.learning_rate=0.03"),
        folder / "run",
        device="cpu",
    )
    forecaster = SeriesForecaster.load(run.path, device="cpu")
    found = forecaster.next_steps()
    assert found.quantiles is not None
    assert np.array_equal(found.quantiles, found.quantiles.round())
    assert (found.quantiles >= 0).all()
    assert (found.points > 0).all()
    result = json.loads(call("evaluate", str(run.path), "--origins", "5", "--json").stdout)
    assert (result["examples"], len(result["by_origin"])) == (5, 5)
    assert [row["time"] for row in result["by_origin"]][::4] == ["160", "198"]
    assert {"ets(N,A)", "sarimax(0,0,0)(0,1,1)"} <= result["baselines"].keys()
    assert result["diebold_mariano"]["baseline"] == min(result["baselines"], key=lambda name: result["baselines"][name])
    assert result["scores"]["mae"]["ratio"] < 1
    said = score_text(result)
    assert f"Diebold-Mariano against {result['diebold_mariano']['baseline']}: " in said
    assert re.search(r"time        MAE   persistence   coverage\n +160 ", said)
    refused = call("evaluate", "tests/runs/tiny-en-ko", "--origins", "5", code=1)
    assert "only a forecaster is scored from origins; leave out --origins" in refused.stderr


@pytest.mark.parametrize("value", ["2.5", "-1"])
def test_what_is_no_count_is_refused_with_its_row(value: str, folder: Path) -> None:
    (folder / "x.csv").write_text("n\n" + "".join(f"{row % 5}\n" for row in range(80)) + f"{value}\n")
    with pytest.raises(DataError, match=rf"x.csv, line 82: column n has {value}, and a count is a whole number"):
        train(recipe_with(folder, *COUNTS, "model.output=poisson", "data.window=7"), folder / "run", device="cpu")


@pytest.mark.parametrize("output", ["quantiles", "student_t"])
def test_no_forecast_lies_below_the_floor_and_one_below_the_data_is_told(output: str, folder: Path) -> None:
    values = np.random.default_rng(2).exponential(size=120) * (np.arange(120) % 4 == 0)
    (folder / "x.csv").write_text("b\n" + "".join(f"{value:.6f}\n" for value in values))
    form = [f"model.output={output}", "training.steps=5", "training.validate_every=5", "data.horizon=4"]
    free = train(recipe_with(folder, *form), folder / "free", device="cpu")
    held = train(recipe_with(folder, *form, "data.floor=0"), folder / "held", device="cpu")
    assert free.best.read_bytes() == held.best.read_bytes()
    kept = {run.path.name: run.outputs.read_text().splitlines() for run in (free, held)}
    lowest = {name: np.array([json.loads(row)["quantiles"] for row in rows]).min() for name, rows in kept.items()}
    assert lowest["free"] < 0 <= lowest["held"]
    assert "as low as" not in call("forecast", str(held.path)).stderr
    low = train(recipe_with(folder, *form, "data.floor=-100"), folder / "low", device="cpu")
    assert re.search(r", and the data never below 0$", call("forecast", str(low.path)).stderr, re.MULTILINE)
    said = call("forecast", str(free.path)).stderr
    assert re.search(
        r"^b_0.1 is as low as -\d\.\d+, and the data never below 0; data.floor sets a lowest$", said, re.MULTILINE
    )
    with pytest.raises(
        DataError, match=r"line 2: column b has 0.129861, and data.floor is 0.5; mend the value, or lower"
    ):
        train(recipe_with(folder, *form, "data.floor=0.5"), folder / "run", device="cpu")
