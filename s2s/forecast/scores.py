"""Errors of forecasts, compared with those of the baselines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.backtest import diebold_mariano
from s2s.forecast.baselines import error_sums, errors_of
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
SIGNIFICANT = 0.05
"""p-value above which a difference is no more than chance gives."""
KEPT_WINDOWS = 2000
"""Windows whose forecasts a run keeps: the last of more, and of many series those of the first ones."""


OWN = "own"
"""Name of the model among the baselines."""


class Sums(NamedTuple):
    """Sums over the forecasts of a target, of which scores are made; those of more forecasts are added to them."""

    errors: Mapping[str, Floats]
    """(7, H) `error_sums` of the model, OWN, and of each baseline"""
    intervals: Floats | None
    """(3, H) truths between the outer quantiles, pinball losses and interval scores; None for a model of points"""

    def plus(self, other: "Sums") -> "Sums":
        """Sums over both, of the baselines that both have."""
        both = {name: sums + other.errors[name] for name, sums in self.errors.items() if name in other.errors}
        if self.intervals is None or other.intervals is None:
            return Sums(both, None)
        return Sums(both, self.intervals + other.intervals)


def sums_of(
    truth: Floats,
    forecast: Floats,
    baselines: Mapping[str, Floats],
    quantiles: Floats | None,
    levels: tuple[float, ...],
) -> Sums:
    """Sums over forecasts (O, H) of one target, with quantiles (Q, O, H), and over those of baselines by name."""
    errors = {name: error_sums(truth, each) for name, each in {OWN: forecast, **baselines}.items()}
    if quantiles is None:
        return Sums(errors, None)
    inside = (truth >= quantiles[0]) & (truth <= quantiles[-1])
    width = interval_scores(truth, quantiles[0], quantiles[-1], levels[0], levels[-1])
    parts = inside, pinball_losses(truth, quantiles, levels), width
    return Sums(errors, np.stack([part.sum(axis=0) for part in parts]))


def scores_of(sums: Sums, *, naive_error: float, levels: tuple[float, ...], knows_more: bool) -> dict[str, Any]:
    """Scores overall, by step, and against baselines."""
    own, *others = {name: errors_of(each, naive_error) for name, each in sums.errors.items()}.items()
    naive, scores = dict(others)["persistence"], dict[str, dict[str, float]]()
    for name, value in own[1].items():
        ratio = value / naive[name] if naive[name] else float("nan")
        scores[name] = {"value": value, "persistence": naive[name], "ratio": ratio}
    counts = sums.errors[OWN][0]
    columns = {"mae": sums.errors[OWN][1] / counts, "persistence": sums.errors["persistence"][1] / counts}
    if sums.intervals is not None:
        coverage, pinball, width = (float(each) for each in sums.intervals.sum(axis=1) / counts.sum())
        scores["coverage"] = {"value": coverage, "asked": levels[-1] - levels[0]}
        scores["pinball"] = {"value": pinball}
        scores["crps"] = {"value": 2 * pinball, "quantiles": len(levels)}
        scores["msis"] = {"value": width / naive_error if naive_error else float("nan")}
        columns["coverage"] = sums.intervals[0] / counts
    rows = zip(*(each.tolist() for each in columns.values()), strict=True)
    errors = {name: each["mae"] for name, each in others}
    return {
        "scores": scores,
        "baselines": errors,
        "meaning": meaning(scores, errors, knows_more=knows_more),
        "by_step": [{"step": step, **dict(zip(columns, row, strict=True))} for step, row in enumerate(rows, start=1)],
    }


def compared(scores: Mapping[str, Any], losses: Mapping[str, Floats], lags: int) -> dict[str, Any] | None:
    """Test of losses (O,) at the same origins, by name, against those of the best baseline; None where it cannot be."""
    best = min(scores["baselines"], key=lambda name: float(scores["baselines"][name]))
    test = diebold_mariano(losses[OWN], losses[best], lags)
    return None if test is None else {"baseline": best, **test._asdict()}


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


def pinball_losses(truth: Floats, quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """(O, H), (Q, O, H) -> pinball losses (O, H), each the mean over levels (Koenker & Bassett 1978)."""
    shares = np.array(levels)[:, None, None]
    above = truth - quantiles
    losses: Floats = np.maximum(shares * above, (shares - 1) * above).mean(axis=0)
    return losses


def interval_scores(truth: Floats, low: Floats, high: Floats, below: float, above: float) -> Floats:
    """Scores (O, H) (Gneiting & Raftery 2007, section 6.2) of intervals between the quantiles of two levels.

    It is the width, and what a truth lies outside by as often as one should: 1 / 0.1 times below a quantile of 0.1.
    """
    outside = np.maximum(low - truth, 0) / below + np.maximum(truth - high, 0) / (1 - above)
    scores: Floats = high - low + outside
    return scores


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
    scores, ahead, examples = found["scores"], result["horizon"], found.get("examples", result["examples"])
    steps = f"{ahead} steps ahead" if ahead > 1 else "one step ahead"
    lines = [f"{result['run']}, {target} on {result['split']}, {examples:,} forecasts, {steps}"]
    lines.append(f"  MAE / MAE of persistence  {number_text(scores['mae']['ratio'], '.3f')}: {found['meaning']}")
    for name, score in scores.items():
        remark = f"  (persistence {number_text(score['persistence'], '.4g')})" if "persistence" in score else ""
        remark = f"  (asked {score['asked']:.2f})" if "asked" in score else remark
        remark = f"  (from {score['quantiles']} quantiles)" if "quantiles" in score else remark
        lines.append(f"  {name:10} {number_text(score['value'], '.4g'):>10}{remark}")
    if "series" in result:
        means = [name for name in scores if name in result["means"]]
        said = f"{' and '.join(means)} {'are means' if len(means) > 1 else 'is the mean'}"
        lines.append(f"  {len(result['series']):,} series: {said} over them, all else of all forecasts together")
    lines.append("  MAE of " + ", ".join(f"{name} {mae:.4g}" for name, mae in found["baselines"].items()))
    if test := found.get("diebold_mariano"):
        of_each = ", of the mean loss of the series at each time" * ("series" in result)
        lines.append(
            f"  Diebold-Mariano against {test['baseline']}{of_each}: {number_text(test['statistic'], '.2f')},"
            f" p {test['p']:.2g}" + ", which is no more than chance gives" * (test["p"] > SIGNIFICANT)
        )
    lines += [f"  {remark}" for remark in found.get("remarks", ())]
    if ahead > 1:
        lines += _table_of(found["by_step"], "step")
    if "by_origin" in found:
        lines += _table_of(found["by_origin"], "time")
    return "\n".join(lines) + "\n"


def _table_of(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Lines of a table of errors, by step or by origin."""
    wide, covered = max(4, *(len(str(row[key])) for row in rows)), "coverage" in rows[0]
    return [f"  {key:>{wide}}        MAE   persistence{'   coverage' * covered}"] + [
        f"  {row[key]:>{wide}} {row['mae']:10.4g} {row['persistence']:13.4g}"
        + (f" {row['coverage']:10.2f}" if covered else "")
        for row in rows
    ]


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
