"""The forecaster: shapes, the residual form, feeding back, its losses against torch's, and its sampled paths."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from s2s.forecast.data import SeriesData
from s2s.forecast.model import SMALLEST_SCALE, Forecaster, forecast_loss
from s2s.forecast.recipe import ForecastModel

OUTPUTS = ("point", "quantiles", "gaussian", "student_t", "poisson", "negative_binomial")


def build(horizon: int = 3, **values: Any) -> Forecaster:
    torch.manual_seed(4)
    settings = ForecastModel.model_validate({"hidden_size": 6, **values})
    data = SeriesData(series="x/all", targets=("a", "b"), window=8, horizon=horizon)
    return Forecaster(settings, data).eval()


def window() -> tuple[Tensor, Tensor]:
    inputs = torch.randn(5, 8, 2, generator=torch.Generator().manual_seed(2))
    return inputs, inputs[:, -1]


@pytest.mark.parametrize(
    ("cell", "output", "steps"),
    list(itertools.product(("elman", "gru", "lstm"), OUTPUTS, ("direct", "fed_back"))),
)
def test_every_form_forecasts_all_steps_and_learns(cell: str, output: str, steps: str) -> None:
    model = build(cell=cell, output=output, steps=steps, layers=2 if output == "quantiles" else 1, dropout=0.2)
    inputs, last = window()
    truth = last[:, None, :] + torch.tensor([0.1, 0.2, 0.3])[None, :, None]
    truth = truth.clamp(min=0).round() if model.counts else truth
    forecast = model(inputs, last)
    assert forecast.shape == (5, 3, 2, model.parameters_each)
    assert model.point(forecast).shape == truth.shape
    before = forecast_loss(model, forecast, truth, "mse").detach()
    rule = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(15):
        rule.zero_grad()
        forecast_loss(model, model.train()(inputs, last), truth, "mse").backward()
        rule.step()
    assert forecast_loss(model, model.eval()(inputs, last), truth, "mse") < before


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_residual_model_of_zeros_says_that_nothing_changes(output: str) -> None:
    model = build(output=output)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    inputs, last = window()
    expected = last[:, None].expand(-1, 3, -1)
    if model.counts:  # which have means above zero
        expected = torch.nn.functional.softplus(expected) + SMALLEST_SCALE
    assert torch.equal(model.point(model(inputs, last)), expected)


@pytest.mark.parametrize("steps", ["direct", "fed_back"])
def test_the_linear_part_is_a_function_of_the_window_that_moves_on(steps: str) -> None:
    model = build(steps=steps, autoregression=True, residual=False)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    inputs, last = window()
    assert not bool(model(inputs, last).any())  # it begins at zero
    assert model.linear is not None
    torch.nn.init.normal_(model.linear.weight)
    forecast = model(inputs, last)[..., 0]
    if steps == "direct":
        torch.testing.assert_close(forecast.flatten(1), inputs.flatten(1) @ model.linear.weight.t())
        return
    for step in range(3):
        expected = inputs.flatten(1) @ model.linear.weight.t()
        torch.testing.assert_close(forecast[:, step], expected)
        inputs = torch.cat([inputs[:, 1:], expected[:, None]], dim=1)


def test_a_fed_back_model_reads_its_own_forecast_or_the_gold_value() -> None:
    model = build(steps="fed_back")
    inputs, last = window()
    own = model(inputs, last)
    one = build(steps="fed_back", horizon=1)
    longer = torch.cat([inputs, own[:, :1, :, 0]], dim=1)
    torch.testing.assert_close(one(longer, own[:, 0, :, 0])[:, 0], own[:, 1])
    gold = torch.randn(5, 3, 2)
    forced = model(inputs, last, gold, 1.0)
    torch.testing.assert_close(one(torch.cat([inputs, gold[:, :1]], 1), gold[:, 0])[:, 0], forced[:, 1])
    assert torch.equal(model(inputs, last, gold, 0.0), own)


@pytest.mark.parametrize(("output", "steps"), list(itertools.product(OUTPUTS, ("direct", "fed_back"))))
def test_each_row_forecasts_what_a_window_that_ends_there_does(output: str, steps: str) -> None:
    model = build(output=output, steps=steps)
    inputs, last = window()
    gold = torch.randn(5, 3, 2)
    rows, after = model.at_each_row(inputs, inputs, gold, 1.0)
    torch.testing.assert_close(after, model(inputs, last, gold, 1.0))
    assert rows.shape == (5, 7, 1 if steps == "fed_back" else 3, 2, model.parameters_each)
    for row in range(7):
        shorter = model(inputs[:, : row + 1], inputs[:, row])
        torch.testing.assert_close(rows[:, row], shorter[:, : rows.shape[2]])


def test_losses_are_the_formulas() -> None:
    inputs, last = window()
    truth = torch.randn(5, 3, 2)
    model = build()
    point = model(inputs, last)
    difference = point[..., 0] - truth
    torch.testing.assert_close(forecast_loss(model, point, truth, "mse"), difference.square().sum())
    torch.testing.assert_close(forecast_loss(model, point, truth, "mae"), difference.abs().sum())
    huber = torch.nn.HuberLoss(reduction="sum")(point[..., 0], truth)
    torch.testing.assert_close(forecast_loss(model, point, truth, "huber"), huber)
    near = difference.abs() <= 1
    formula = torch.where(near, difference.square() / 2, difference.abs() - 0.5).sum()
    torch.testing.assert_close(huber, formula)
    model = build(output="gaussian")
    forecast = model(inputs, last)
    normal = torch.distributions.Normal(forecast[..., 0], forecast[..., 1])
    constant = truth.numel() * 0.9189385
    torch.testing.assert_close(forecast_loss(model, forecast, truth, "mse"), -normal.log_prob(truth).sum() - constant)
    model = build(output="quantiles", quantiles=[0.1, 0.5, 0.9])
    forecast = model(inputs, last)
    above = truth[..., None] - forecast
    levels = torch.tensor([0.1, 0.5, 0.9])
    expected = torch.where(above > 0, levels * above, (levels - 1) * above).sum()
    torch.testing.assert_close(forecast_loss(model, forecast, truth, "mse"), expected)


@pytest.mark.parametrize(("output", "steps"), list(itertools.product(OUTPUTS[1:], ("direct", "fed_back"))))
def test_sampled_paths_lie_where_the_forecast_says(output: str, steps: str) -> None:
    model = build(output=output, steps=steps)
    inputs, last = window()
    paths = model.sample(inputs, last, 4000, torch.Generator().manual_seed(1))
    assert paths.shape == (4000, 5, 3, 2)
    again = model.sample(inputs, last, 4000, torch.Generator().manual_seed(1))
    assert torch.equal(paths, again)
    first = model(inputs, last)[:, 0]
    if output == "quantiles":
        first = first.sort(dim=-1).values
        near = 1e-5  # what lies beyond the ends is sampled at them
        inside = ((paths[:, :, 0] >= first[..., 0] - near) & (paths[:, :, 0] <= first[..., 2] + near)).float().mean()
        assert float(inside) > 0.99
        return
    middle = paths[:, :, 0].median(dim=0).values
    if model.counts:
        mean, variance = first[..., 0], first[..., 0]
        if output == "negative_binomial":
            variance = mean + first[..., 1] * mean.square()
        assert torch.equal(paths, paths.round())
        assert bool(((paths[:, :, 0].mean(dim=0) - mean).abs() < 4 * (variance / 4000).sqrt()).all())
        torch.testing.assert_close(paths[:, :, 0].var(dim=0), variance, rtol=0.25, atol=0.05)
        return
    assert bool(((middle - first[..., 0]).abs() < 0.12 * first[..., 1]).all())


@pytest.mark.parametrize(("steps", "autoregression"), list(itertools.product(("direct", "fed_back"), (False, True))))
def test_paths_without_chance_are_the_forecast_and_read_the_window_once(steps: str, autoregression: bool) -> None:
    model = build(steps=steps, autoregression=autoregression, layers=2, cell="lstm")
    if model.linear is not None:
        torch.nn.init.normal_(model.linear.weight, std=0.1)
    inputs, last = window()
    rows: list[int] = []
    model.recurrent.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0] * given[0].shape[1]))
    paths = model.sample(inputs, last, 7, torch.Generator().manual_seed(1))
    assert rows == [5 * 8] + ([7 * 5] * 2 if steps == "fed_back" else [])
    torch.testing.assert_close(paths, model(inputs, last)[..., 0].expand(7, -1, -1, -1))


def test_losses_of_counts_are_their_likelihoods_in_the_units_of_the_file() -> None:
    inputs, last = window()
    unit, counts = torch.tensor([2.5, 40.0]), torch.tensor([[0.0, 3.0], [7.0, 41.0], [1.0, 0.0]]).expand(5, 3, 2)
    poisson, binomial = build(output="poisson"), build(output="negative_binomial")
    forecast = poisson(inputs, last)
    expected = -torch.distributions.Poisson(forecast[..., 0] * unit).log_prob(counts).sum()
    found = forecast_loss(poisson, forecast, counts / unit, "mse", unit)
    torch.testing.assert_close(found.float(), expected)
    forecast = binomial(inputs, last)
    mean, shape = (forecast[..., 0] * unit).double(), 1 / forecast[..., 1].double()
    expected = -(
        torch.lgamma(counts + shape) - torch.lgamma(shape) - torch.lgamma(counts + 1.0)
        + shape * (shape / (shape + mean)).log() + counts * (mean / (shape + mean)).log()
    ).sum()  # fmt: skip
    torch.testing.assert_close(forecast_loss(binomial, forecast, counts / unit, "mse", unit), expected)
    nearly = torch.stack([forecast[..., 0], torch.full_like(mean, 1e-4)], dim=-1)  # without dispersion it is Poisson's
    close = forecast_loss(binomial, nearly, counts / unit, "mse", unit)
    torch.testing.assert_close(close, forecast_loss(poisson, nearly, counts / unit, "mse", unit), rtol=1e-2, atol=0)
