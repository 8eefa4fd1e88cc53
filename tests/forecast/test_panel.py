"""Many series in one file: each is what it is alone, and what is known ahead, marked or of the calendar is read."""

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.cli.commands import main
from s2s.device import choose_compute
from s2s.errors import DataError, RecipeError, RunError
from s2s.export.forecast import opened
from s2s.forecast.calendar import calendar_features
from s2s.forecast.data import SeriesData
from s2s.forecast.forecaster import SeriesForecaster, forecast_rows
from s2s.forecast.holes import Rhythm
from s2s.forecast.model import Forecaster
from s2s.forecast.panel_scores import Pooled, _dominant
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.scores import Sums, score_text
from s2s.forecast.series import PARTS, SHOWN, Series, first_few, prepare_panel
from s2s.forecast.table import read_tables
from s2s.forecast.task import ForecastTask
from s2s.jobs.evaluate import evaluate
from s2s.jobs.train import train
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES

RECIPE = """
task = "forecast"

[data]
series = "x.csv"
time = "day"
targets = ["sold"]
window = 5
validation_share = 0.2

[model]
hidden_size = 6

[training]
steps = 8
learning_rate = 0.01
schedule = "constant"
warmup_steps = 0
precision = "float32"
validate_every = 4
log_every = 4
batch_windows = 8
"""
STORE = 'data.series_id="store"'
LENGTHS = {"b": 60, "a": 45, "c": 52}
FIRST = np.datetime64("2024-01-01")


def recipe_with(folder: Path, *overrides: str) -> ForecastRecipe:
    recipe = parse_recipe(RECIPE, TREES, origin="test", folder=folder, overrides=overrides)
    assert isinstance(recipe, ForecastRecipe)
    return recipe


def rows_of(store: str, count: int) -> list[str]:
    """Days, promotions of some, and sales of a store."""
    noise = np.random.default_rng(ord(store)).standard_normal(count)
    promoted = [int((day * 7 + ord(store)) % 5 == 0) for day in range(count)]
    return [
        f"{store},{FIRST + day},{promoted[day]},{ord(store) - 60 + 9 * promoted[day] + noise[day]:.4f}"
        for day in range(count)
    ]


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["store,day,promotion,sold", *rows]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    for place in ("s2s.jobs.train.write_report", "s2s.jobs.train.plot_curves", "s2s.forecast.task.draw"):
        monkeypatch.setattr(place, lambda *_, **__: None)  # they take longer than the trainings
    write(tmp_path / "x.csv", [row for store, count in LENGTHS.items() for row in rows_of(store, count)])
    return tmp_path


def data_of(**values: Any) -> SeriesData:
    return SeriesData(series="x/all", targets=("sold",), time="day", **values)


def trained(folder: Path, *overrides: str, name: str = "run") -> RunFolder:
    return train(recipe_with(folder, *overrides), folder / name, device="cpu")


def forecasts(run: RunFolder, path: Path | None = None, steps: int | None = None) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in forecast_rows(run.path, path, "cpu", steps)[0]:
        found.setdefault(row.get("store", ""), []).append(row["sold"])
    return found


KNOWN = 'data.known=["promotion"]'


def test_a_panel_of_one_series_is_the_plain_series(folder: Path) -> None:
    write(folder / "x.csv", rows_of("a", 60))
    plain = trained(folder, name="plain")
    panel = trained(folder, STORE, "model.series_embedding_size=0", name="panel")
    assert plain.best.read_bytes() == panel.best.read_bytes()
    one, other = (evaluate([run.path], device="cpu")[0] for run in (plain, panel))
    for name, score in one["scores"].items():
        assert other["scores"][name] == pytest.approx(score), name
    assert other["series"][0]["scores"] == one["scores"]
    assert forecasts(plain)[""] == pytest.approx(forecasts(panel)["a"])


def test_the_order_of_the_rows_changes_no_byte(folder: Path) -> None:
    first = trained(folder, STORE, KNOWN, name="first")
    lines = (folder / "x.csv").read_text().splitlines()[1:]
    write(folder / "x.csv", [lines[at] for at in np.random.default_rng(3).permutation(len(lines))])
    second = trained(folder, STORE, KNOWN, name="second")
    assert first.best.read_bytes() == second.best.read_bytes()
    assert first.series.read_bytes() == second.series.read_bytes()


