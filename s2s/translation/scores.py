"""Scores of translations: of all of them, by source length and tag, and the rates of failures."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from s2s.text.tokenizer import has_loop
from s2s.translation.answers import Answer, answers, are_symbols, exact_match, phone_error_rate, word_error_rate
from s2s.translation.bleu import (
    MOST_SHORT,
    SHORT_TOKENS,
    bleu,
    bleu_tokenizer,
    by_length,
    check_lines,
    chrf,
    quick_bleu,
    quick_chrf,
    short_share,
)
from s2s.translation.recipe import TranslationRecipe

if TYPE_CHECKING:
    from s2s.translation.outputs import Translation
    from s2s.translation.translator import Translator

log = logging.getLogger("s2s")
UNTAGGED, MEAN = "(no tag)", "(mean)"
"""Names of rows of by_tag that are none of a tag."""

HEADINGS = ("examples", "BLEU (95 % interval)", "chrF", "word error rate")


def failures(
    sources: Sequence[str], hypotheses: Sequence[str], *, split: Callable[[str], Sequence[str]] = str.split
) -> dict[str, list[bool]]:
    """Whether each output fails in a known way: loops, empty, copied.

    loops: `has_loop` of the words that split gives (list for languages without spaces). empty: nothing for a source
    that is not blank. copied: the source again, at least two words of it, whatever the case, width
    and spacing, since a rule of normalisation may have changed what was read.
    """
    check_lines(hypotheses, sources, "sources")
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
    wrong = result["scores"].get("word_error_rate")
    return [on, f"{result['examples']:,}", cell, f"{chrf['value']:.1f}", f"{wrong['value']:.1%}" if wrong else ""]
