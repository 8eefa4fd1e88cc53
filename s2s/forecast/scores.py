"""Errors of forecasts, compared with those of the baselines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.baselines import errors_of
from s2s.run import number_text

if TYPE_CHECKING:
    from s2s.forecast.forecaster import Forecasts
    from s2s.forecast.recipe import ForecastRecipe

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]
HEADINGS = ("forecasts", "MAE", "of persistence", "ratio", "best baseline", "coverage")
TOO_GOOD = 0.5
"""A ratio to the best baseline below this is suspected to come from a leak."""
SUSPICION = "too good"
KEPT_WINDOWS = 2000
"""Windows whose forecasts a run keeps, the last of more."""


def score_forecast(
    truth: Floats,
    forecast: Floats,
    baselines: Mapping[str, Floats],
    *,
    naive_error: float,
    quantiles: Floats | None,
    levels: tuple[float, ...],
    knows_more: bool = False,
) -> dict[str, Any]:
    """Scores of forecasts of one target (O, H), with quantiles (Q, O, H): overall, by step, and against baselines."""
    others = {name: errors_of(truth, each, naive_error) for name, each in baselines.items()}
    scores: dict[str, dict[str, float]] = {}
    for name, value in errors_of(truth, forecast, naive_error).items():
        naive = others["persistence"][name]
        scores[name] = {"value": value, "persistence": naive, "ratio": value / naive if naive else float("nan")}
    if quantiles is not None:
        inside = (truth >= quantiles[0]) & (truth <= quantiles[-1])
        scores["coverage"] = {"value": float(inside.mean()), "asked": levels[-1] - levels[0]}
        scores["pinball"] = {"value": pinball_loss(truth, quantiles, levels)}
    by_step = np.abs(truth - np.stack([forecast, baselines["persistence"]])).mean(axis=1).T.tolist()
    steps = [{"step": step, "mae": mae, "persistence": naive} for step, (mae, naive) in enumerate(by_step, start=1)]
    errors = {name: each["mae"] for name, each in others.items()}
    return {
        "scores": scores,
        "baselines": errors,
        "meaning": meaning(scores, errors, knows_more=knows_more),
        "by_step": steps,
    }


def outputs_of(origins: Rows, times: Sequence[str], truth: Floats, found: "Forecasts") -> list[dict[str, Any]]:
    """The last windows (O,) with their forecasts, as outputs.jsonl keeps them.

    `row` is that of the first value, `times` are those of all H; `truth` and `points` are (H, K), `quantiles`
    (Q, H, K).
    """
    return [
        {
            "row": int(origins[at]),
            "times": [str(time) for time in times[origins[at] : origins[at] + truth.shape[1]]],
            "truth": _short(truth[at]),
            "points": _short(found.points[at]),
            "quantiles": None if found.quantiles is None else _short(found.quantiles[:, at]),
        }
        for at in range(max(0, len(origins) - KEPT_WINDOWS), len(origins))
    ]


def _short(values: Floats) -> Any:
    """Nested lists of numbers of seven digits."""
    flat = [float(f"{value:.7g}") for value in values.ravel().tolist()]
    return np.reshape(flat, values.shape).tolist()


def pinball_loss(truth: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """(O, H), (Q, O, H) -> the pinball loss, the mean over levels (Koenker & Bassett 1978)."""
    shares = np.array(levels)[:, None, None]
    above = truth - quantiles
    return float(np.maximum(shares * above, (shares - 1) * above).mean())


def meaning(scores: Mapping[str, Any], baselines: Mapping[str, float], *, knows_more: bool = False) -> str:
    """Meaning of a mean absolute error, in a sentence; one who `knows_more` than the baselines is not suspected."""
    mae, naive = scores["mae"]["value"], scores["mae"]["persistence"]
    name, best = min(baselines.items(), key=lambda item: item[1])
    if not naive:
        return "persistence makes no error, since nothing changes in what is scored: nothing can be better"
    better = f"better than persistence by {1 - mae / naive:.1%}"
    if not mae and not best:
        return f"{better}, and as good as {name}: neither makes an error"
    if not best and mae < naive:
        return f"{better}, but {name} makes no error"
    if best and mae / naive < TOO_GOOD and mae / best < TOO_GOOD and not knows_more:
        return (
            f"{SUSPICION}: less than half the error of {name}; look for a leak, such as an input that holds what is"
            " to be forecast"
        )
    if mae / naive > 1.02:
        return f"worse than saying that nothing changes (persistence), by {mae / naive - 1:.0%}"
    if mae / naive >= 0.98:
        return "no better than saying that nothing changes (persistence)"
    if mae > best:
        return f"{better}, but {name} is better by {1 - best / mae:.1%}"
    return f"{better}, and than {name}, the best baseline, by {1 - mae / best:.1%}"


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one part of its series, target by target."""
    return "".join(_target_text(result, target, found) for target, found in result["targets"].items())


def _target_text(result: Mapping[str, Any], target: str, found: Mapping[str, Any]) -> str:
    """The scores of one target, first the ratio to persistence and its meaning."""
    scores, ahead = found["scores"], result["horizon"]
    steps = f"{ahead} steps ahead" if ahead > 1 else "one step ahead"
    lines = [f"{result['run']}, {target} on {result['split']}, {result['examples']:,} forecasts, {steps}"]
    lines.append(f"  MAE / MAE of persistence  {number_text(scores['mae']['ratio'], '.3f')}: {found['meaning']}")
    for name, score in scores.items():
        remark = f"  (persistence {number_text(score['persistence'], '.4g')})" if "persistence" in score else ""
        remark = f"  (asked {score['asked']:.2f})" if "asked" in score else remark
        lines.append(f"  {name:10} {number_text(score['value'], '.4g'):>10}{remark}")
    if "series" in result:
        lines.append(
            f"  {len(result['series']):,} series: mase is the mean over them, all else of all forecasts together"
        )
    lines.append("  MAE of " + ", ".join(f"{name} {mae:.4g}" for name, mae in found["baselines"].items()))
    if ahead > 1:
        lines.append("  step        MAE   persistence")
        lines += [f"  {row['step']:4} {row['mae']:10.4g} {row['persistence']:13.4g}" for row in found["by_step"]]
    return "\n".join(lines) + "\n"


def row(recipe: "ForecastRecipe", result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    scores, (name, best) = result["scores"], min(result["baselines"].items(), key=lambda item: item[1])
    mae = scores["mae"]
    return [
        f"{result['target']}, {result['split']} ({result['horizon']} ahead)",
        f"{result['examples']:,}",
        f"**{mae['value']:.4g}**",
        f"{mae['persistence']:.4g}",
        number_text(mae["ratio"], ".3f"),
        f"{best:.4g} ({name})",
        f"{scores['coverage']['value']:.2f}" if "coverage" in scores else "",
    ]
