"""Scores of translations: BLEU and chrF with signatures and intervals, by source length, and the rates of failures.

The counts, the scores and the signatures are sacreBLEU's own (Post 2018); only the resampling is done here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from s2s.errors import DataError
from s2s.translation.recipe import TranslationRecipe

Metric: TypeAlias = BLEU | CHRF

CHARACTER_SCORED = frozenset({"ja", "km", "lo", "my", "th"})
"""Languages written without spaces, for which sacreBLEU's own tokenizers need packages that s2s does not."""
LENGTH_BUCKETS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 50))
"""First and last source length, in tokens, of the rows of by_length; a last row holds what is longer."""
LONGEST_LOOP = 4
"""Words of the longest unit that is looked for in loops."""

HEADINGS = ("examples", "BLEU (95 % interval)", "chrF")


class Score(NamedTuple):
    """A corpus score from 0 to 100, and what it takes to compare it."""

    value: float
    low: float
    """Lower end of the 95 % bootstrap interval."""
    high: float
    """Upper end."""
    signature: str
    """SacreBLEU's: scores with unequal signatures are not comparable."""


class PairedResult(NamedTuple):
    """How far a second system is from a first on the same sentences."""

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

    Takes codes such as ja, ja-JP and zh_Hans. Of Japanese, character scores are higher than those over words.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    if code == "zh":
        return "zh"
    return "char" if code in CHARACTER_SCORED else "13a"


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    bootstrap: int = 1000,
    seed: int = 12345,
) -> Score:
    """Corpus BLEU with one reference each (Papineni et al. 2002), interval from so many bootstrap resamples.

    Raises DataError when the numbers of sentences differ or are zero.
    """
    return _score(_bleu(tokenize, lowercase), hypotheses, references, bootstrap, seed)


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    lowercase: bool = False,
    bootstrap: int = 1000,
    seed: int = 12345,
) -> Score:
    """Corpus chrF2 with character 6-grams (Popović 2015); as for bleu."""
    return _score(CHRF(lowercase=lowercase), hypotheses, references, bootstrap, seed)


def quick_bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> float:
    """BLEU alone, for validation during training."""
    _check(hypotheses, references)
    return float(_bleu(tokenize).corpus_score(hypotheses, [references]).score)


def quick_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """The value of chrF2 alone, for validation during training."""
    _check(hypotheses, references)
    return float(CHRF().corpus_score(hypotheses, [references]).score)


def paired_bootstrap(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[str],
    *,
    metric: Literal["bleu", "chrf"] = "bleu",
    tokenize: str = "13a",
    lowercase: bool = False,
    bootstrap: int = 1000,
    seed: int = 12345,
) -> PairedResult:
    """Compare two systems on the same resamples (Koehn 2004); the p-value is defined, and drawn, as sacreBLEU does it.

    Except that equal outputs have a p-value of 1.
    Raises DataError when the numbers of sentences differ or are zero.
    """
    measure = _bleu(tokenize, lowercase) if metric == "bleu" else CHRF(lowercase=lowercase)
    counts = []
    for hypotheses in (first, second):
        _check(hypotheses, references)
        counts.append(_counts(measure, hypotheses, references))
    differences = _resampled(measure, counts[1], bootstrap, seed) - _resampled(measure, counts[0], bootstrap, seed)
    difference = _value(measure, counts[1].sum(0)) - _value(measure, counts[0].sum(0))
    sizes = np.abs(differences)
    beyond = int(np.sum(sizes - sizes.mean() >= abs(difference)))
    low, high = np.percentile(differences, (2.5, 97.5))
    return PairedResult((beyond + 1) / (bootstrap + 1), difference, float(low), float(high))


def by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    lengths: Sequence[int] | None = None,
    tokenize: str = "13a",
) -> list[dict[str, str | int | float]]:
    """BLEU and length ratio (output over reference) by source length, a row for every bucket that has examples.

    Lengths are in tokens; without them words split at spaces are counted, which says little of Japanese or Chinese.
    """
    _check(hypotheses, references)
    _check(sources, references)
    if lengths is None:
        lengths = [len(source.split()) for source in sources]
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
    pairs = [
        (" ".join(source.split()), " ".join(output.split())) for source, output in zip(sources, hypotheses, strict=True)
    ]
    return {
        "loops": sum(has_loop(split(output)) for _, output in pairs) / len(pairs),
        "empty": sum(bool(source) and not output for source, output in pairs) / len(pairs),
        "copied": sum(" " in output and source.casefold() == output.casefold() for source, output in pairs)
        / len(pairs),
    }


def compare(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each run after the first against the first, by paired bootstrap (Koehn 2004)."""
    first = results[0]
    comparisons: list[dict[str, Any]] = []
    for other in results[1:]:
        if "references" not in first or "references" not in other:
            continue
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
    p_value = f"p = {comparison['p_value']:.4f} (paired bootstrap)"
    return f"{runs}: {comparison['difference']:+.2f} BLEU {interval}, {p_value}\n"


def row(recipe: TranslationRecipe, result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    bleu, chrf = result["scores"]["bleu"], result["scores"]["chrf"]
    on = f"{result['split']} ({recipe.data.source} to {recipe.data.target}, beam {result['beam']})"
    interval = f"({bleu['low']:.1f} to {bleu['high']:.1f})"
    return [on, f"{result['examples']:,}", f"**{bleu['value']:.1f}** {interval}", f"{chrf['value']:.1f}"]


def has_loop(words: Sequence[str]) -> bool:
    """Whether some 1 to 4 words stand at least three times in a row; "very very" is no loop."""
    for size in range(1, LONGEST_LOOP + 1):
        run = 0
        for index in range(size, len(words)):
            run = run + 1 if words[index] == words[index - size] else 0
            if run >= 2 * size:
                return True
    return False


def _bleu(tokenize: str, lowercase: bool = False) -> BLEU:
    """SacreBLEU's BLEU; force only silences its remarks on tokenised input."""
    return BLEU(tokenize=tokenize, lowercase=lowercase, force=True)


def _check(hypotheses: Sequence[str], references: Sequence[str], name: str = "references") -> None:
    if len(hypotheses) != len(references):
        raise DataError(
            f"scoring: {len(hypotheses):,} translations, but {len(references):,} {name};"
            " give one line to each, blank where there is none"
        )
    if not references:
        raise DataError("scoring: there are 0 sentences, and a score needs at least one")


def _counts(metric: Metric, hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """Sufficient statistics: matches, n-grams and lengths of each sentence, one row each; a corpus is their sum."""
    return np.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.int64)


def _value(metric: Metric, counts: NDArray[np.int64]) -> float:
    return float(metric._compute_score_from_stats(counts.tolist()).score)


def _resampled(metric: Metric, counts: NDArray[np.int64], bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Scores of corpora drawn with replacement; the same seed and number of sentences draw the same sentences."""
    generator, sentences = np.random.default_rng(seed), len(counts)
    scores = np.empty(bootstrap)
    for i in range(bootstrap):
        times = np.bincount(generator.choice(sentences, size=sentences), minlength=sentences)
        scores[i] = _value(metric, times @ counts)
    return scores


def _score(metric: Metric, hypotheses: Sequence[str], references: Sequence[str], bootstrap: int, seed: int) -> Score:
    _check(hypotheses, references)
    value = metric.corpus_score(hypotheses, [references]).score
    signature = str(metric.get_signature())
    if not bootstrap:
        return Score(value, value, value, signature)
    scores = _resampled(metric, _counts(metric, hypotheses, references), bootstrap, seed)
    low, high = np.percentile(scores, (2.5, 97.5))
    return Score(value, float(low), float(high), signature)
