"""The translators of a server, by their languages."""

import asyncio
import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from s2s.errors import RunError
from s2s.export.card import card_of
from s2s.files import recorded
from s2s.run import RunFolder, read_run
from s2s.serve.limits import Limits, Refused
from s2s.serve.queue import SearchQueue
from s2s.text.codes import base, canonical, common_words, is_same, scripts_of
from s2s.text.documents import Document, html, plain, xml
from s2s.text.languages import uses_spaces
from s2s.translation.bundle import is_bundle
from s2s.translation.outputs import Translation
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.translator import Translator

if TYPE_CHECKING:
    from s2s.device import Precision

LONG = 5000
"""Characters of a request above which its texts are taken apart beside the event loop."""
LOOKED_AT = 200
"""Characters of a text by which its language is told."""
COMMON, SHORT = 8.0, 6.0
"""Nats that a text gains where all its words are common ones of a language, and loses for a token per character."""

Markup = Literal["text", "html", "xml"]


class Text(NamedTuple):
    """A text, and how it is to be taken apart."""

    text: str
    markup: Markup = "text"
    split: bool | Literal["nonewlines"] = True
    ignored: tuple[str, ...] = ()
    """elements of xml that are not translated"""


class Detected(NamedTuple):
    """A language that a text may be in."""

    language: str
    confidence: float
    """0 to 100"""


