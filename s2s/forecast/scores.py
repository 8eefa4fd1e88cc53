"""How far forecasts are from what came, beside those that need no training."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.baselines import errors_of
from s2s.forecast.recipe import ForecastRecipe
from s2s.run import number_text

Floats = NDArray[np.float64]
HEADINGS = ("forecasts", "MAE", "of persistence", "ratio", "best baseline", "coverage")
TOO_GOOD = 0.5
"""A ratio to the best baseline below this is a leak until somebody shows that it is none."""
SUSPICION = "too good"


class Interval(NamedTuple):
    """The lowest and the highest quantile that were forecast."""

    low: Floats
    """(O, H)"""
    high: Floats
    """(O, H)"""
    share: float
    """of the outcomes that shall lie between them"""


def score_forecast(
    truth: Floats,
    forecast: Floats,
    baselines: Mapping[str, Floats],
    *,
    naive_error: float,
    interval: Interval | None,
    pinball: float | None,
) -> dict[str, Any]:
    """The scores of one target, (O, H) each: overall, beside persistence, and step by step."""
    own = errors_of(truth, forecast, naive_error)
    others = {name: errors_of(truth, each, naive_error) for name, each in baselines.items()}
    scores: dict[str, dict[str, float]] = {}
    for name, value in own.items():
        naive = others["persistence"][name]
        scores[name] = {"value": value, "persistence": naive, "ratio": value / naive if naive else float("nan")}
    if interval is not None:
        inside = (truth >= interval.low) & (truth <= interval.high)
        scores["coverage"] = {"value": float(inside.mean()), "asked": interval.share}
    if pinball is not None:
        scores["pinball"] = {"value": pinball}
    steps = [
        {
            "step": step + 1,
            "mae": float(np.abs(truth - forecast)[:, step].mean()),
            "persistence": float(np.abs(truth - baselines["persistence"])[:, step].mean()),
        }
        for step in range(truth.shape[1])
    ]
    errors = {name: each["mae"] for name, each in others.items()}
    return {"scores": scores, "baselines": errors, "meaning": meaning(scores, errors), "by_step": steps}


def pinball_loss(truth: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """(O, H), (Q, O, H) -> the mean pinball loss over levels (Koenker & Bassett 1978)."""
    shares = np.array(levels)[:, None, None]
    above = truth - quantiles
    return float(np.maximum(shares * above, (shares - 1) * above).mean())


def meaning(scores: Mapping[str, Any], baselines: Mapping[str, float]) -> str:
    """What a mean absolute error says, in a sentence."""
    mae, naive = scores["mae"]["value"], scores["mae"]["persistence"]
    name, best = min(baselines.items(), key=lambda item: item[1])
    if not naive:
        return "persistence makes no error, since nothing changes in what is scored: nothing can be better"
    if not best and mae < naive:
        beside = f"but {name} makes no error" if mae else f"and as good as {name}: neither makes an error"
        return f"better than persistence by {1 - mae / naive:.1%}, {beside}"
    if best and mae / naive < TOO_GOOD and mae / best < TOO_GOOD:
        return (
            f"{SUSPICION}: less than half the error of {name}; look for a leak, such as an input that holds what is"
            " to be forecast"
        )
    if mae / naive > 1.02:
        return f"worse than saying that nothing changes (persistence), by {mae / naive - 1:.0%}"
    if mae / naive >= 0.98:
        return "no better than saying that nothing changes (persistence)"
    if mae > best:
        return f"better than persistence by {1 - mae / naive:.1%}, but {name} is better by {1 - best / mae:.1%}"
    return (
        f"better than persistence by {1 - mae / naive:.1%}, and than {name}, the best baseline, by {1 - mae / best:.1%}"
    )


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one part of its series, target by target."""
    return "".join(_target_text(result, target) for target in result["targets"])


def _target_text(result: Mapping[str, Any], target: str) -> str:
    """The scores of one target, the ratio to persistence first, and what it means."""
    found = result["targets"][target]
    scores, ahead = found["scores"], result["horizon"]
    steps = f"{ahead} steps ahead" if ahead > 1 else "one step ahead"
    lines = [f"{result['run']}, {target} on {result['split']}, {result['examples']:,} forecasts, {steps}"]
    lines.append(f"  MAE / MAE of persistence  {number_text(scores['mae']['ratio'], '.3f')}: {found['meaning']}")
    for name, score in scores.items():
        beside = f"  (persistence {number_text(score['persistence'], '.4g')})" if "persistence" in score else ""
        beside = f"  (asked {score['asked']:.2f})" if "asked" in score else beside
        lines.append(f"  {name:10} {number_text(score['value'], '.4g'):>10}{beside}")
    lines.append("  MAE of " + ", ".join(f"{name} {mae:.4g}" for name, mae in found["baselines"].items()))
    if ahead > 1:
        lines.append("  step        MAE   persistence")
        lines += [f"  {row['step']:4} {row['mae']:10.4g} {row['persistence']:13.4g}" for row in found["by_step"]]
    return "\n".join(lines) + "\n"


def row(recipe: ForecastRecipe, result: Mapping[str, Any]) -> list[str]:
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
