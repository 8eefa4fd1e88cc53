"""The forecaster: recurrent layers over a window, and a head that forecasts from their last state."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2s.forecast.data import SeriesData
from s2s.forecast.recipe import ForecastModel
from s2s.nn.layers import dropout_mask
from s2s.nn.recurrent import Recurrent, State, initialize
from s2s.nn.rows import for_rows

SMALLEST_SCALE = 1e-4
"""Of a distribution, in scaled units, so that a flat series does not end in an infinite likelihood."""
SMALLEST_FREEDOM = 2.0
"""Degrees of freedom above which a Student t has a finite variance."""


class Beside(NamedTuple):
    """What a forecast reads besides the rows of its window."""

    ahead: Tensor | None = None
    """(B, W + H, C) what is known ahead of the rows of the window and of the steps forecast"""
    series: Tensor | None = None
    """(B,) numbers of the series; 0 for one that was never seen"""

    def to(self, device: torch.device) -> "Beside":
        """The same on a device."""
        return Beside(*(None if each is None else each.to(device) for each in self))


ALONE = Beside()


class Forecaster(nn.Module):
    """A window in, the parameters of a forecast for each step and target out (B, H, K, P).

    P is 1 (a number), the quantiles, mean and scale, or mean, scale and degrees of freedom; of counts the mean, and
    the dispersion of a negative binomial distribution, whose variance is mean + dispersion * mean² (Salinas et al.
    2020, section 3.1). Direct, the last state forecasts all H steps; fed back, one step at a time, which is read as if
    it had happened. With each row is read what is known ahead of the row after it, and the embedding of the series; a
    linear function of what is known of the row before a forecast, and of its steps, is added to it.
    """

    def __init__(self, settings: ForecastModel, data: SeriesData, series: int = 0) -> None:
        """Fresh weights from torch's global generator; those of linear parts are zero. `series` have embeddings."""
        super().__init__()
        self.targets, self.horizon = len(data.targets), data.horizon
        self.output, self.quantiles = settings.output, settings.quantiles
        self.fed_back, self.residual, self.dropout = settings.steps == "fed_back", settings.residual, settings.dropout
        self.counts = settings.counts
        each = {"point": 1, "poisson": 1, "student_t": 3, "quantiles": len(settings.quantiles)}
        self.parameters_each = each.get(settings.output, 2)
        self.steps_at_once, self.features = 1 if self.fed_back else data.horizon, data.features_read
        outputs, ahead = self.targets * self.steps_at_once, data.features_ahead
        size = settings.series_embedding_size if series else 0
        features = data.features_read + ahead + size
        self.recurrent = Recurrent(features, settings.hidden_size, layers=settings.layers, cell=settings.cell)
        self.linear = nn.Linear(data.features_read * data.window, outputs) if settings.autoregression else None
        self.ahead = nn.Linear(ahead * (1 + self.steps_at_once), outputs, bias=False) if ahead else None
        self.series = nn.Embedding(series + 1, size) if size else None
        self.head = nn.Linear(settings.hidden_size, outputs * self.parameters_each)
        initialize(self, settings.initialization)
        for part in (self.linear, self.ahead):
            for weight in () if part is None else part.parameters():
                nn.init.zeros_(weight)

    def forward(
        self,
        inputs: Tensor,
        last: Tensor,
        gold: Tensor | None = None,
        rate: float = 0.0,
        beside: Beside = ALONE,
        steps: int | None = None,
    ) -> Tensor:
        """(B, W, F), the targets' last values (B, K) -> the forecast (B, H, K, P).

        A fed-back model reads each value of `gold` (B, H, K) with probability `rate`, independently, else its own, and
        goes on for any number of `steps` in place of H.
        """
        return self._forecast(inputs, last, gold, rate, beside, steps)[1]

    def at_each_row(
        self, inputs: Tensor, known: Tensor, gold: Tensor, rate: float, beside: Beside = ALONE
    ) -> tuple[Tensor, Tensor]:
        """(B, W, F), the targets in the window (B, W, K) -> forecasts from each row but the last, and `forward`.

        The first are (B, W - 1, H, K, P), with one step in place of H where the forecast is fed back. Only a model
        without a linear part, which reads whole windows, has them.
        """
        hidden, after = self._forecast(inputs, known[:, -1], gold, rate, beside, None)
        rows, ahead = inputs.shape[1] - 1, None
        if beside.ahead is not None:
            each = beside.ahead.unfold(1, 1 + self.steps_at_once, 1)[:, :rows]  # (B, W - 1, C, 1 + H)
            ahead = each.transpose(2, 3).flatten(0, 1)
        found = self._head(hidden[:, :-1].flatten(0, 1), known[:, :-1].flatten(0, 1), None, ahead)
        return found.view(len(inputs), -1, *found.shape[1:]), after

    def _forecast(
        self, inputs: Tensor, last: Tensor, gold: Tensor | None, rate: float, beside: Beside, steps: int | None
    ) -> tuple[Tensor, Tensor]:
        """As `forward` -> the last layer's states in the window (B, W, H units), and the forecast (B, H, K, P)."""
        masks, device = self._masks(inputs), inputs.device
        hidden, state = self.recurrent(self._read(inputs, beside, 0), masks=masks)
        found = [self._head(hidden[:, -1], last, inputs, self._ahead(beside, inputs, 0))]
        window = None if self.linear is None else inputs
        for step in range(1, steps or self.horizon if self.fed_back else 1):
            fed = self.point(found[-1])[:, 0]
            if gold is not None and rate > 0.0:
                forced = for_rows(lambda rows: torch.rand(rows, self.targets, device=device), len(fed)) < rate
                fed = torch.where(forced, gold[:, step - 1], fed)
            outputs, state, window = self._next(fed, state, window, beside, inputs.shape[1] - 1 + step, masks)
            found.append(self._head(outputs, fed, window, self._ahead(beside, inputs, step)))
        return hidden, torch.cat(found, dim=1)

    def _next(
        self,
        fed: Tensor,
        state: State,
        window: Tensor | None,
        beside: Beside,
        place: int,
        masks: list[Tensor] | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """Values (B, K) read as if they had happened -> the state's output (B, H units), the state, the window."""
        row = functional.pad(fed, (0, self.features - self.targets))[:, None]  # of no missing value
        outputs, state = self.recurrent(self._read(row, beside, place), state, masks=masks)
        return outputs[:, -1], state, None if window is None else torch.cat([window[:, 1:], row], dim=1)

    def _read(self, rows: Tensor, beside: Beside, first: int) -> Tensor:
        """Rows (B, T, F), whose first is that of a place -> with what is known of the next ones, and their series."""
        parts, count = [rows], rows.shape[1]
        if beside.ahead is not None:
            parts.append(beside.ahead[:, first + 1 : first + 1 + count])
        if self.series is not None:
            number = beside.series if beside.series is not None else torch.zeros_like(rows[:, 0, 0], dtype=torch.long)
            parts.append(self.series(number)[:, None].expand(-1, count, -1))
        return torch.cat(parts, dim=2) if len(parts) > 1 else rows

    def _ahead(self, beside: Beside, inputs: Tensor, step: int) -> Tensor | None:
        """What is known of the row before a step, and of the steps forecast at once from it on (B, 1 + steps, C)."""
        place = inputs.shape[1] - 1 + step
        return None if beside.ahead is None else beside.ahead[:, place : place + 1 + self.steps_at_once]

    def sample(
        self,
        inputs: Tensor,
        last: Tensor,
        paths: int,
        generator: torch.Generator,
        beside: Beside = ALONE,
        steps: int | None = None,
        unit: Tensor | float = 1.0,
    ) -> Tensor:
        """Paths (paths, B, H, K) sampled from the forecast, each step of a fed-back model from those before it.

        Counts are sampled in the units of the file, a scaled value of one being a `unit` (B, 1, K), and scaled again.
        The window is read once, whatever the number of paths. Paths of fed-back quantiles are a little narrow: none
        leaves the outer quantiles of a step, since no forecast lies beyond them.
        """
        hidden, state = self.recurrent(self._read(inputs, beside, 0))
        first = self._head(hidden[:, -1], last, inputs, self._ahead(beside, inputs, 0))
        sampled = self._sample(first.expand(paths, *first.shape), generator, unit)
        if not self.fed_back:
            return sampled
        state = tuple(part.repeat(1, paths, 1) for part in state)
        window = None if self.linear is None else inputs.repeat(paths, 1, 1)
        each = Beside(*(None if part is None else part.repeat(paths, *[1] * (part.dim() - 1)) for part in beside))
        unit = unit.repeat(paths, 1, 1) if isinstance(unit, Tensor) else unit
        found = [sampled[:, :, 0].flatten(0, 1)]
        for step in range(1, steps or self.horizon):
            fed = found[-1]
            outputs, state, window = self._next(fed, state, window, each, inputs.shape[1] - 1 + step)
            forecast = self._head(outputs, fed, window, self._ahead(each, inputs, step))
            found.append(self._sample(forecast, generator, unit)[:, 0])
        return torch.stack(found, dim=1).view(paths, -1, len(found), self.targets)

    def point(self, forecast: Tensor) -> Tensor:
        """(..., P) -> point forecasts (...) in scaled units: a distribution's location, or the median of quantiles.

        The mean of scaled square roots or log returns is the median in the units of the file.
        """
        if self.output == "quantiles":  # those that crossed change places
            return forecast.sort(dim=-1).values[..., self.quantiles.index(0.5)]
        return forecast[..., 0]

    def _head(self, hidden: Tensor, last: Tensor, window: Tensor | None, ahead: Tensor | None) -> Tensor:
        """(B, H units), (B, K), (B, W, F), (B, 1 + steps, C) -> (B, steps, K, P)."""
        if self.training and self.dropout:
            hidden = hidden * dropout_mask(hidden, self.dropout, shape=tuple(hidden.shape))
        raw: Tensor = self.head(hidden).float().view(len(hidden), -1, self.targets, self.parameters_each)
        located = raw + last[:, None, :, None] if self.residual else raw
        if self.linear is not None and window is not None:
            located = located + self.linear(window.flatten(1)).float().view(*raw.shape[:3], 1)
        if self.ahead is not None and ahead is not None:
            located = located + self.ahead(ahead.flatten(1)).float().view(*raw.shape[:3], 1)
        if self.output in ("point", "quantiles"):
            return located
        mean = functional.softplus(located[..., :1]) + SMALLEST_SCALE if self.counts else located[..., :1]
        parts = [mean, functional.softplus(raw[..., 1:2]) + SMALLEST_SCALE][: self.parameters_each]
        if self.output == "student_t":
            parts.append(functional.softplus(raw[..., 2:]) + SMALLEST_FREEDOM)
        return torch.cat(parts, dim=-1)

    def _masks(self, inputs: Tensor) -> list[Tensor] | None:
        if not (self.training and self.dropout) or len(self.recurrent.layers) == 1:
            return None
        shape = (len(inputs), 1, self.recurrent.output_size)
        return [dropout_mask(inputs, self.dropout, shape=shape) for _ in self.recurrent.layers[1:]]

    def _sample(self, forecast: Tensor, generator: torch.Generator, unit: Tensor | float) -> Tensor:
        """(..., P) -> (...), a sample of each distribution."""
        if self.output == "point":
            return forecast[..., 0]
        if self.output == "quantiles":
            levels = torch.tensor(self.quantiles, device=forecast.device)
            at = torch.rand(forecast.shape[:-1], generator=generator, device=forecast.device)
            return _interpolated(forecast.sort(dim=-1).values, levels, at)
        if self.counts:
            mean = forecast[..., 0] * unit
            if self.output == "negative_binomial":  # of a Poisson rate that is gamma distributed
                mean = mean * torch._standard_gamma(1 / forecast[..., 1], generator) * forecast[..., 1]
            return torch.poisson(mean, generator) / unit
        noise = torch.randn(forecast.shape[:-1], generator=generator, device=forecast.device)
        if self.output == "student_t":
            freedom = forecast[..., 2]
            noise = noise / (torch._standard_gamma(freedom / 2, generator) / (freedom / 2)).sqrt()
        return forecast[..., 0] + forecast[..., 1] * noise


def _interpolated(values: Tensor, levels: Tensor, at: Tensor) -> Tensor:
    """(..., Q) values at (Q,) levels -> values at other levels (...), linearly; constant beyond the outer ones."""
    above = torch.searchsorted(levels, at).clamp(1, len(levels) - 1)
    share = ((at - levels[above - 1]) / (levels[above] - levels[above - 1])).clamp(0, 1)
    above = above[..., None]
    return torch.lerp(values.gather(-1, above - 1), values.gather(-1, above), share[..., None])[..., 0]


def forecast_loss(
    model: Forecaster,
    forecast: Tensor,
    truth: Tensor,
    kind: Literal["mse", "mae", "huber"],
    unit: Tensor | float = 1.0,
) -> Tensor:
    """(B, H, K, P), (B, H, K) -> the summed loss: of points, pinball (Koenker & Bassett 1978), or a likelihood.

    That of counts is of truth times `unit`, what one is in the units of the file, and computed in double precision.
    """
    if model.counts:
        count, parameters = (truth * unit).double().round(), forecast.double()
        mean = parameters[..., 0] * unit
        if model.output == "poisson":
            return (mean - count * mean.log() + torch.lgamma(count + 1)).sum()
        shape = 1 / parameters[..., 1]
        counts = torch.distributions.NegativeBinomial(shape, logits=(mean / shape).log(), validate_args=False)
        likely: Tensor = counts.log_prob(count)  # type: ignore[no-untyped-call]
        return -likely.sum()
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
    losses: dict[str, Callable[..., Tensor]]
    losses = {"mse": functional.mse_loss, "mae": functional.l1_loss, "huber": functional.huber_loss}
    return losses[kind](forecast[..., 0], truth, reduction="sum")
