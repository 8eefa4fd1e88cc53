"""Two systems on the same sentences, compared by paired bootstrap (Koehn 2004)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from s2s.errors import DataError
from s2s.translation.bleu import MOST_SHORT

log = logging.getLogger("s2s")
RESAMPLES = 1000


class PairedResult(NamedTuple):
    """Difference of a second system from a first on the same sentences."""

    p_value: float
    """Probability of so large a difference, in either direction, between systems of equal worth."""
    difference: float
    """Second minus first: points of BLEU, or a share of right answers."""
    low: float
    """Lower end of the 95 % bootstrap interval of the difference."""
    high: float
    """Upper end."""


def paired_bleu(
    first: Sequence[str], second: Sequence[str], references: Sequence[str], *, tokenize: str = "13a", seed: int = 12345
) -> PairedResult:
    """BLEU of two systems compared on the same resamples; DataError for no sentences, or unequal numbers."""
    counts = np.stack([_bleu_counts(hypotheses, references, tokenize) for hypotheses in (first, second)])
    return _paired(counts, _bleu_difference, seed)


def paired_exact_match(first: Sequence[bool], second: Sequence[bool], *, seed: int = 12345) -> PairedResult:
    """Exact match of two systems compared on the same resamples, by which of their answers are right."""
    counts = np.array([first, second], dtype=np.int64)[:, :, None]
    return _paired(counts, lambda sums: float(sums[1, 0] - sums[0, 0]) / len(first), seed)


def p_value(difference: float, resampled: NDArray[np.float64]) -> float:
    """Two-sided p-value of a difference, from its bootstrap resamples shifted to a mean of zero.

    (c + 1) / (n + 1), where c of the n resamples are as far from zero. SacreBLEU 2.6 takes absolute values before the
    mean is subtracted: of equal systems 9 to 12 % then come out at p < 0.05, and none above 0.45.
    """
    beyond = np.abs(resampled - resampled.mean()) >= abs(difference)
    return (int(beyond.sum()) + 1) / (len(resampled) + 1)


def compare(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each translator's result after the first against the first: BLEU, or exact match where BLEU cannot tell.

    Those that were scored on other references are left out with a warning.
    """
    translated = [result for result in results if "references" in result]
    first, comparisons = next(iter(translated), {}), []
    for other in translated[1:]:
        if other["references"] != first["references"] or len(other["right"]) != len(first["right"]):
            log.warning("%s and %s: scored on different pairs, so they are not compared", other["run"], first["run"])
        elif first["data"]["short_references"] > MOST_SHORT:
            exact = paired_exact_match(first["right"], other["right"])
            comparisons.append(_comparison(first, other, "exact_match", exact))
        else:
            hypotheses = first["hypotheses"], other["hypotheses"]
            paired = paired_bleu(*hypotheses, first["references"], tokenize=first["tokenize"])
            comparisons.append(_comparison(first, other, "bleu", paired))
    if len(translated) < len(results) > 1:
        log.warning("only translators are compared; the scores of the others are given for each alone")
    return comparisons


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """One run against another by paired bootstrap, in a line."""
    exact = comparison["metric"] == "exact_match"
    form, name = ("+.2%", "exact match") if exact else ("+.2f", "BLEU")
    difference, low, high = (format(comparison[key], form) for key in ("difference", "low", "high"))
    said = f"{comparison['run']} against {comparison['against']}: {difference} {name} [{low}, {high}]"
    return f"{said}, p = {comparison['p_value']:.4f} (paired bootstrap)\n"


def _comparison(
    first: Mapping[str, Any], other: Mapping[str, Any], metric: str, paired: PairedResult
) -> dict[str, Any]:
    return {"run": other["run"], "against": first["run"], "metric": metric, **paired._asdict()}


def _paired(counts: NDArray[np.int64], difference_of: Callable[[NDArray[np.int64]], float], seed: int) -> PairedResult:
    """Counts of both systems (2, sentences, n), whose sums give a difference."""
    generator, sentences = np.random.default_rng(seed), counts.shape[1]
    differences = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        times = np.bincount(generator.choice(sentences, size=sentences), minlength=sentences)
        differences[i] = difference_of(times @ counts)
    difference = difference_of(counts.sum(1))
    low, high = np.percentile(differences, (2.5, 97.5))
    return PairedResult(p_value(difference, differences), difference, float(low), float(high))


def _bleu_counts(hypotheses: Sequence[str], references: Sequence[str], tokenize: str) -> NDArray[np.int64]:
    """Lengths, n-gram matches and n-grams of each sentence (sentences, 10); those of a corpus are their sum."""
    if not 0 < len(hypotheses) == len(references):
        raise DataError(f"scoring: {len(hypotheses):,} translations, but {len(references):,} references")
    metric = BLEU(tokenize=tokenize, effective_order=True, force=True)  # of one sentence; its counts are the same
    scores = [metric.sentence_score(*pair) for pair in zip(hypotheses, [[r] for r in references], strict=True)]
    return np.array([[each.sys_len, each.ref_len, *each.counts, *each.totals] for each in scores], dtype=np.int64)


def _bleu_difference(counts: NDArray[np.int64]) -> float:
    """BLEU of the second row of counts minus that of the first."""
    first, second = (
        BLEU.compute_bleu(row[2:6], row[6:], row[0], row[1], smooth_method="exp").score for row in counts.tolist()
    )
    return float(second - first)
