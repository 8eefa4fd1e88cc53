"""A file translated: read whole, translated in blocks of sentences, written with all else as it was."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from s2s.documents.endings import Kind
from s2s.documents.kinds import READERS, decoded
from s2s.documents.units import Found, Unfit, Unit, fault, keeping
from s2s.errors import DataError
from s2s.text.documents import Document
from s2s.translation.outputs import Translation
from s2s.translation.reading import Reading

log = logging.getLogger("s2s")
SENTENCES_AT_ONCE = 4096
"""Different sentences that are translated together, to be batched by length."""
Search = Callable[[Sequence[str]], Sequence[Translation]]


class Opened(NamedTuple):
    """A unit with its documents."""

    unit: Unit
    documents: Sequence[Document]


class DocumentTranslation:
    """One file's way through a translator."""

    def __init__(self, data: bytes, name: str, kind: Kind, reading: Reading, overwrite: bool = False) -> None:
        """`name` is what messages call it. Raises DataError, with the place, for what cannot be read."""
        self.name, self.reading = name, reading
        self.translated = 0
        self.flags = Counter[str]()
        """of the sentences"""
        try:
            self.text, self.encoding = decoded(data, kind)
            self.found: Found = READERS[kind](self.text, reading, overwrite)
        except DataError as problem:
            separator = ", " if str(problem).startswith("line") else ": "
            raise DataError(f"{name}{separator}{problem}") from None
        self.left = [*self.found.left]
        """place and reason of each unit that stays untranslated"""

    def write(self, file: BinaryIO, translate: Search) -> None:
        """Write the translated file; the same bytes where nothing is translated."""
        file.writelines(self._pieces(translate))
        if not self.translated:
            file.seek(0)
            file.truncate()
            file.write(self._encoded(self.text))

    def _pieces(self, translate: Search) -> Iterator[bytes]:
        place = 0
        for block in self._blocks():
            every = {sentence: None for each in block for document in each.documents for sentence in document.sentences}
            found = dict(zip(every, translate([*every]) if every else (), strict=True))
            self.flags.update(flag for each in found.values() for flag in each.flags)
            for opened in block:
                written = self._written(opened, found)
                if written is not None:
                    yield self._encoded(self.text[place : opened.unit.start] + written)
                    place = opened.unit.end
        yield self._encoded(self.text[place:])

    def _blocks(self) -> Iterator[list[Opened]]:
        block: list[Opened] = []
        sentences = 0
        for unit in self.found.units:
            block.append(Opened(unit, unit.documents(self.reading)))
            sentences += sum(len(document.sentences) for document in block[-1].documents)
            if sentences >= SENTENCES_AT_ONCE:
                yield block
                block, sentences = [], 0
        yield block

    def _written(self, opened: Opened, found: dict[str, Translation]) -> str | None:
        """What stands in the place of a unit; None where it stays."""
        unit, documents = opened
        if documents and not any(document.sentences for document in documents):
            return None
        texts, kept = [], keeping(self.reading)
        try:
            for document in documents:
                for sentence in document.sentences:
                    if reason := fault(sentence, found[sentence].text, kept):
                        raise Unfit(reason)
                texts.append(document.joined([found[sentence].text for sentence in document.sentences]))
            written = unit.written(texts)
        except Unfit as problem:
            self.left.append((unit.start, str(problem)))
            return None
        self.translated += bool(documents)
        return written

    def _encoded(self, text: str) -> bytes:
        try:
            return self.encoding.encoded(text)
        except DataError as problem:
            raise DataError(f"{self.name}: {problem}") from None

    def report(self) -> Iterator[str]:
        """A line for each unit that stays untranslated, with its place, and one that counts."""
        line, place = 1, 0
        for start, reason in sorted(self.left):
            line, place = line + self.text.count("\n", place, start), start
            yield f"{self.name}, line {line:,}: left untranslated: {reason}"
        count = f"{self.translated:,} unit" + "s" * (self.translated != 1)
        kept, left = f"{self.found.kept:,} had a translation", f"{len(self.left):,} left untranslated"
        yield f"{self.name}: {count} translated, {kept}, {left}"
