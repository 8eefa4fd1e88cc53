"""The forecaster: recurrent layers over a window, and a head that forecasts what comes after it."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2s.forecast.recipe import ForecastModel as Settings
from s2s.nn.dropout import dropout_mask
from s2s.nn.recurrent import Cell, Recurrent, State, initialize

SMALLEST_SCALE = 1e-4
"""Of a distribution, in scaled units, so that a flat series does not end in an infinite likelihood."""
SMALLEST_FREEDOM = 2.0
"""Degrees of freedom of a Student t whose variance is finite lie above it."""

Output = Literal["point", "quantiles", "gaussian", "student_t"]
PARAMETERS = {"point": 1, "gaussian": 2, "student_t": 3}


class Forecaster(nn.Module):
    """A window in, the parameters of a forecast for each step and target out (B, H, K, P).

    P is 1 (a number), the quantiles, mean and scale, or mean, scale and degrees of freedom. Direct, the last state
    forecasts all H steps; fed back, one step at a time, which is read as if it had happened.
    """

    def __init__(
        self,
        features: int,
        targets: int,
        hidden_size: int,
        *,
        horizon: int,
        output: Output,
        quantiles: tuple[float, ...],
        layers: int = 1,
        cell: Cell = "gru",
        fed_back: bool = False,
        residual: bool = True,
        autoregression_rows: int = 0,
        dropout: float = 0.0,
    ) -> None:
        """`autoregression_rows` are those that a linear function of the window reads; 0 is without one."""
        super().__init__()
        self.targets, self.horizon, self.output, self.quantiles = targets, horizon, output, quantiles
        self.fed_back, self.residual, self.dropout = fed_back, residual, dropout
        self.parameters_each = len(quantiles) if output == "quantiles" else PARAMETERS[output]
        self.recurrent = Recurrent(features, hidden_size, layers=layers, cell=cell)
        self.linear = None
        if autoregression_rows:
            self.linear = nn.Linear(features * autoregression_rows, targets * (1 if fed_back else horizon))
        self.head = nn.Linear(hidden_size, targets * self.parameters_each * (1 if fed_back else horizon))

    def forward(self, inputs: Tensor, last: Tensor, gold: Tensor | None = None, rate: float = 0.0) -> Tensor:
        """(B, W, F), the targets' last values (B, K) -> the forecast (B, H, K, P).

        A fed-back model reads each value of `gold` (B, H, K) with probability `rate`, independently, else its own.
        """
        masks = self._masks(inputs)
        hidden, state = self.recurrent(inputs, masks=masks)
        return self._continue(inputs, hidden[:, -1], state, masks, last, gold, rate)

    def at_each_row(self, inputs: Tensor, known: Tensor, gold: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """(B, W, F), the targets in the window (B, W, K) -> what each row but the last forecasts, and `forward`.

        The first is (B, W - 1, H, K, P), with one step in place of H where the forecast is fed back. Only a model
        without a linear part, which reads whole windows, has it.
        """
        masks = self._masks(inputs)
        hidden, state = self.recurrent(inputs, masks=masks)
        rows = self._head(hidden[:, :-1].flatten(0, 1), known[:, :-1].flatten(0, 1), None)
        after = self._continue(inputs, hidden[:, -1], state, masks, known[:, -1], gold, rate)
        return rows.view(len(inputs), -1, *rows.shape[1:]), after

    def _continue(
        self,
        inputs: Tensor,
        hidden: Tensor,
        state: State,
        masks: list[Tensor] | None,
        last: Tensor,
        gold: Tensor | None,
        rate: float,
    ) -> Tensor:
        """What is forecast from the last state on: (B, W, F), (B, H units), ... -> (B, H, K, P)."""
        steps = [self._head(hidden, last, inputs)]
        for step in range(1, self.horizon if self.fed_back else 1):
            fed = self.point(steps[-1])[:, 0]
            if gold is not None and rate > 0.0:
                forced = torch.rand(fed.shape, device=fed.device) < rate
                fed = torch.where(forced, gold[:, step - 1], fed)
            outputs, state = self.recurrent(fed[:, None], state, masks=masks)
            inputs = torch.cat([inputs[:, 1:], fed[:, None]], dim=1)
            steps.append(self._head(outputs[:, -1], fed, inputs))
        return torch.cat(steps, dim=1)

    def sample(self, inputs: Tensor, last: Tensor, paths: int, generator: torch.Generator) -> Tensor:
        """Paths (paths, B, H, K) sampled from the forecast, each step of a fed-back model from those before it.

        The window is read once, whatever the number of paths. Paths of fed-back quantiles are a little narrow: none
        leaves the outer quantiles of a step, since what lies beyond them is not forecast.
        """
        hidden, state = self.recurrent(inputs)
        first = self._head(hidden[:, -1], last, inputs)
        sampled = self._sampled(first.expand(paths, *first.shape), generator)
        if not self.fed_back:
            return sampled
        state = tuple(part.repeat(1, paths, 1) for part in state)
        window = None if self.linear is None else inputs.repeat(paths, 1, 1)
        steps = [sampled[:, :, 0].flatten(0, 1)]
        for _ in range(1, self.horizon):
            fed = steps[-1]
            hidden, state = self.recurrent(fed[:, None], state)
            if window is not None:
                window = torch.cat([window[:, 1:], fed[:, None]], dim=1)
            steps.append(self._sampled(self._head(hidden[:, -1], fed, window), generator)[:, 0])
        return torch.stack(steps, dim=1).view(paths, -1, self.horizon, self.targets)

    def point(self, forecast: Tensor) -> Tensor:
        """(..., P) -> (...), the number that is reported: the location of a distribution, or the median of quantiles.

        It is in scaled units. Where values are scaled by their square roots or log returns, a location that is the mean
        there is the median in the units of the file.
        """
        middle = self.quantiles.index(0.5) if self.output == "quantiles" else 0
        if self.output == "quantiles":  # those that crossed change places
            forecast = forecast.sort(dim=-1).values
        chosen: Tensor = forecast[..., middle]
        return chosen

    def _head(self, hidden: Tensor, last: Tensor, window: Tensor | None) -> Tensor:
        """(B, H units), (B, K), (B, W, F) -> (B, steps, K, P)."""
        if self.training and self.dropout:
            hidden = hidden * dropout_mask(hidden, self.dropout, shape=tuple(hidden.shape))
        raw: Tensor = self.head(hidden).float().view(len(hidden), -1, self.targets, self.parameters_each)
        located = raw + last[:, None, :, None] if self.residual else raw
        if self.linear is not None and window is not None:
            located = located + self.linear(window.flatten(1)).float().view(*raw.shape[:3], 1)
        if self.output in ("point", "quantiles"):
            return located
        scale = functional.softplus(raw[..., 1:2]) + SMALLEST_SCALE
        parts = [located[..., :1], scale]
        if self.output == "student_t":
            parts.append(functional.softplus(raw[..., 2:]) + SMALLEST_FREEDOM)
        return torch.cat(parts, dim=-1)

    def _masks(self, inputs: Tensor) -> list[Tensor] | None:
        if not (self.training and self.dropout) or len(self.recurrent.layers) == 1:
            return None
        shape = (len(inputs), 1, self.recurrent.output_size)
        return [dropout_mask(inputs, self.dropout, shape=shape) for _ in self.recurrent.layers[1:]]

    def _sampled(self, forecast: Tensor, generator: torch.Generator) -> Tensor:
        """(..., P) -> (...), a sample of each distribution."""
        if self.output == "point":
            return forecast[..., 0]
        if self.output == "quantiles":
            levels = torch.tensor(self.quantiles, device=forecast.device)
            at = torch.rand(forecast.shape[:-1], generator=generator, device=forecast.device)
            return _interpolated(forecast.sort(dim=-1).values, levels, at)
        noise = torch.randn(forecast.shape[:-1], generator=generator, device=forecast.device)
        if self.output == "student_t":
            freedom = forecast[..., 2]
            noise = noise / (torch._standard_gamma(freedom / 2, generator) / (freedom / 2)).sqrt()
        return forecast[..., 0] + forecast[..., 1] * noise


def _interpolated(values: Tensor, levels: Tensor, at: Tensor) -> Tensor:
    """(..., Q) values at (Q,) levels -> their values at other levels (...), linearly.

    Beyond the outer levels they are those at the ends, so that samples are a little narrow.
    """
    above = torch.searchsorted(levels, at.clamp(float(levels[0]), float(levels[-1]))).clamp(1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    share = ((at - low) / (high - low)).clamp(0, 1)[..., None]
    below_value, above_value = values.gather(-1, above[..., None] - 1), values.gather(-1, above[..., None])
    return (below_value + share * (above_value - below_value))[..., 0]


def forecast_loss(model: Forecaster, forecast: Tensor, truth: Tensor, kind: Literal["mse", "mae", "huber"]) -> Tensor:
    """(B, H, K, P), (B, H, K) -> the summed loss: of points, pinball (Koenker & Bassett 1978), or a likelihood."""
    truth = truth.to(forecast.dtype)
    if model.output == "quantiles":
        levels = torch.tensor(model.quantiles, device=forecast.device)
        above = truth[..., None] - forecast
        return torch.maximum(levels * above, (levels - 1) * above).sum()
    if model.output == "gaussian":
        return functional.gaussian_nll_loss(forecast[..., 0], truth, forecast[..., 1].square(), reduction="sum")
    if model.output == "student_t":
        distribution = torch.distributions.StudentT(forecast[..., 2], forecast[..., 0], forecast[..., 1])
        likelihood: Tensor = distribution.log_prob(truth)  # type: ignore[no-untyped-call]
        return -likelihood.sum()
    point = forecast[..., 0]
    if kind == "mae":
        return functional.l1_loss(point, truth, reduction="sum")
    loss = functional.huber_loss if kind == "huber" else functional.mse_loss
    return loss(point, truth, reduction="sum")


def build_forecaster(settings: Settings, *, features: int, targets: int, window: int, horizon: int) -> Forecaster:
    """The model that a recipe describes, with fresh weights from torch's global generator; the linear part is zero."""
    model = Forecaster(
        features,
        targets,
        settings.hidden_size,
        horizon=horizon,
        output=settings.output,
        quantiles=settings.quantiles,
        layers=settings.layers,
        cell=settings.cell,
        fed_back=settings.steps == "fed_back",
        residual=settings.residual,
        autoregression_rows=window if settings.autoregression else 0,
        dropout=settings.dropout,
    )
    initialize(model, settings.initialization)
    if model.linear is not None:
        nn.init.zeros_(model.linear.weight)
        nn.init.zeros_(model.linear.bias)
    return model
