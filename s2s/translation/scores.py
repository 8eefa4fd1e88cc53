"""Scores of translations: BLEU and chrF with signatures and intervals, by source length, and the rates of failures.

The counts, scores, signatures and intervals are sacreBLEU's own (Post 2018), the intervals with its seed: 12345, or
what SACREBLEU_SEED says. Only the comparison of two systems is not.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF, CHRFScore

from s2s.errors import DataError
from s2s.text.tokenizer import has_loop
from s2s.translation.recipe import TranslationRecipe

CHARACTER_SCORED = frozenset({"ja", "km", "lo", "my", "th"})
"""Languages written without spaces, for which sacreBLEU's own tokenizers need packages that s2s does not."""
RESAMPLES = 1000
LENGTH_BUCKETS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 50))
"""First and last source length, in tokens, of the rows of by_length; a last row holds longer sentences."""

HEADINGS = ("examples", "BLEU (95 % interval)", "chrF")


class Score(NamedTuple):
    """A corpus score from 0 to 100 with its interval and signature."""

    value: float
    low: float
    """Lower end of the 95 % bootstrap interval: the mean of the resamples minus half the interval's width."""
    high: float
    """Mean plus half the width."""
    signature: str
    """SacreBLEU's: scores with unequal signatures are not comparable."""


class PairedResult(NamedTuple):
    """Difference of a second system from a first on the same sentences."""

    p_value: float
    """Probability of so large a difference, in either direction, between systems of equal worth."""
    difference: float
    """Second minus first, in points."""
    low: float
    """Lower end of the 95 % bootstrap interval of the difference."""
    high: float
    """Upper end."""


def tokenization_for(language: str) -> str:
    """SacreBLEU tokenizer for references in a language: zh for Chinese, char where words have no spaces, 13a else.

    Codes are such as ja, ja-JP and zh_Hans. For Japanese, character scores are higher than those over words.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    if code == "zh":
        return "zh"
    return "char" if code in CHARACTER_SCORED else "13a"


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str = "13a") -> Score:
    """Corpus BLEU with one reference each (Papineni et al. 2002); DataError for no sentences, or unequal numbers."""
    return _score(_bleu(tokenize), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus chrF2 with character 6-grams (Popović 2015); as for bleu."""
    return _score(_CHRF(), hypotheses, references)


def quick_bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> float:
    """BLEU alone, for validation during training."""
    _check(hypotheses, references)
    return float(_bleu(tokenize).corpus_score(hypotheses, [references]).score)


def quick_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """ChrF2 alone, for validation during training."""
    _check(hypotheses, references)
    return float(CHRF().corpus_score(hypotheses, [references]).score)


def paired_bootstrap(
    first: Sequence[str], second: Sequence[str], references: Sequence[str], *, tokenize: str = "13a", seed: int = 12345
) -> PairedResult:
    """BLEU of two systems compared on the same resamples (Koehn 2004); DataError as for bleu."""
    counts = np.stack([_counts(hypotheses, references, tokenize) for hypotheses in (first, second)])
    generator, sentences = np.random.default_rng(seed), len(references)
    differences = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        times = np.bincount(generator.choice(sentences, size=sentences), minlength=sentences)
        differences[i] = _difference(times @ counts)
    difference = _difference(counts.sum(1))
    low, high = np.percentile(differences, (2.5, 97.5))
    return PairedResult(p_value(difference, differences), difference, float(low), float(high))


def p_value(difference: float, resampled: NDArray[np.float64]) -> float:
    """Two-sided p-value of a difference, from its bootstrap resamples shifted to a mean of zero.

    (c + 1) / (n + 1), where c of the n resamples are as far from zero. SacreBLEU 2.6 takes absolute values before the
    mean is subtracted: of equal systems 9 to 12 % then come out at p < 0.05, and none above 0.45.
    """
    beyond = np.abs(resampled - resampled.mean()) >= abs(difference)
    return (int(beyond.sum()) + 1) / (len(resampled) + 1)


def by_length(
    hypotheses: Sequence[str], references: Sequence[str], lengths: Sequence[int], *, tokenize: str = "13a"
) -> list[dict[str, str | int | float]]:
    """BLEU and length ratio (output over reference) by source length in tokens, a row for every bucket in use."""
    _check(hypotheses, references)
    metric, rows = _bleu(tokenize), list[dict[str, str | int | float]]()
    longest = LENGTH_BUCKETS[-1][1]
    for low, high in (*LENGTH_BUCKETS, (longest + 1, None)):
        chosen = [i for i, length in enumerate(lengths) if low <= length and (high is None or length <= high)]
        if not chosen:
            continue
        score = metric.corpus_score([hypotheses[i] for i in chosen], [[references[i] for i in chosen]])
        rows.append(
            {
                "source_tokens": f">{longest}" if high is None else str(low) if low == high else f"{low}-{high}",
                "examples": len(chosen),
                "bleu": score.score,
                "length_ratio": score.sys_len / score.ref_len if score.ref_len else 0.0,
            }
        )
    return rows


