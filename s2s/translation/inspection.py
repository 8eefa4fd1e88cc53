"""What is told of training pairs before the first step, and the tokenizers that they are read with."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from s2s.corpus.sources import sizes
from s2s.run import RunFolder
from s2s.text.conventions import marks_of_others
from s2s.text.normalization import changes_of, normalizer
from s2s.text.special import MASKS, TAG
from s2s.text.spelling import spelled_badly
from s2s.text.tokenizer import (
    Tokenizer,
    inspect,
    listed,
    load_tokenizers,
    save_tokenizers,
    train_tokenizers,
    warnings_of,
)
from s2s.translation.bleu import MOST_SHORT, bleu_tokenizer, short_share
from s2s.translation.encoded import reason_to_drop
from s2s.translation.formed import with_forms
from s2s.translation.pairs import Pairs, has_words, warn_of_learned
from s2s.translation.recipe import TranslationRecipe

log = logging.getLogger("s2s")
MANY_DROPPED = 0.1
"""Share of the training pairs left out for one reason that is a warning."""
REMEDIES = {"longer than": "raise data.max_tokens", "length ratio": "raise data.max_length_ratio"}
"""What keeps pairs that were left out, by the beginning of the reason."""
FEW_PAIRS = 100
"""Fewer validation pairs than these choose weights by luck."""
INSPECTED_PAIRS = 10_000
"""Training pairs whose unknown rate and round trip are checked."""
KEYS = ("tokenizer.source_normalization", "tokenizer.target_normalization")
"""Of what changes each side."""


def check(recipe: TranslationRecipe, splits: Mapping[str, Pairs]) -> Iterator[str]:
    """Number of pairs of each split with words on both sides; those that training leaves out, as far as is known."""
    data, train = recipe.data, splits["train"]
    yield from sizes(splits, "pairs", has_words)
    warn_of_learned(splits)
    rules = recipe.tokenizer.rules
    for side, name in enumerate((data.source, data.target)):
        title = f"{train.description} ({name})"
        lines = [pair[side] for pair in islice(train.read(), INSPECTED_PAIRS)]
        normalized = zip(lines, map(normalizer(rules[side]), lines), strict=True)
        for warning in changes_of(normalized, title, KEYS[side], rules[side]) + marks_of_others(lines, title):
            log.warning(warning)
    settings = recipe.tokenizer.sides
    if any(side.kind == "subword" for side in settings):
        yield "data.max_tokens, data.max_length_ratio: what they leave out is counted in training, in learned subwords"
        return
    units = [listed(side)([], normalization=rule).split for side, rule in zip(settings, rules, strict=True)]
    reason = partial(reason_to_drop, max_tokens=data.max_tokens, max_length_ratio=data.max_length_ratio)
    lengths = ([len(split(line)) for split, line in zip(units, pair, strict=True)] for pair in train.read())
    reasons = Counter(reason(*each) for each in lengths)
    kept = reasons.pop(None, 0)
    report_dropped(train.description, kept, {why: count for why, count in reasons.items() if why})


def unlike_start(
    recipe: TranslationRecipe, splits: Mapping[str, Pairs], start: RunFolder, own: Mapping[str, Pairs]
) -> Iterator[str]:
    """What the vocabulary of the run at the start of a training spells badly, in sentences."""
    found = [list(islice(each["train"].read(), INSPECTED_PAIRS)) if each else [] for each in (splits, own)]
    names = (recipe.data.source, recipe.data.target)
    for side, (tokenizer, name) in enumerate(zip(load_tokenizers(start.path), names, strict=True)):
        lines, before = ([pair[side] for pair in pairs] for pairs in found)
        yield from spelled_badly(tokenizer, lines, before, f"{splits['train'].description} ({name})", str(start))


def report_dropped(name: str, kept: int, dropped: Mapping[str, int]) -> None:
    """Say how many pairs were left out, by reason, and how to keep them where they are many."""
    total = kept + sum(dropped.values())
    for reason, count in dropped.items():
        share = count / total
        remedy = next((key for start, key in REMEDIES.items() if reason.startswith(start)), "check the files")
        many = f" ({share:.1%} of {total:,}); {remedy}" if share > MANY_DROPPED else ""
        log.log(logging.WARNING if many else logging.INFO, f"{name}: {count:,} pairs dropped, {reason}{many}")


def warn_of_text(recipe: TranslationRecipe, train: Pairs, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    names = (recipe.data.source, recipe.data.target)
    for part in train.parts or (train,):
        for side, (tokenizer, name) in enumerate(zip(tokenizers, names, strict=True)):
            lines = [pair[side] for pair in islice(part.read(), INSPECTED_PAIRS)]
            report, title = inspect(tokenizer, lines), f"{part.description} ({name})"
            warnings = [] if recipe.training.start else warnings_of(report, title)  # else `unlike_start` has told
            warnings += changes_of(report.returned, title, KEYS[side], tokenizer.normalization)
            for warning in warnings + marks_of_others(lines, title):
                log.warning(warning)


def tokenizers_of(recipe: TranslationRecipe, train: Pairs, run: RunFolder) -> tuple[Tokenizer, Tokenizer]:
    """The run's tokenizers; until it has a checkpoint those of its start, or new ones of the training pairs."""
    before = run.begun_from(recipe.training.start)
    if before is run:
        return load_tokenizers(run.path)
    tags, masks = [TAG + tag for tag in recipe.data.tags], MASKS if recipe.data.protect else ()
    settings, other = recipe.tokenizer.sides
    if before:
        found = load_tokenizers(before.path)
    else:
        text, symbols = with_forms(train, recipe.data.augment.shares).read, ((*tags, *masks), masks)
        found = train_tokenizers(settings, settings.joint, text, settings.rules, symbols, other)
    save_tokenizers(*found, run.path)
    return found


def with_metric_that_tells(recipe: TranslationRecipe, references: Sequence[str]) -> TranslationRecipe:
    """The recipe, with chrF in the place of BLEU where most validation references are too short for it."""
    if len(references) < FEW_PAIRS:
        log.info(
            "data.validation: only %d pairs; the best weights are chosen on them, by luck where scores are close",
            len(references),
        )
    choice = bleu_tokenizer(recipe, references)
    if choice.doubt:
        log.warning("%s", choice.doubt)
    short = short_share(references, choice.tokenizer)
    if recipe.training.metric != "bleu" or short <= MOST_SHORT:
        return recipe
    log.warning(
        "data.validation: %.0f%% of the references are shorter than four tokens, too short for BLEU; best"
        " weights, patience and plateau follow chrf, and nats_per_token where that is equal",
        100 * short,
    )
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"metric": "chrf"})})
