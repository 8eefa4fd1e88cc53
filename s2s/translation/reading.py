"""What a translator must know of the text that it learned from, besides its tokenizers. Imports no torch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from s2s.text.documents import Document, plain
from s2s.text.forms import form_of
from s2s.text.placeables import FOR_PROGRAMS, Masked, Protection, protection
from s2s.text.sentences import split_sentences

if TYPE_CHECKING:
    from s2s.translation.data import TranslationData


class Reading(NamedTuple):
    """The languages of a translator, and how its lines are read."""

    source: str = ""
    target: str = ""
    protect: bool | tuple[str, ...] = False
    """data.protect: placeables are masked"""
    forms: tuple[str, ...] = ()
    """those of data.augment"""
    always_tagged: bool = False
    """each source of the training had a tag, so no line is translated without one"""

    @classmethod
    def of(cls, data: "TranslationData") -> "Reading":
        """That of a recipe."""
        return cls(data.source, data.target, data.protect, tuple(data.augment.shares), data.always_tagged)

    @property
    def protection(self) -> Protection:
        """What is masked or, where nothing is, what lines are translated around."""
        return protection(self.protect)

    def masked(self, lines: Sequence[str], protect: bool | None) -> list[Masked | None]:
        """The lines as they are to be read; None for one to be translated around its placeables.

        Where there is nothing but these, nothing is left to translate.
        """
        if protect is False or not (protect or self.protect):
            return [*map(Masked, lines)]
        if self.protect:
            read = (self.protection.masked(line) for line in lines)
            return [each if each and (not each.pieces or any(map(str.isalpha, each.text))) else None for each in read]
        return [None if self.protection.spans(line) else Masked(line) for line in lines]

    def alone(self, line: str) -> Masked:
        """A line as it is read where it cannot be translated around its placeables."""
        return self.masked([line], None)[0] or Masked(line)

    def given(self, source: str, target: str) -> tuple[str, str]:
        """A source as it is translated, and a translation of it as the search would find it."""
        read = self.alone(source)
        return read.text, self.protection.masked_target(read, target) if self.protect else target

    def masked_pair(self, source: str, target: str) -> tuple[str, str]:
        """A pair as it is trained on."""
        return self.protection.masked_pair(source, target) if self.protect else (source, target)

    def around(self, line: str) -> Document:
        """The parts of a line between its placeables."""
        kept = self.protection._replace(masks=False)
        return plain(line, self.source, split=False, target=self.target, kept=kept)

    @property
    def kept(self) -> Protection:
        """What stands between the sentences of documents or, masked, in them."""
        return self.protection if self.protect else FOR_PROGRAMS

    def flags(self, line: str) -> Iterator[str]:
        """What may make a line unlike those that were learned from."""
        if len(split_sentences(line, self.source)) > 1:
            yield "sentences"
        form = form_of(line)
        if form and form not in self.forms:
            yield form
