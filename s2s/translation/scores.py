"""Scores of translations: BLEU and chrF with signatures and intervals, by source length, and the rates of failures.

The counts, scores, signatures and intervals are sacreBLEU's own (Post 2018), the intervals with its seed: 12345, or
what SACREBLEU_SEED says. BLEU counts n-grams of up to four tokens: of shorter references it cannot tell right from
wrong, and is then left out.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF, CHRFScore

from s2s.errors import DataError
from s2s.text.tokenizer import has_loop
from s2s.translation.answers import Answer, answers, are_symbols, exact_match, phone_error_rate, word_error_rate
from s2s.translation.languages import Choice, choose_tokenizer
from s2s.translation.recipe import TranslationRecipe

if TYPE_CHECKING:
    from s2s.translation.outputs import Translation
    from s2s.translation.translator import Translator

log = logging.getLogger("s2s")

SHORT_TOKENS = 4
"""A reference of fewer tokens has no 4-gram."""
MOST_SHORT = 0.5
"""Largest share of such references with which BLEU may choose weights and compare runs."""
RESAMPLES = 1000
LENGTH_BUCKETS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 50))
"""First and last source length, in tokens, of the rows of by_length; a last row holds longer sentences."""
UNTAGGED, MEAN = "(no tag)", "(mean)"
"""Names of rows of by_tag that are none of a tag."""

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
    that is not blank. copied: the source again, at least two words of it, whatever the case, width
    and spacing, since a rule of normalisation may have changed what was read.
    """
    _check(hypotheses, sources, "sources")
    sources, outputs = (
        [" ".join(normalize("NFKC", line).split()) for line in lines] for lines in (sources, hypotheses)
    )
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


def shared_translations(
    translator: "Translator", sources: Sequence[str], beam: int, tags: Sequence[str | None] | None
) -> "list[Translation]":
    """Translations of some sources; the processes of a training do a share each."""
    from s2s.training.ranks import present  # imports torch, which scores as text do not need

    def translated(lines: Sequence[tuple[str, str | None]]) -> "list[Translation]":
        return translator.translate([line for line, _ in lines], beam=beam, tag=[tag for _, tag in lines])

    return present().shared(translated, list(zip(sources, tags or [None] * len(sources), strict=True)))


def score_pairs(
    translator: "Translator",
    pairs: Sequence[tuple[str, str]],
    recipe: TranslationRecipe,
    *,
    run: str,
    split: str,
    beam: int | None,
    tags: Sequence[str | None] | None = None,
) -> dict[str, Any]:
    """Translate the sources, tagged where `tags` are given, and score the translations against the references."""
    sources, references = zip(*pairs, strict=True)
    width = translator.decoding.beam if beam is None else beam
    translations = shared_translations(translator, sources, width, tags)
    hypotheses = [translation.text for translation in translations]
    lines, lengths = (sources, hypotheses, references), [len(translator.source.encode(source)) for source in sources]
    choice, given = bleu_tokenizer(recipe, references), answers(sources, hypotheses, references, tags)
    if choice.doubt:
        log.warning("%s: %s", run, choice.doubt)
    tokenize = choice.tokenizer
    symbols = are_symbols(references) if recipe.evaluation.symbols is None else recipe.evaluation.symbols
    rights = _rights(given, symbols)
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
        **({"by_tag": by_tag(tags, lines, tokenize=tokenize, symbols=symbols)} if tags and any(tags) else {}),
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
        "outputs": list(map(_output, sources, references, translations, lengths, tags or [None] * len(pairs))),
    }


def _rights(given: Sequence[Answer], symbols: bool) -> dict[str, float]:
    """Share of the sources with a right answer; of strings of symbols the error rates too."""
    rights = {"exact_match": exact_match(given)}
    if symbols:
        rights |= {"word_error_rate": word_error_rate(given), "phone_error_rate": phone_error_rate(given)}
    return rights


def by_tag(
    tags: Sequence[str | None], lines: Sequence[Sequence[str]], *, tokenize: str, symbols: bool
) -> dict[str, dict[str, float | None]]:
    """Scores of the pairs of each tag, and their means over the tags; `lines` are sources, outputs and references."""
    found = dict[str, dict[str, float | None]]()
    for tag in dict.fromkeys(tags):
        chosen = [[line for line, own in zip(side, tags, strict=True) if own == tag] for side in lines]
        _, hypotheses, references = chosen
        scores = {"bleu": quick_bleu(hypotheses, references, tokenize), "chrf": quick_chrf(hypotheses, references)}
        found[tag or UNTAGGED] = {"examples": len(references), **scores, **_rights(answers(*chosen), symbols)}
    names = [name for name in next(iter(found.values())) if name != "examples"]
    columns = {name: [scores[name] for scores in found.values()] for name in names}
    means = {
        name: None if None in values else sum(filter(None, values)) / len(found) for name, values in columns.items()
    }
    return found | ({MEAN: {"examples": len(tags), **means}} if len(found) > 1 else {})


def _output(
    source: str, reference: str, translation: "Translation", source_tokens: int, tag: str | None
) -> dict[str, Any]:
    """What became of one pair, as outputs.jsonl keeps it."""
    return {
        **({"tag": tag} if tag else {}),
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
    for tag, found in result.get("by_tag", {}).items():
        shown = (f"{_name(name)} {_shown(name, value)}" for name, value in found.items() if name != "examples")
        lines.append(f"  {tag}: {found['examples']:,} examples, {', '.join(shown)}")
    lines.append("  source tokens   examples    BLEU   length ratio")
    for row in result["by_length"]:
        counts = f"{row['source_tokens']:>13} {row['examples']:>10,}"
        lines.append(f"  {counts} {_points(row['bleu']):>7} {row['length_ratio']:>14.3f}")
    lines.append("  " + ", ".join(f"{name} {share:.2%}" for name, share in result["rates"].items()))
    return "\n".join(lines) + "\n"


def _name(score: str) -> str:
    return {"bleu": "BLEU", "chrf": "chrF"}.get(score, score.replace("_", " "))


def _shown(score: str, value: float | None) -> str:
    return _points(value) if score in ("bleu", "chrf") else f"{value:.2%}"


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