def rates(
    sources: Sequence[str], hypotheses: Sequence[str], *, split: Callable[[str], Sequence[str]] = str.split
) -> dict[str, float]:
    """Shares of the outputs that fail in a known way: loops, empty, copied.

    loops: `has_loop` of the words that split gives (list for languages without spaces). empty: nothing for a source
    that is not blank. copied: the source again, at least two words of it, whatever the case and spacing.
    """
    _check(hypotheses, sources, "sources")
    sources, outputs = ([" ".join(line.split()) for line in lines] for lines in (sources, hypotheses))
    pairs = list(zip(sources, outputs, strict=True))
    counts = {
        "loops": sum(has_loop(split(output)) for output in outputs),
        "empty": sum(bool(source) and not output for source, output in pairs),
        "copied": sum(" " in output and source.casefold() == output.casefold() for source, output in pairs),
    }
    return {name: count / len(pairs) for name, count in counts.items()}


def compare(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each run after the first against the first, by paired bootstrap (Koehn 2004)."""
    first, comparisons = results[0], []
    for other in results[1:]:
        if "references" in first and "references" in other:
            hypotheses = first["hypotheses"], other["hypotheses"]
            paired = paired_bootstrap(*hypotheses, first["references"], tokenize=first["tokenize"])
            comparisons.append({"run": other["run"], "against": first["run"], "metric": "bleu", **paired._asdict()})
    return comparisons


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one split, with the table by source length and the rates of failures."""
    lines = [f"{result['run']} on {result['split']}, {result['examples']:,} examples, beam {result['beam']}"]
    for name, score in result["scores"].items():
        interval = f" [{score['low']:.2f}, {score['high']:.2f}]" if "low" in score else ""
        lines.append(f"  {name:5} {score['value']:6.2f}{interval}  {score.get('signature', '')}")
    lines.append("  source tokens   examples    BLEU   length ratio")
    for row in result["by_length"]:
        counts = f"{row['source_tokens']:>13} {row['examples']:>10,}"
        lines.append(f"  {counts} {row['bleu']:>7.2f} {row['length_ratio']:>14.3f}")
    lines.append("  " + ", ".join(f"{name} {share:.2%}" for name, share in result["rates"].items()))
    return "\n".join(lines) + "\n"


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """One run against another by paired bootstrap, in a line."""
    runs = f"{comparison['run']} against {comparison['against']}"
    interval = f"[{comparison['low']:+.2f}, {comparison['high']:+.2f}]"
    difference = f"{runs}: {comparison['difference']:+.2f} BLEU {interval}"
    return f"{difference}, p = {comparison['p_value']:.4f} (paired bootstrap)\n"


def row(recipe: TranslationRecipe, result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    bleu, chrf = result["scores"]["bleu"], result["scores"]["chrf"]
    on = f"{result['split']} ({recipe.data.source} to {recipe.data.target}, beam {result['beam']})"
    interval = f"({bleu['low']:.1f} to {bleu['high']:.1f})"
    return [on, f"{result['examples']:,}", f"**{bleu['value']:.1f}** {interval}", f"{chrf['value']:.1f}"]


class _CHRF(CHRF):
    """SacreBLEU's chrF with scores that are all floats.

    A resample without any match scores 0.0 there, every other a NumPy float32: types of which it takes no mean.
    """

    def _compute_score_from_stats(self, stats: list[Any]) -> CHRFScore:
        found = super()._compute_score_from_stats(stats)
        found.score = float(found.score)
        return found


def _bleu(tokenize: str) -> BLEU:
    """SacreBLEU's BLEU; force only silences its remarks on tokenized input."""
    return BLEU(tokenize=tokenize, force=True)


def _check(hypotheses: Sequence[str], references: Sequence[str], name: str = "references") -> None:
    if len(hypotheses) != len(references):
        raise DataError(
            f"scoring: {len(hypotheses):,} translations, but {len(references):,} {name};"
            " give one line to each, blank where there is none"
        )
    if not references:
        raise DataError("scoring: there are 0 sentences, and a score needs at least one")


def _score(metric: BLEU | CHRF, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    _check(hypotheses, references)
    # SacreBLEU holds the counts of all resamples at once, some 80 bytes a sentence of each: here 0.8 GB at most
    resamples = min(RESAMPLES, max(100, 10_000_000 // len(references)))
    score = metric.corpus_score(hypotheses, [references], n_bootstrap=resamples)
    signature = metric.get_signature()
    for key in ("bs", "seed"):  # of the interval: values compare without them
        signature.update(key, None)
    # its public form, which leaves an interval of zeros out
    found = json.loads(score.format(width=12, signature=str(signature), is_json=True))
    mean, margin = found.get("confidence_mean", 0.0), found.get("confidence_var", 0.0)
    return Score(score.score, max(mean - margin, 0.0), min(mean + margin, 100.0), str(signature))


def _counts(hypotheses: Sequence[str], references: Sequence[str], tokenize: str) -> NDArray[np.int64]:
    """Lengths, n-gram matches and n-grams of each sentence (sentences, 10); those of a corpus are their sum."""
    _check(hypotheses, references)
    metric = BLEU(tokenize=tokenize, effective_order=True, force=True)  # of one sentence; its counts are the same
    scores = [metric.sentence_score(*pair) for pair in zip(hypotheses, [[r] for r in references], strict=True)]
    return np.array([[each.sys_len, each.ref_len, *each.counts, *each.totals] for each in scores], dtype=np.int64)


def _difference(counts: NDArray[np.int64]) -> float:
    """BLEU of the second row of counts minus that of the first."""
    first, second = (
        BLEU.compute_bleu(row[2:6], row[6:], row[0], row[1], smooth_method="exp").score for row in counts.tolist()
    )
    return float(second - first)
