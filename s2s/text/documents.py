"""Texts taken apart into sentences to be translated, and put together again with all else as it was."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from html import escape
from typing import Literal, Protocol

from s2s.text.languages import spaces_sentences, uses_spaces
from s2s.text.markup import Part, decoded, parts_of_markup
from s2s.text.placeables import FOR_PROGRAMS, Protection, cover
from s2s.text.sentences import MARKS, split_sentences

_BLANKS = "".join(each for each in map(chr, range(0x3001)) if each.isspace())
_BEHIND_OTHERS = _BLANKS + ",;:.!?…)]}»”’%-、。，；：！？）】」』"
"""What stays as it is where words begin behind a placeable or a tag."""
_BEFORE_OTHERS = _BLANKS + "([{«„“‘¿¡-（【「『"
"""What stays as it is where words end before a placeable or a tag."""
_SPACED_MARKS = str.maketrans({"。": ".", "，": ", ", "、": ", ", "！": "!", "？": "?", "：": ": ", "；": "; "})
"""Marks of Chinese and Japanese as languages with spaces write them."""
_BULLETS = re.compile(r"(?:[-*•‣▪●○·–—>#]{1,9}\s+){1,9}")


class Document(Protocol):
    """A text taken apart into sentences."""

    @property
    def sentences(self) -> Sequence[str]:
        """What is to be translated, in order, none blank: sentences, and parts of them between placeables or tags."""

    def joined(self, translations: Sequence[str]) -> str:
        """The text with translations of its sentences; what is translated by itself comes back letter for letter.

        Raises ValueError for more or fewer of them than sentences.
        """


def plain(
    text: str,
    language: str,
    *,
    split: bool | Literal["nonewlines"] = True,
    target: str = "",
    kept: Protection = FOR_PROGRAMS,
) -> Document:
    """A text without markup, in a language by its code or name.

    `split` is False for a text that is one sentence, and "nonewlines" where lines do not end sentences. With `target`,
    the language of the translations, there are spaces between sentences as it has them. What is `kept` stands between
    sentences, or in them where it will be masked.
    """
    pieces = _Pieces(language, target, kept, read=_on_one_line, written=str)
    pieces.add_text(text, text, split)
    return pieces


def html(text: str, language: str, *, target: str = "", kept: Protection = FOR_PROGRAMS) -> Document:
    """A text with tags of HTML: these, comments, scripts, code and what says translate="no" stay as they are."""
    return marked_up(parts_of_markup(text, xml=False), language, target, kept)


def xml(
    text: str,
    language: str,
    *,
    ignored: Collection[str] = (),
    target: str = "",
    kept: Protection = FOR_PROGRAMS,
    lines: bool = False,
) -> Document:
    """A text with tags of XML: these, elements with an `ignored` name and what says translate="no" stay as they are."""
    return marked_up(parts_of_markup(text, xml=True, ignored=ignored), language, target, kept, lines=lines)


def marked_up(found: Iterable[Part], language: str, target: str, kept: Protection, *, lines: bool = False) -> Document:
    """A text with markup, given in parts; `lines` where line ends end sentences, and stay."""
    read = _on_one_line if lines else lambda sentence: " ".join(sentence.split())
    split: bool | Literal["nonewlines"] = True if lines else "nonewlines"
    pieces = _Pieces(language, target, kept, read=read, written=_escaped)
    parts = [Part("", "block"), *found, Part("", "block")]
    for before, part, after in zip(parts, parts[1:], parts[2:], strict=False):
        if part.kind == "text":
            pieces.add_text(*decoded(part.raw), split, behind=before.kind != "block", before=after.kind != "block")
        elif part.kind == "attribute":
            pieces.add_value(*decoded(part.raw), written=escape)
        elif part.kind == "kept":
            pieces.keep_words(part.raw)
        else:
            pieces.keep(part.raw, ends=part.kind == "block")
    return pieces


def _on_one_line(sentence: str) -> str:
    return " ".join(line.strip() for line in sentence.splitlines() if line.strip())


def _escaped(text: str) -> str:
    return escape(text, quote=False)


class _Pieces:
    """Pieces of a text, of which some are translated."""

    def __init__(
        self,
        language: str,
        target: str,
        kept: Protection,
        *,
        read: Callable[[str], str],
        written: Callable[[str], str],
    ) -> None:
        """`read` gives a sentence as it is translated, `written` a translation as it stands in the text."""
        self.language, self.kept, self.read, self.written = language, kept, read, written
        self.pieces: list[str] = []
        self.places: list[tuple[int, bool, Callable[[str], str]]] = []
        """of each sentence among the pieces, whether it goes on behind a placeable or a tag, and how it is written"""
        self.sentences: list[str] = []
        spaced = spaces_sentences(language), spaces_sentences(target or language)
        self.drops_spaces, self.adds_spaces = spaced == (True, False), spaced == (False, True)
        self.spaces_words = not uses_spaces(language) and uses_spaces(target or language)
        self.after_word = False

    def joined(self, translations: Sequence[str]) -> str:
        if len(translations) != len(self.sentences):
            expected = len(self.sentences)
            raise ValueError(f"translations: must be as many as the sentences, {expected} (given {len(translations)})")
        pieces = self.pieces.copy()
        for (place, goes_on, written), sentence, translation in zip(
            self.places, self.sentences, translations, strict=True
        ):
            if translation != sentence:
                if goes_on and sentence[-1] not in MARKS:  # nor has its translation an end of its own
                    translation = translation.rstrip(MARKS) or translation
                pieces[place] = written(translation)
        return "".join(pieces)

    def keep(self, raw: str, *, ends: bool = True) -> None:
        """Leave something as it is, such as white space or a tag; `ends` unless a word may go on behind it."""
        self.pieces.append(raw)
        self.after_word = self.after_word and not (ends and raw)

    def keep_words(self, raw: str) -> None:
        """Leave something as it is that stands among words."""
        self._begin_word()
        self.pieces.append(raw)
        self.after_word = True

    def keep_marks(self, raw: Sequence[str]) -> None:
        """Leave white space and punctuation as they are, or as the target has them."""
        marks = "".join(raw)
        self.keep(marks.translate(_SPACED_MARKS) if self.adds_spaces else marks)

    def _begin_word(self) -> None:
        if self.spaces_words and self.after_word:
            self.pieces.append(" ")

    def add_value(self, text: str, raw: Sequence[str], *, written: Callable[[str], str]) -> None:
        """Take the value of an attribute apart, which stands apart from the text around its tag."""
        around = self.written, self.after_word
        self.written, self.after_word = written, False
        self.add_text(text, raw, "nonewlines")
        self.written, self.after_word = around

    def add_text(
        self,
        text: str,
        raw: Sequence[str],
        split: bool | Literal["nonewlines"],
        behind: bool = False,
        before: bool = False,
    ) -> None:
        """Take a text apart that stands `behind` a tag within a line, or `before` one.

        `raw` is what stands for each of its characters.
        """
        covered = cover(text, self.kept.spans(text))
        spans = self.kept.cuts(text)
        pieces = split_sentences(covered, self.language, newlines=split is True) if split else [covered]
        start, number = 0, 0
        for piece in pieces:
            words, end = start + len(piece.rstrip()), start + len(piece)
            behind = behind and start == 0
            while number < len(spans) and spans[number][0] < end:
                first, last = spans[number]
                self._add_run(text, raw, start, first, behind, True)
                self.keep_words("".join(raw[first:last]))
                start, behind, number = last, True, number + 1
            self._add_run(text, raw, start, words, behind, before and end == len(text))
            self._add_gap("".join(raw[words:end]), last=end == len(text))
            start = end

    def _add_run(self, text: str, raw: Sequence[str], start: int, end: int, behind: bool, before: bool) -> None:
        """Add what stands between two placeables or ends of a sentence."""
        run = text[start:end]
        if not any(map(str.isalpha, run)):
            self.keep_marks(raw[start:end])
            self.after_word = run[-1:].isalnum() or (self.after_word and not run)
            return
        words = run.lstrip(_BEHIND_OTHERS if behind else _BLANKS)
        bullets = None if behind else _BULLETS.match(words)
        words = words[bullets.end() :] if bullets else words
        first = end - len(words)
        last = first + len(words.rstrip(_BEFORE_OTHERS if before else _BLANKS))
        self.keep_marks(raw[start:first])
        if text[first].isalnum():
            self._begin_word()
        self.places.append((len(self.pieces), before, self.written))
        self.pieces.append("".join(raw[first:last]))
        self.sentences.append(self.read(text[first:last]))
        self.after_word = text[last - 1].isalnum()
        self.keep_marks(raw[last:end])

    def _add_gap(self, gap: str, *, last: bool) -> None:
        """Add the white space between two sentences, or behind the last."""
        if not last:
            gap = "" if self.drops_spaces and gap == " " else " " if self.adds_spaces and not gap else gap
        self.keep(gap)
