"""Which files are documents, by the endings of their names. Imports nothing that takes time."""

from pathlib import Path
from typing import Literal, get_args

from s2s.errors import DataError

Kind = Literal["po", "xliff", "tmx", "subtitles", "html", "markdown", "paragraphs"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ENDINGS: dict[str, Kind] = {
    ".po": "po",
    ".pot": "po",
    ".xlf": "xliff",
    ".xliff": "xliff",
    ".mxliff": "xliff",
    ".sdlxliff": "xliff",
    ".tmx": "tmx",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
}
SAMPLE_BYTES = 4096


def kind_of(path: Path) -> Kind | None:
    """The kind of a document; None for a file of lines. DataError for one that is packed, or .xml of another kind."""
    ending = path.suffix.lower()
    packed = ENDINGS.get(Path(path.stem).suffix.lower()) if ending in (".gz", ".xz", ".zst", ".bz2", ".zip") else None
    if packed:
        raise DataError(f"{path}: a packed document is not written again; unpack it first")
    if ending != ".xml":
        return ENDINGS.get(ending)
    with path.open("rb") as file:
        beginning = file.read(SAMPLE_BYTES).replace(b"\0", b"")
    for kind in ("xliff", "tmx"):
        if b"<" + kind.encode() in beginning:
            return "xliff" if kind == "xliff" else "tmx"
    raise DataError(f"{path}: is neither XLIFF nor TMX; name its kind with --document, or convert it")
