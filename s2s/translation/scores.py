"""Scores of translations: BLEU and chrF with signatures and intervals, by source length, and the rates of failures.

The counts, scores, signatures and intervals are sacreBLEU's own (Post 2018), the intervals with its seed: 12345, or
what SACREBLEU_SEED says. BLEU counts n-grams of up to four tokens: of shorter references it cannot tell right from
wrong, and is then left out.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF, CHRFScore

from s2s.errors import DataError
from s2s.text.tokenizer import has_loop
from s2s.translation.answers import answers, are_symbols, exact_match, phone_error_rate, word_error_rate
from s2s.translation.languages import Choice, choose_tokenizer
from s2s.translation.recipe import TranslationRecipe

if TYPE_CHECKING:
    from s2s.translation.translator import Translation, Translator

log = logging.getLogger("s2s")

SHORT_TOKENS = 4
"""A reference of fewer tokens has no 4-gram."""
MOST_SHORT = 0.5
"""Largest share of such references with which BLEU may choose weights and compare runs."""
RESAMPLES = 1000
LENGTH_BUCKETS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 50))
"""First and last source length, in tokens, of the rows of by_length; a last row holds longer sentences."""

HEADINGS = ("examples", "BLEU (95 % interval)", "chrF")


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
    _check(hypotheses, references)
    value = _bounded(_bleu(tokenize).corpus_score(hypotheses, [references]).score)
    return value if _tells(value, references, tokenize) else None


def quick_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """ChrF2 alone, for validation during training."""
    _check(hypotheses, references)
    return _bounded(CHRF().corpus_score(hypotheses, [references]).score)


def by_length(
    hypotheses: Sequence[str], references: Sequence[str], lengths: Sequence[int], *, tokenize: str = "13a"
) -> list[dict[str, str | int | float | None]]:
    """BLEU and length ratio (output over reference) by source length in tokens, a row for every bucket in use."""
    _check(hypotheses, references)
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


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """ChrF2 of each sentence."""
    _check(hypotheses, references)
    metric = CHRF()
    return [
        _bounded(metric.sentence_score(*pair).score) for pair in zip(hypotheses, [[r] for r in references], strict=True)
    ]


def failures(
    sources: Sequence[str], hypotheses: Sequence[str], *, split: Callable[[str], Sequence[str]] = str.split
) -> dict[str, list[bool]]:
    """Whether each output fails in a known way: loops, empty, copied.

    loops: `has_loop` of the words that split gives (list for languages without spaces). empty: nothing for a source
    that is not blank. copied: the source again, at least two words of it, whatever the case and spacing.
    """
    _check(hypotheses, sources, "sources")
    sources, outputs = ([" ".join(line.split()) for line in lines] for lines in (sources, hypotheses))
    pairs = list(zip(sources, outputs, strict=True))
    return {
        "loops": [has_loop(split(output)) for output in outputs],
        "empty": [bool(source) and not output for source, output in pairs],
        "copied": [" " in output and source.casefold() == output.casefold() for source, output in pairs],
    }


def rates(
    sources: Sequence[str], hypotheses: Sequence[str], *, split: Callable[[str], Sequence[str]] = str.split
) -> dict[str, float]:
    """Share of the outputs that fail in each of the ways of `failures`."""
    return {name: sum(each) / len(each) for name, each in failures(sources, hypotheses, split=split).items()}


def score_pairs(
    translator: "Translator",
    pairs: Sequence[tuple[str, str]],
    recipe: TranslationRecipe,
    *,
    run: str,
    split: str,
    beam: int | None,
) -> dict[str, Any]:
    """Translate the sources and score the translations against the references."""
    sources, references = zip(*pairs, strict=True)
    width = translator.decoding.beam if beam is None else beam
    translations = translator.translate(sources, beam=width)
    hypotheses = [translation.text for translation in translations]
    lengths = [len(translator.source.encode(source)) for source in sources]
    choice, given = bleu_tokenizer(recipe, references), answers(sources, hypotheses, references)
    if choice.doubt:
        log.warning("%s: %s", run, choice.doubt)
    tokenize = choice.tokenizer
    symbols = are_symbols(references) if recipe.evaluation.symbols is None else recipe.evaluation.symbols
    rights = {"exact_match": exact_match(given)}
    if symbols:
        rights |= {"word_error_rate": word_error_rate(given), "phone_error_rate": phone_error_rate(given)}
    failures = rates(sources, hypotheses, split=list if choice.unspaced else str.split)
    truncated = sum("truncated" in translation.flags for translation in translations)
    return {
        "task": "translation",
        "run": run,
        "split": split,
        "examples": len(pairs),
        "beam": width,
        "scores": {
            "bleu": bleu(hypotheses, references, tokenize=tokenize)._asdict(),
            "chrf": chrf(hypotheses, references)._asdict(),
            **{name: {"value": value} for name, value in rights.items()},
        },
        "by_length": by_length(hypotheses, references, lengths, tokenize=tokenize),
        "rates": {**failures, "truncated": truncated / len(pairs)},
        "data": {
            "short_references": short_share(references, tokenize),
            "several_answers": sum(len(answer.right) > 1 for answer in given),
        },
        "hypotheses": hypotheses,
        "references": list(references),
        "right": [answer.exact for answer in given],
        "tokenize": tokenize,
        "outputs": list(map(_output, sources, references, translations, lengths)),
    }


def _output(source: str, reference: str, translation: "Translation", source_tokens: int) -> dict[str, Any]:
    """What became of one pair, as outputs.jsonl keeps it."""
    return {
        "source": source,
        "reference": reference,
        "text": translation.text,
        "score": round(translation.score, 5),
        "flags": list(translation.flags),
        "source_tokens": source_tokens,
    }


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one split, with the table by source length and the rates of failures."""
    lines = [f"{result['run']} on {result['split']}, {result['examples']:,} examples, beam {result['beam']}"]
    for name, score in result["scores"].items():
        if "signature" not in score:
            lines.append(f"  {name.replace('_', ' '):17} {score['value']:.2%}")
            continue
        interval = "" if score["value"] is None else f" [{score['low']:.2f}, {score['high']:.2f}]"
        lines.append(f"  {name:5} {_points(score['value']):>6}{interval}  {score['signature']}")
    lines += [f"  {remark}" for remark in remarks_on(result.get("data", {}))]
    lines.append("  source tokens   examples    BLEU   length ratio")
    for row in result["by_length"]:
        counts = f"{row['source_tokens']:>13} {row['examples']:>10,}"
        lines.append(f"  {counts} {_points(row['bleu']):>7} {row['length_ratio']:>14.3f}")
    lines.append("  " + ", ".join(f"{name} {share:.2%}" for name, share in result["rates"].items()))
    return "\n".join(lines) + "\n"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def remarks_on(data: Mapping[str, Any]) -> Iterator[str]:
    """What of the scored pairs bears on what their scores say."""
    if (short := data.get("short_references", 0.0)) > MOST_SHORT:
        yield f"{short:.0%} of the references are shorter than {SHORT_TOKENS} tokens, too short for BLEU"
    if count := data.get("blank"):
        yield f"pairs left out since a side is blank: {count:,}"
    if count := data.get("several_answers"):
        yield (
            f"sources with several right answers: {count:,}; BLEU and chrF compare with the line's own reference only"
        )
    if share := data.get("in_training"):
        yield f"{share:.1%} of the sources are sources of data.train too"


def row(recipe: TranslationRecipe, result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    bleu, chrf = result["scores"]["bleu"], result["scores"]["chrf"]
    on = f"{result['split']} ({recipe.data.source} to {recipe.data.target}, beam {result['beam']})"
    told = bleu["value"] is not None
    cell = f"**{bleu['value']:.1f}** ({bleu['low']:.1f} to {bleu['high']:.1f})" if told else "-"
    return [on, f"{result['examples']:,}", cell, f"{chrf['value']:.1f}"]


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


def _check(hypotheses: Sequence[str], references: Sequence[str], name: str = "references") -> None:
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
    return Score(_bounded(score.score), _bounded(mean - margin), _bounded(mean + margin), str(signature))
