"""BLEU and chrF with signatures and intervals.

The counts, scores, signatures and intervals are sacreBLEU's own (Post 2018), the intervals with its seed: 12345, or
what SACREBLEU_SEED says. BLEU counts n-grams of up to four tokens: of shorter references it cannot tell right from
wrong, and is then left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from s2s.translation.recipe import TranslationRecipe

if TYPE_CHECKING:
    pass

import json
from typing import TYPE_CHECKING, NamedTuple

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF, CHRFScore

from s2s.errors import DataError
from s2s.translation.languages import Choice, choose_tokenizer

SHORT_TOKENS = 4
"""A reference of fewer tokens has no 4-gram."""
MOST_SHORT = 0.5
"""Largest share of such references with which BLEU may choose weights and compare runs."""
RESAMPLES = 1000
LENGTH_BUCKETS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 50))
"""First and last source length, in tokens, of the rows of by_length; a last row holds longer sentences."""


class Score(NamedTuple):
    """A corpus score from 0 to 100 with its interval and signature; None where it cannot tell right from wrong."""

    value: float | None
    low: float | None
    """Lower end of the 95 % bootstrap interval: the mean of the resamples minus half the interval's width."""
    high: float | None
    """Mean plus half the width."""
    signature: str
    """SacreBLEU's: scores with unequal signatures are not comparable."""


def bleu_tokenizer(recipe: TranslationRecipe, references: Sequence[str]) -> Choice:
    """The tokenizer of BLEU for some references of a recipe."""
    return choose_tokenizer(recipe.data.target, references, recipe.evaluation.bleu_tokenizer)


def short_share(references: Sequence[str], tokenize: str) -> float:
    """Share of the references that are shorter than four tokens, of which BLEU says little or nothing."""
    split = _bleu(tokenize).tokenizer
    return sum(len(split(line.rstrip()).split()) < SHORT_TOKENS for line in references) / max(len(references), 1)


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str = "13a") -> Score:
    """Corpus BLEU with one reference each (Papineni et al. 2002); DataError for no sentences, or unequal numbers."""
    score = _score(_bleu(tokenize), hypotheses, references)
    if _tells(score.value or 0.0, references, tokenize):
        return score
    return Score(None, None, None, score.signature)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus chrF2 with character 6-grams (Popović 2015); as for bleu."""
    return _score(_CHRF(), hypotheses, references)


def quick_bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> float | None:
    """BLEU alone, for validation during training; None where it cannot tell right from wrong."""
    check_lines(hypotheses, references)
    value = _bounded(_bleu(tokenize).corpus_score(hypotheses, [references]).score)
    return value if _tells(value, references, tokenize) else None


def quick_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """ChrF2 alone, for validation during training."""
    check_lines(hypotheses, references)
    return _bounded(CHRF().corpus_score(hypotheses, [references]).score)


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """ChrF2 of each sentence."""
    check_lines(hypotheses, references)
    metric = CHRF()
    return [
        _bounded(metric.sentence_score(*pair).score) for pair in zip(hypotheses, [[r] for r in references], strict=True)
    ]


def by_length(
    hypotheses: Sequence[str], references: Sequence[str], lengths: Sequence[int], *, tokenize: str = "13a"
) -> list[dict[str, str | int | float | None]]:
    """BLEU and length ratio (output over reference) by source length in tokens, a row for every bucket in use."""
    check_lines(hypotheses, references)
    metric, rows = _bleu(tokenize), list[dict[str, str | int | float | None]]()
    names = [bucket_of(length) for length in lengths]
    for name in dict.fromkeys(map(bucket_of, sorted(lengths))):
        chosen = [i for i, each in enumerate(names) if each == name]
        right = [references[i] for i in chosen]
        score = metric.corpus_score([hypotheses[i] for i in chosen], [right])
        rows.append(
            {
                "source_tokens": name,
                "examples": len(chosen),
                "bleu": score.score if _tells(score.score, right, tokenize) else None,
                "length_ratio": score.sys_len / score.ref_len if score.ref_len else 0.0,
            }
        )
    return rows


def bucket_of(length: int) -> str:
    """Row of by_length that a source of so many tokens counts in."""
    for low, high in LENGTH_BUCKETS:
        if low <= length <= high:
            return str(low) if low == high else f"{low}-{high}"
    return f">{LENGTH_BUCKETS[-1][1]}"


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


def _tells(value: float, references: Sequence[str], tokenize: str) -> bool:
    """Whether a BLEU tells right from wrong: without any 4-gram it is 0 even for outputs that equal the references."""
    short = short_share(references, tokenize)
    return short <= MOST_SHORT or (short < 1.0 and value > 0.0)


def check_lines(hypotheses: Sequence[str], references: Sequence[str], name: str = "references") -> None:
    """DataError for no lines, and for numbers of lines that differ."""
    if len(hypotheses) != len(references):
        raise DataError(
            f"scoring: {len(hypotheses):,} translations, but {len(references):,} {name};"
            " give one line to each, blank where there is none"
        )
    if not references:
        raise DataError("scoring: there are 0 sentences, and a score needs at least one")


def _bounded(value: float) -> float:
    """A score from 0 to 100: that of equal texts is 100.00000000000004 otherwise, by rounding."""
    return min(max(float(value), 0.0), 100.0)


def _score(metric: BLEU | CHRF, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    check_lines(hypotheses, references)
    # SacreBLEU holds the counts of all resamples at once, some 80 bytes a sentence of each: here 0.8 GB at most
    resamples = min(RESAMPLES, max(100, 10_000_000 // len(references)))
    score = metric.corpus_score(hypotheses, [references], n_bootstrap=resamples)
    signature = metric.get_signature()
    for key in ("bs", "seed"):  # of the interval: values compare without them
        signature.update(key, None)
    # its public form, which leaves an interval of zeros out
    found = json.loads(score.format(width=12, signature=str(signature), is_json=True))
    mean, margin = found.get("confidence_mean", 0.0), found.get("confidence_var", 0.0)
    return Score(_bounded(score.score), _bounded(mean - margin), _bounded(mean + margin), str(signature))