class Pair:
    """One direction: a translator, or an ensemble, with its queue."""

    def __init__(self, source: str, target: str, translator: Translator, limits: Limits, card: dict[str, Any]) -> None:
        self.source = canonical(source)
        self.target = canonical(target)
        self.card = {**card, "source": self.source, "target": self.target}
        self.space = " " if uses_spaces(self.target) else ""
        self.translator = translator
        translator.has_warned = True  # its warning shows the text
        self.queue = SearchQueue(self._search, translator.decoding.batch_lines, limits)

    def _search(self, sentences: Sequence[str], nbest: int, attention: bool) -> Sequence[Translation]:
        return self.translator.translate(sentences, nbest=nbest, attention=attention)

    async def translate(self, texts: Sequence[Text], alternatives: int = 0) -> list[list[str]]:
        """Different translations of each text, the best first, at most `alternatives` more."""
        characters = sum(len(each.text) for each in texts)
        parts = await asyncio.to_thread(self._taken_apart, texts) if characters > LONG else self._taken_apart(texts)
        every = [piece for _, sentences in parts for pieces in sentences for piece in pieces]
        found = dict(zip(every, await self.queue.translate(every, alternatives + 1), strict=True))

        def text(document: Document, sentences: list[list[str]], rank: int) -> str:
            return document.joined([self.space.join(_ranked(each, found[each], rank) for each in s) for s in sentences])

        return [[*dict.fromkeys(text(*part, rank) for rank in range(alternatives + 1))] for part in parts]

    async def line(self, line: str, nbest: int, attention: bool) -> Translation | None:
        """One line as `s2s translate` has it; None for one that is too long to be searched at once."""
        if not line.strip():
            return Translation("", 0.0, 0.0)
        if len(self._pieces(line)) > 1:
            return None
        return (await self.queue.translate([line], nbest, attention))[0]

    async def claim(self, line: str) -> float:
        """Nats in favour of the source language: common words, few tokens, and a translation that the model is sure of.

        A model alone is sure of much: one of a phrase book takes whatever it reads for one of its phrases.
        """
        [found] = await self.queue.translate([line])
        sure = found.log_probability / max(len(found.tokens), 1)
        return sure + COMMON * common_words(line, self.source) - SHORT * self._tokens(line) / max(len(line), 1)

    def _taken_apart(self, texts: Sequence[Text]) -> list[tuple[Document, list[list[str]]]]:
        """Each text in sentences, and these in pieces."""
        documents = map(self._document, texts)
        return [(each, [self._pieces(sentence) for sentence in each.sentences]) for each in documents]

    def _document(self, text: Text) -> Document:
        target, kept = self.target, self.translator.reading.kept
        if text.markup == "html":
            return html(text.text, self.source, target=target, kept=kept)
        if text.markup == "xml":
            return xml(text.text, self.source, ignored=text.ignored, target=target, kept=kept)
        return plain(text.text, self.source, split=text.split, target=target, kept=kept)

    def _pieces(self, sentence: str) -> list[str]:
        """The sentence, or parts of it that are no longer than what was learned: those are searched badly and slowly.

        Cut in halves at a blank near the middle, or there, where words have none.
        """
        most = self.translator.learned_tokens
        pending, pieces = [sentence], list[str]()
        while pending:
            piece = pending.pop()
            if most is None or self._is_short(piece, most):
                pieces.append(piece)
                continue
            middle = len(piece) // 2
            cut = max(piece.find(" ", middle, middle + middle // 2), middle)
            pending += [half for half in (piece[cut:].strip(), piece[:cut].strip()) if half]
        return pieces

    def _is_short(self, text: str, most: int) -> bool:
        """Whether a text has at most so many tokens, as it has for certain if all its bytes are few enough."""
        return 4 * len(text) < most or len(text) < 2 or self._tokens(text) <= most

    def _tokens(self, text: str) -> int:
        return len(self.translator.source.encode(text))


def _ranked(source: str, found: Translation, rank: int) -> str:
    """A translation that is not blank: clients take a blank one for an error."""
    text = found.text if rank == 0 else found.nbest[min(rank, len(found.nbest) - 1)].text
    return text if text.strip() else source


class Pairs(tuple[Pair, ...]):
    """All pairs of a server, in the order of their runs."""

    @property
    def sources(self) -> list[str]:
        """Codes of the languages that are translated from, each once."""
        return [*dict.fromkeys(pair.source for pair in self)]

    @property
    def targets(self) -> list[str]:
        """Codes of the languages that are translated to, each once."""
        return [*dict.fromkeys(pair.target for pair in self)]

    def targets_of(self, source: str) -> list[str]:
        """Codes of the languages that a source is translated to."""
        return [pair.target for pair in self if pair.source == source]

    def between(self, source: str | None, target: str, nearest: bool = False) -> list[Pair]:
        """The pairs to a target, from a source or from all; Refused with 400 where there is none.

        With `nearest` also those of other scripts and regions, behind the others.
        """
        found = [pair for pair in self if is_same(pair.target, target) and (not source or is_same(pair.source, source))]
        if nearest:
            codes = base(source or ""), base(target)
            alike = (pair for pair in self if (base(pair.source) if source else "", base(pair.target)) == codes)
            found = [*dict.fromkeys([*found, *alike])]
        if not found:
            asked = (
                f"{source[:40]} to {target[:40]} is not served" if source else f"nothing is translated to {target[:40]}"
            )
            raise Refused(400, f"{asked}; there are: {self}")
        return found

    def __str__(self) -> str:
        return ", ".join(f"{pair.source} → {pair.target}" for pair in self)

    async def detect(self, text: str, among: Sequence["Pair"] | None = None) -> list[Detected]:
        """The languages that a text may be in, the likeliest first: of all sources, or of those of some pairs.

        The script of its letters tells, and of several languages of one script their claims. So it knows no language
        that no model translates from.
        """
        pairs: dict[str, Pair] = {}
        for pair in self if among is None else among:
            pairs.setdefault(pair.source, pair)
        shares = _script_shares(text, list(pairs))
        best = max(shares.values())
        likely = [language for language in shares if shares[language] >= best - 0.1]
        weights = dict.fromkeys(pairs, 0.0)
        if len(likely) == 1 or not best:
            weights |= dict.fromkeys(likely, 1.0)
        else:
            sample = text[:LOOKED_AT].rsplit(" ", 1)[0] if len(text) > LOOKED_AT else text
            claims = await asyncio.gather(*(pairs[language].claim(" ".join(sample.split())) for language in likely))
            weights |= {language: math.exp(nats) for language, nats in zip(likely, claims, strict=True)}
        whole = sum(weights.values()) or 1.0
        sure = 100.0 if len(pairs) == 1 else 100.0 * best
        ranked = sorted(weights, key=lambda language: -weights[language])
        return [Detected(language, round(sure * weights[language] / whole, 1)) for language in ranked]


def _script_shares(text: str, languages: Sequence[str]) -> dict[str, float]:
    """Share of a text's letters that are of each language's scripts; 1 for a language that is not known."""
    letters = Counter(unicodedata.name(letter, "").split(" ")[0] for letter in text[:LOOKED_AT] if letter.isalpha())
    scripts = {language: scripts_of(language) for language in languages}
    return {
        language: sum(letters[script] for script in known) / max(letters.total(), 1) if known else 1.0
        for language, known in scripts.items()
    }


def load_pairs(runs: Sequence[Path], limits: Limits, device: str = "auto", precision: "Precision" = "float32") -> Pairs:
    """The translators of some runs; several of the same languages are an ensemble."""
    groups: dict[tuple[str, str], list[tuple[Path, dict[str, Any]]]] = {}
    for path in runs:
        card = _card(path)
        way = canonical(card["source"]), canonical(card["target"])
        if way[0] == way[1]:
            raise RunError(f"{path}: translates from {card['source']} to itself, which no client can ask for")
        groups.setdefault(way, []).append((path, card))
    pairs = []
    for (source, target), members in groups.items():
        translator = Translator.load(*(path for path, _ in members), device=device, precision=precision)
        if translator.reading.always_tagged:
            raise RunError(
                f"{members[0][0]}: each source of its training had a tag, and a server gives none; train with a part of"
                " data.train that has no tag, or use s2s translate --tag"
            )
        translator.translate(["1"])  # the first search takes longer than others
        pairs.append(Pair(source, target, translator, limits, members[0][1]))
    return Pairs(pairs)


def _card(path: Path) -> dict[str, Any]:
    """The card of a run folder, or the one that its export to a bundle has."""
    run, bundle = RunFolder(path), path / "bundle.json"
    if not is_bundle(path):
        return card_of(run, read_run(run, {"translation": TranslationRecipe}))
    task = recorded(bundle, "task")
    if isinstance(task, str) and task != "translation":
        raise RunError(f"{path}: holds no translator (its task is {task}), and others are not served")
    card = recorded(bundle, "card")
    if not isinstance(card, dict) or not all(isinstance(card.get(side), str) for side in ("source", "target")):
        raise RunError(f"{bundle}: damaged; export the run again")
    return card
