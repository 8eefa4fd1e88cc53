"""Documents translated by a translator that shouts, or does what a test says."""

import io
from collections.abc import Callable
from typing import NamedTuple

from s2s.documents.endings import Kind
from s2s.documents.translate import DocumentTranslation
from s2s.translation.outputs import Translation
from s2s.translation.reading import Reading


class Outcome(NamedTuple):
    text: str
    translated: int
    kept: int
    left: list[str]
    """reasons"""


def outcome(
    text: str | bytes,
    kind: Kind,
    by: Callable[[str], str] = str.upper,
    languages: tuple[str, str] = ("en", "de"),
    overwrite: bool = False,
    reading: Reading | None = None,
) -> Outcome:
    data = text if isinstance(text, bytes) else text.encode()
    work = DocumentTranslation(data, "file", kind, reading or Reading(*languages), overwrite)
    file = io.BytesIO()
    work.write(file, lambda sentences: [Translation(by(sentence), 0.0, 0.0) for sentence in sentences])
    reasons = [reason for _, reason in work.left]
    return Outcome(file.getvalue().decode(work.encoding.name), work.translated, work.found.kept, reasons)


def changed(before: str, after: str) -> list[str]:
    """Lines of a text that another one has not, in order."""
    known = before.split("\n")
    return [line for line in after.split("\n") if line not in known]