@settings(deadline=None, max_examples=10)
@given(
    lengths=st.lists(st.integers(8, 50), min_size=1, max_size=5),
    window=st.integers(1, 4),
    horizon=st.integers(1, 3),
    known=st.booleans(),
)
def test_the_windows_are_those_of_each_series_alone(
    lengths: list[int], window: int, horizon: int, known: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("panel") / "x.csv"
    stores = dict(zip("abcde", lengths, strict=False))
    form = data_of(
        series_id="store", window=window, horizon=horizon, validation_share=0.3, test_share=0.3,
        known=("promotion",) if known else (),
    )  # fmt: skip

    def windows(names: str) -> dict[str, list[torch.Tensor]]:
        """The windows of each series, from a file that has some."""
        write(path, [row for name in names for row in rows_of(name, stores[name])])
        found = dict[str, list[torch.Tensor]]()
        if not (series := prepared(form, path)):
            return found
        task = ForecastTask(recipe(form), Forecaster(recipe(form).model, form, len(series)), series, CPU)
        for part in PARTS:
            own = task.panel.windows(task.panel.origins(series, part))
            batch, which = own.batch(np.arange(len(own))), task.panel.series_of(own.origins)
            for at, each in enumerate(series):
                mine = torch.from_numpy(which == at)
                found.setdefault(each.table.id, []).extend([batch.inputs[mine], batch.targets[mine]])
        return found

    together = windows("".join(stores))
    for name in together:
        own = windows(name).get(name, together[name] if known else [])  # alone, its promotions may never change
        for alone, other in zip(own, together[name], strict=True):
            assert torch.equal(alone, other)


CPU = choose_compute("cpu", "float32")


def prepared(form: SeriesData, path: Path) -> list[Series]:
    try:
        return prepare_panel(form, read_tables(form, path)).series
    except DataError:  # all are too short
        return []


def recipe(form: SeriesData) -> ForecastRecipe:
    return ForecastRecipe.model_validate(
        {"task": "forecast", "data": form, "training": {"learning_rate": 0.1, "epochs": 1}}
    )


def test_scores_together_are_the_means_that_are_stated(folder: Path) -> None:
    run = trained(folder, STORE, "data.horizon=2", 'model.output="quantiles"')
    result = evaluate([run.path], device="cpu")[0]
    assert [each["id"] for each in result["series"]] == ["a", "b", "c"]
    counts = np.array([each["examples"] for each in result["series"]])
    assert counts.sum() == result["examples"]
    for name in ("mae", "mase", "msis", "coverage"):
        own = np.array([each["scores"][name]["value"] for each in result["series"]])
        expected = own.mean() if name in ("mase", "msis") else (own * counts).sum() / counts.sum()
        assert result["scores"][name]["value"] == pytest.approx(expected), name
    assert result["means"]["mase"] == "the mean over the series"
    said = call("evaluate", str(run.path)).stdout
    assert "3 series: mase and msis are means over them, all else of all forecasts together" in said
    assert re.search(r"crps .*\(from 3 quantiles\)\n", said)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    best = [row["validation"] for row in rows if row.get("best")][-1]
    validated = evaluate([run.path], on="validation", device="cpu")[0]["scores"]
    assert {name: best[name] for name in ("mae", "mase")} == pytest.approx(
        {name: validated[name]["value"] for name in ("mae", "mase")}
    )


def test_a_series_that_makes_most_of_the_mean_mase_is_told_of() -> None:
    def told(*of_each: tuple[float, float]) -> list[str]:
        scored = [
            {"id": f"s{at}", "scores": {"mae": {"value": mae}, "mase": {"value": mase}}}
            for at, (mae, mase) in enumerate(of_each)
        ]
        return _dominant(scored)

    assert not told((2.0, 1.0), (0.4, 2.0), (3.0, 1.0))
    assert not told((2.0, 1.0), (0.4, 100.0))
    assert told((2.0, 1.0), (0.4, 8.0), (3.0, 1.0)) == [
        "s1 alone makes 80% of mase, the mean over 3 series: its mean absolute error is 0.4, and before it changed by"
        ' 0.05 a row; take it out, or let it not choose the weights: training.metric = "loss"'
    ]


def call(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def test_a_series_is_forecast_alone_as_with_others_and_one_never_seen_too(folder: Path) -> None:
    run = trained(folder, STORE, 'data.calendar=["weekday"]')
    own = forecasts(run)
    assert own.keys() == {"a", "b", "c"}
    together = forecasts(run, folder / "x.csv")
    alone = forecasts(run, write(folder / "b.csv", rows_of("b", LENGTHS["b"])))
    for found in (together, alone):
        assert found["b"] == pytest.approx(own["b"], rel=1e-5)
    new = forecasts(run, write(folder / "new.csv", [*rows_of("b", LENGTHS["b"]), *rows_of("z", 30)]))
    assert new["b"] == pytest.approx(own["b"], rel=1e-5)
    assert 40 < new["z"][0] < 90
    lines = call("forecast", str(run.path)).stdout.splitlines()
    assert [line.split(",")[:2] for line in lines] == [["store", "step"], ["a", "1"], ["b", "1"], ["c", "1"]]


def test_the_entry_of_series_never_seen_is_trained_by_those_that_are(folder: Path) -> None:
    def entry(*overrides: str) -> torch.Tensor:
        recipe = recipe_with(folder, STORE, *overrides)
        series = prepared(recipe.data, folder / "x.csv")
        torch.manual_seed(1)
        task = ForecastTask(recipe, Forecaster(recipe.model, recipe.data, 3), series, CPU)
        task.loss(np.arange(0, len(task.train), 2), 0).smoothed.backward()  # type: ignore[no-untyped-call]
        assert task.model.series is not None
        assert task.model.series.weight.grad is not None
        return task.model.series.weight.grad.abs().sum(dim=1)

    assert (entry("model.series_dropout=0.5") > 0).all()
    assert (entry("model.series_dropout=0") > 0).tolist() == [False, True, True, True]


def test_series_that_are_too_short_are_left_out_counted_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [*rows_of("b", 60), *rows_of("d", 3), *rows_of("e", 8), *[f"f,{FIRST + day},0,5" for day in range(40)]]
    write(folder / "x.csv", rows)
    with caplog.at_level(logging.WARNING, "s2s"):
        run = trained(folder, STORE)
    assert "3 of 4 series are left out, the first of them" in caplog.text
    assert "series d: the training part has 1 of 3 rows" in caplog.text
    found = forecasts(run)
    assert found.keys() == {"b", "e", "f"}
    assert found["f"][0] == pytest.approx(5, abs=3)
    assert "1 of 4 series cannot be forecast, the first: d has 3 rows" in caplog.text
    write(folder / "x.csv", rows[60:71])
    with pytest.raises(DataError, match=r"x.csv: none of 2 series can be trained on; the first, d: the training part"):
        trained(folder, STORE, name="none")


def test_a_killed_training_of_many_series_resumes_to_the_same_bytes(folder: Path) -> None:
    form = [STORE, KNOWN, 'data.calendar=["month"]', 'data.missing_values="mark"', "model.series_dropout=0.5"]
    whole = trained(folder, *form, name="whole")
    trained(folder, *form, "training.steps=4", name="parts")
    parts = train(recipe_with(folder, *form), folder / "parts", resume=True, device="cpu")
    assert whole.best.read_bytes() == parts.best.read_bytes()


def test_two_rows_of_one_time_in_one_series_name_it(folder: Path) -> None:
    write(folder / "x.csv", [*rows_of("a", 20), *rows_of("b", 20), f"b,{FIRST},0,99"])
    with pytest.raises(DataError, match=r"lines 22 and 42: have one time, .*; leave out all but one row of series b$"):
        read_tables(data_of(series_id="store"), folder / "x.csv")
    (folder / "x.csv").write_text("day,sold\n2024-10-27 02:00,1\n2024-10-27 02:00,2\n2024-10-27 03:00,3\n")
    with pytest.raises(DataError, match=r"UTC offset, or name their zone with data.time_zone\); where the rows are of"):
        read_tables(data_of(), folder / "x.csv")


FUTURE = [f"a,{FIRST + 45 + day},{day % 2}," for day in range(4)]
FORMS = [("model.steps=direct", "data.horizon=2"), ("model.steps=fed_back", "data.horizon=2")]


@pytest.mark.parametrize("rows", ["last", "each"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_known_ahead_is_read_at_the_step_that_is_forecast(form: tuple[str, ...], rows: str) -> None:
    data = data_of(known=("promotion",), window=4, horizon=2)
    settings = {"steps": form[0].split("=")[1], "trained_rows": rows}
    torch.manual_seed(2)
    recipe = ForecastRecipe.model_validate(
        {"task": "forecast", "data": data, "model": settings, "training": {"learning_rate": 0.1, "epochs": 1}}
    )
    model = Forecaster(recipe.model, data)
    assert model.ahead is not None
    torch.nn.init.normal_(model.ahead.weight)
    inputs = torch.randn(1, 4, 1)
    ahead = torch.randn(1, 6, 1, requires_grad=True)
    from s2s.forecast.model import Beside

    every, after = model.at_each_row(inputs, inputs, inputs[:, :2], 0.0, Beside(ahead))
    reads = [
        bool(torch.autograd.grad(after[0, step].sum(), ahead, retain_graph=True)[0][0, 4 + step]) for step in (0, 1)
    ]
    assert reads == [True, True]
    own = torch.autograd.grad(every[0, 1, 0].sum(), ahead)[0][0, :, 0]
    assert own[2] != 0  # the row after the second
    assert not own[4:].any()


@pytest.mark.parametrize("form", FORMS)
def test_the_last_rows_without_a_target_are_the_steps_to_forecast(form: tuple[str, ...], folder: Path) -> None:
    write(folder / "x.csv", [*rows_of("a", 45), *FUTURE])
    run = trained(folder, KNOWN, *form)
    known = forecasts(run)
    assert len(known[""]) == 2
    assert known[""] == pytest.approx(forecasts(run, folder / "x.csv")[""], rel=1e-5)
    other = write(folder / "y.csv", [*rows_of("a", 45), *[row.replace(",1,", ",9,") for row in FUTURE]])
    assert forecasts(run, other)[""][1] != pytest.approx(known[""][1])
    short = write(folder / "short.csv", [*rows_of("a", 45), FUTURE[0]])
    with pytest.raises(DataError, match=r"promotion must be known of 2 steps .* 1 of them are missing: .* has 1 row"):
        forecasts(run, short)
    if "fed_back" in form[0]:
        assert len(forecasts(run, None, 4)[""]) == 4
        with pytest.raises(DataError, match="promotion must be known of 5 steps"):
            forecasts(run, None, 5)


def test_a_fed_back_model_goes_on_and_a_direct_one_says_what_it_has(folder: Path) -> None:
    write(folder / "x.csv", rows_of("a", 60))
    run = trained(folder, "model.steps=fed_back", "data.horizon=2")
    assert forecasts(run, None, 9)[""][:2] == pytest.approx(forecasts(run)[""])
    assert SeriesForecaster.load(run.path, device="cpu").next_steps(steps=7).points.shape == (1, 7, 1)
    direct = trained(folder, "data.horizon=2", name="direct")
    assert forecasts(direct, None, 1)[""] == forecasts(direct)[""][:1]
    said = call("forecast", str(direct.path), "--steps", "3", code=1).stderr
    assert "the model forecasts 2 steps at once (data.horizon), and not 3; train with data.horizon=3, or with" in said


def test_the_calendar_is_that_of_the_step_and_goes_on_by_the_rhythm() -> None:
    dates = np.array(["2024-01-31T00:00", "2024-12-31T23:59"], "datetime64[s]")
    local = (dates - np.datetime64("0001-01-01")) / np.timedelta64(1, "D")
    month, weekday = (calendar_features(local, [part]) for part in ("month", "weekday"))  # type: ignore[list-item]
    np.testing.assert_allclose(month, [[0, 1], [np.sin(-np.pi / 6), np.cos(-np.pi / 6)]], atol=1e-12)
    np.testing.assert_allclose(weekday[:, 1], np.cos(2 * np.pi * np.array([2, 1]) / 7))
    minute = calendar_features(local, ["minute", "hour"])
    np.testing.assert_allclose(minute[1], [*wave(59 / 60), *wave(23 / 24)], atol=1e-12)

    def after(first: str, rhythm: Rhythm, count: int) -> list[str]:
        start = (np.datetime64(first, "s") - np.datetime64("0001-01-01")) / np.timedelta64(1, "D")
        days = np.round(rhythm.after(float(start), count) * 86400).astype("timedelta64[s]")
        return [str(np.datetime64("0001-01-01", "s") + day)[:10] for day in days]

    assert after("2024-01-31", Rhythm(31.0, True, None), 3) == ["2024-02-29", "2024-03-31", "2024-04-30"]
    assert after("2023-07-01", Rhythm(92.0, True, None), 2) == ["2023-10-01", "2024-01-01"]
    assert after("2024-01-05", Rhythm(1.0, True, (5, 6)), 2) == ["2024-01-08", "2024-01-09"]


def wave(share: float) -> tuple[float, float]:
    return np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)


def test_a_row_with_a_missing_value_stays_and_is_marked_and_no_target(folder: Path) -> None:
    rows = rows_of("a", 60)
    for at, cell in ((0, ""), (20, "NA"), (21, "-9"), (55, "")):
        rows[at] = f"{rows[at].rsplit(',', 1)[0]},{cell}"
    write(folder / "x.csv", rows)
    form = ['data.missing_values="mark"', 'data.missing=["-9"]']
    recipe = recipe_with(folder, *form, "model.trained_rows=each", "model.residual=false")
    (series,) = prepared(recipe.data, folder / "x.csv")
    assert series.valid is not None
    assert np.flatnonzero(~series.valid[:, 0]).tolist() == [0, 20, 21, 55]
    assert (series.targets[20:22] == series.targets[19]).all()
    assert series.targets[0, 0] == pytest.approx(np.nanmean(series.values.gaps()[1][: series.parts.validation]))
    task = ForecastTask(recipe, Forecaster(recipe.model, recipe.data), [series], CPU)
    assert {20, 21}.isdisjoint(task.train.origins.tolist())
    assert task.train.inputs[20:23, 1].tolist() == [1, 1, 0]
    batch = np.arange(len(task.train))
    assert (
        task.loss(batch, 0).tokens
        == task.tokens(batch)
        == sum(int(series.valid[origin - 4 : origin + 1].sum()) for origin in task.train.origins)
    )
    loss, panel = float(task.loss(batch, 0).nats), task.panel
    panel.targets[20:22] += 100  # what stands for a missing value is no target
    assert float(task.loss(batch, 0).nats) == loss
    run = trained(folder, *form)
    assert evaluate([run.path], device="cpu")[0]["examples"] == 11
    assert np.isfinite(forecasts(run)[""][0])
    result = evaluate([trained(folder, *form, "data.horizon=2", name="two").path], device="cpu")[0]
    assert result["examples"] == result["targets"]["sold"]["examples"] == 9  # of 11, but 2 have no value in one step
    assert ", 9 forecasts, 2 steps ahead" in score_text(result)


def test_a_training_reads_and_divides_its_series_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: Any) -> Any:
        calls.append(given)
        return prepare_panel(*given)

    for place in ("task", "evaluation"):
        monkeypatch.setattr(f"s2s.forecast.{place}.prepare_panel", counted)
    run = trained(folder, STORE, KNOWN)
    assert len(calls) == 1
    scores = json.loads(run.scores.read_text())
    assert evaluate([run.path], device="cpu")[0]["scores"] == scores["scores"]
    assert len(calls) == 2


def test_remarks_on_many_series_are_cut_and_counted() -> None:
    remarks = [f"{name}: so" for name in range(SHOWN + 2)]
    assert first_few(data_of(), remarks) == remarks
    assert first_few(data_of(series_id="store"), remarks[:SHOWN]) == remarks[:SHOWN]
    cut = [*remarks[:SHOWN], "2 remarks more on other series"]
    assert first_few(data_of(series_id="store"), remarks) == cut


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['data.known=["sold"]'], "known: sold is read at the step that is forecast; leave it out of data.targets"),
        (['data.series_id="sold"'], "series_id: sold names the series; leave it out of all other columns"),
        (['data.calendar=["century"]'], "data.calendar"),
        (['data.calendar=["month", "month"]'], "calendar: names a part twice"),
        (['data.missing="mark"'], 'what becomes of their rows is said by data.missing_values = "leave_out" or "mark"'),
    ],
)
def test_a_broken_recipe_says_the_rule(overrides: list[str], message: str, folder: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_with(folder, *overrides)


def test_a_calendar_needs_dates(folder: Path) -> None:
    (folder / "x.csv").write_text("day,sold\n" + "".join(f"{day},{day % 7}\n" for day in range(40)))
    with pytest.raises(
        DataError, match=r"column day has 0, a plain number, which has no month; leave out data.calendar"
    ):
        read_tables(data_of(calendar=("month",)), folder / "x.csv")


def test_a_start_keeps_the_names_it_knows_and_takes_others_for_never_seen(folder: Path) -> None:
    first = trained(folder, STORE, name="first")
    write(folder / "x.csv", [*rows_of("c", 60), *rows_of("z", 60)])
    second = trained(folder, STORE, f"training.start={first.path}", name="second")
    saved = SeriesForecaster.load(second.path, device="cpu").saved
    assert {each.id: each.number for each in saved.series} == {"c": 3, "z": 0}
    assert saved.shared.embedded == 3


@pytest.mark.parametrize("key", [STORE, KNOWN, 'data.calendar=["month"]', 'data.missing_values="mark"'])
def test_an_export_refuses_what_it_has_no_place_for_by_name(key: str, folder: Path) -> None:
    if key != STORE:
        write(folder / "x.csv", rows_of("a", 60))
    run = trained(folder, key)
    with pytest.raises(RunError, match=key.split("=")[0]):
        opened(run, recipe_with(folder, key))


def test_scores_of_all_are_those_of_their_forecasts_together_however_many_are_kept_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only sums are kept of each series, so scores of all are compared with those of all windows at once."""
    run = trained(folder, STORE, "model.output=quantiles", "data.horizon=2", KNOWN)
    whole = evaluate([run.path], device="cpu")[0]
    rows = whole["outputs"]
    truth, points = (np.array([row[name] for row in rows]) for name in ("truth", "points"))
    quantiles = np.array([row["quantiles"] for row in rows])
    errors, scores = np.abs(points - truth), whole["scores"]
    assert len(rows) == whole["examples"]
    assert scores["mae"]["value"] == pytest.approx(errors.mean(), rel=1e-5)
    assert scores["rmse"]["value"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    assert scores["mape"]["value"] == pytest.approx(100 * (errors / np.abs(truth)).mean(), rel=1e-5)
    inside = (truth >= quantiles[:, 0]) & (truth <= quantiles[:, -1])
    assert scores["coverage"]["value"] == pytest.approx(inside.mean())
    steps = [row["mae"] for row in whole["by_step"]]
    np.testing.assert_allclose(steps, errors.mean(axis=(0, 2)), rtol=1e-5)
    monkeypatch.setattr("s2s.forecast.evaluation.SCORED_WINDOWS", 1)
    apart = evaluate([run.path], device="cpu")[0]
    assert [row["row"] for row in apart["outputs"]] == [row["row"] for row in rows]
    for name, score in scores.items():
        assert apart["scores"][name] == pytest.approx(score, rel=1e-5)


def test_no_two_groups_of_windows_are_forecast_by_the_same_random_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Series of the same values, of which each is a group, so that random numbers alone tell their paths apart."""
    write(folder / "x.csv", [row.replace("a", store, 1) for store in "ab" for row in rows_of("a", 60)])
    run = trained(folder, STORE, "model.output=gaussian", "model.series_embedding_size=0")
    monkeypatch.setattr("s2s.forecast.evaluation.SCORED_WINDOWS", 1)
    rows = evaluate([run.path], device="cpu")[0]["outputs"]
    first, second = ([row for row in rows if row["series"] == store] for store in "ab")
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one["points"] == other["points"]
        assert one["quantiles"] != other["quantiles"]


def test_many_series_are_tested_on_their_mean_loss_at_each_time() -> None:
    random = np.random.default_rng(4)
    series: Any = [SimpleNamespace(table=SimpleNamespace(times=tuple("abcdefgh"[first:]))) for first in (0, 2, 0)]
    pooled, losses = Pooled(series), random.random((3, 8))
    sums = Sums({"own": np.ones((7, 1)), "ar(1)": np.ones((7, 1))}, None)
    for each, first, loss in zip(series, (0, 2, 0), losses, strict=True):
        given = {"own": loss[first:], f"ar({first + 1})": 2 * loss[first:]}
        pooled.add(sums._replace(errors=dict(zip(given, sums.errors.values(), strict=True))), given, each.table.times)
    losses[1, :2] = np.nan  # a series that begins later
    rows, found = pooled.losses()
    assert rows.tolist() == [*range(8)]
    np.testing.assert_allclose(found["own"], np.nanmean(losses, axis=0))
    np.testing.assert_allclose(found["ar"], 2 * found["own"])
    pooled.add(sums, {"own": np.ones(1), "ar(1)": np.ones(1)}, ["another time"])
    np.testing.assert_allclose(pooled.losses()[1]["own"], found["own"])
