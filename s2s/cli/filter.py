"""Lines in, lines out: the input and output of `s2s translate`."""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar

from s2s.errors import DataError, S2SError
from s2s.files import writing
from s2s.text.conventions import SAMPLE_BYTES, require_text
from s2s.text.lines import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from s2s.translation.outputs import Translation
    from s2s.translation.translator import Translator

Item = TypeVar("Item")
LINES_AT_ONCE = 2048
"""Lines in a block, to be batched by length; fewer when no more are waiting."""
CHUNK_BYTES = 1 << 20
"""Bytes read at once, which bound the memory that a long input takes."""


def in_blocks(lines: Iterable[Item], most: int = LINES_AT_ONCE) -> Iterator[list[Item]]:
    """Lines, or pairs, in lists of up to `most`; those before a damaged line are given before its error."""
    block: list[Item] = []
    try:
        for line in lines:
            block.append(line)
            if len(block) == most:
                yield block
                block = []
    except DataError:
        if block:
            yield block
        raise
    if block:
        yield block


def arriving(stream: IO[bytes]) -> Iterator[list[str]]:
    r"""The lines of a stream in blocks, as they come: all that are waiting, without waiting for more.

    Only `\n` and `\r\n` end a line; a byte-order mark is dropped, and a last line without an end counts.
    Raises DataError for a line that is not UTF-8, after the lines before it.
    """
    unfinished, number = bytearray(), 0
    source = getattr(stream, "raw", stream)  # a buffered reader says b"" where there is nothing yet, as at the end
    while data := source.read(CHUNK_BYTES):
        if not (number or unfinished):
            require_text(data[:SAMPLE_BYTES], "standard input")
        unfinished += data
        if b"\n" in data:
            *whole, unfinished = unfinished.split(b"\n")
            yield from in_blocks(_decoded([line.removesuffix(b"\r") for line in whole], number))
            number += len(whole)
    if data is None:
        raise BlockingIOError(errno.EAGAIN, "the standard input does not wait for its data (it is non-blocking)")
    if unfinished and not (number == 0 and unfinished == BYTE_ORDER_MARK):
        yield from in_blocks(_decoded([unfinished], number))


@contextmanager
def opened(path: Path | None, standard_output: TextIO | None) -> Iterator[TextIO]:
    """The stream of results: the standard output, by whatever name, or a file that is whole or absent.

    Raises S2SError where the standard output is asked for and closed.
    """
    if path is None and standard_output is None:
        raise S2SError("the standard output is closed; give --output FILE")
    if standard_output is not None and (path is None or is_same(path, standard_output)):
        standard_output.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[attr-defined]
        yield standard_output
    elif path is not None:
        with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file


def is_same(path: Path, stream: TextIO) -> bool:
    """Whether a path is the file of a stream, as /dev/stdout may be: it must not be replaced meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except (OSError, ValueError):  # there is no such file, or the stream is none of the system's
        return False


class Line(NamedTuple):
    """What became of one line."""

    whole: "Translation"
    sentences: list[tuple[str, "Translation"]] | None = None
    """those of a line that was split, each with its source"""

    def rendered(self, *, jsonl: bool, nbest: int, tokens: bool) -> Iterator[str]:
        """Output of the line: one line, or, as text with `nbest` above 1, so many with their scores."""
        if jsonl:
            row = _row(self.whole, tokens)
            if self.sentences is not None:
                row["sentences"] = [{"source": source, **_row(each, tokens)} for source, each in self.sentences]
            yield json.dumps(row, ensure_ascii=False)
        elif nbest == 1:
            yield self.whole.text
        else:
            lines = [f"{each.score:.4f}\t{each.text}" for each in self.whole.nbest]
            yield from lines + [""] * (nbest - len(lines))


def by_sentence(translator: "Translator", lines: Sequence[str], **options: Any) -> Iterator[Line]:
    """Lines whose sentences are translated one by one."""
    from s2s.text.documents import plain
    from s2s.translation.outputs import united

    reading = translator.reading
    documents = [plain(line, reading.source, target=reading.target, kept=reading.kept) for line in lines]
    sentences = [sentence for document in documents for sentence in document.sentences]
    found = iter(translator.translate(sentences, **options))
    for document in documents:
        own = [(sentence, next(found)) for sentence in document.sentences]
        yield Line(united(document, [each for _, each in own]), own)


def _row(found: "Translation", tokens: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": found.text,
        "score": found.score,
        "log_probability": found.log_probability,
        "flags": list(found.flags),
        "unknown": list(found.unknown),
        "invented": list(found.invented),
        "nbest": [each._asdict() for each in found.nbest],
    }
    if tokens:
        row["tokens"] = list(found.tokens)
        row["token_log_probabilities"] = list(found.log_probabilities)
        row["source_tokens"] = list(found.source_tokens)
        row["attention"] = None if found.attention is None else found.attention.astype(float).round(4).tolist()
    return row


def _decoded(lines: Sequence[bytearray], before: int) -> Iterator[str]:
    """Text of raw lines, `before` lines into the stream."""
    for number, line in enumerate(lines, start=before + 1):
        raw = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise DataError(
                f"standard input, line {number:,}: byte 0x{raw[problem.start]:02x} is not UTF-8; convert the text"
                " (from Latin-1: iconv -f latin1 -t utf-8)"
            ) from None
