"""Tokenizers: how a line of text becomes token ids, and how token ids become a line again.

Three kinds share one protocol: SentencePiece subwords, words split at white space, and characters. The ids 0 to 3
mean the same in all of them: padding, unknown, start and end of a sequence; only a closed list has none of these.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from s2s.errors import RunError
from s2s.files import write_bytes
from s2s.recipe.sections import Tokenizer as Settings
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.text.subword import SubwordTokenizer
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer, PunctuationTokenizer, WordTokenizer, read_entries

__all__ = [
    "END",
    "PAD",
    "START",
    "UNKNOWN",
    "CharacterTokenizer",
    "ListTokenizer",
    "PunctuationTokenizer",
    "SubwordTokenizer",
    "TextReport",
    "Tokenizer",
    "WordTokenizer",
    "inspect",
    "load_tokenizers",
    "save_tokenizers",
    "train_tokenizer",
    "train_tokenizers",
    "warnings_of",
]


class Tokenizer(Protocol):
    """What s2s asks of a tokenizer; special ids are never added by `encode` and never shown by `decode`."""

    @property
    def vocabulary_size(self) -> int:
        """V: one more than the highest token id."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `serialize()`, in hexadecimal."""
        ...

    def encode(self, line: str) -> list[int]:
        """Token ids of a line; what the vocabulary lacks becomes UNKNOWN."""
        ...

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """Token ids with drawn segmentations, the same for the same arguments; `encode` where there is one only."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The line of some token ids; PAD, START and END are left out, UNKNOWN is shown as two question marks."""
        ...

    def token(self, token: int) -> str:
        """A label for one token id, for plots and JSON."""
        ...

    def normalize(self, line: str) -> str:
        """What `decode(encode(line))` gives when nothing of the line is unknown."""
        ...

    def serialize(self) -> bytes:
        """The content of the tokenizer's file."""
        ...


def train_tokenizer(settings: Settings, lines: Iterable[str]) -> Tokenizer:
    """Learns the tokenizer that a recipe asks for.

    DataError when there is no text, RecipeError when the values do not fit it.
    """
    if settings.kind == "subword":
        return SubwordTokenizer.train(
            lines,
            model=settings.model,
            vocabulary_size=settings.vocabulary_size,
            byte_fallback=settings.byte_fallback,
        )
    return listed(settings).train(lines, vocabulary_size=settings.vocabulary_size, minimum_count=settings.minimum_count)


def listed(settings: Settings) -> type[ListTokenizer]:
    """The kind of tokenizer that words or characters ask for."""
    if settings.kind == "characters":
        return CharacterTokenizer
    return PunctuationTokenizer if settings.punctuation else WordTokenizer


def train_tokenizers(
    settings: Settings, joint: bool, pairs: Callable[[], Iterator[tuple[str, str]]]
) -> tuple[Tokenizer, Tokenizer]:
    """Learns the tokenizers of source and target; `joint` gives one for both, the same object twice.

    `pairs` is called once when joint, else once for each side.
    """
    if joint:
        both = train_tokenizer(settings, (line for pair in pairs() for line in pair))
        return both, both
    source = train_tokenizer(settings, (source for source, _ in pairs()))
    return source, train_tokenizer(settings, (target for _, target in pairs()))


_SUFFIXES = (".model", ".json")


def save_tokenizers(source: Tokenizer, target: Tokenizer, folder: Path) -> None:
    """Writes `tokenizer.*` when both are one object, else `tokenizer.source.*` and `tokenizer.target.*`.

    Files of tokenizers that were there before are replaced or removed. RunError when the folder cannot be written.
    """
    named = {"tokenizer": source} if source is target else {"tokenizer.source": source, "tokenizer.target": target}
    contents = {name + _suffix(tokenizer): tokenizer.serialize() for name, tokenizer in named.items()}
    for name, content in contents.items():
        write_bytes(folder / name, content)
    for stem in ("tokenizer", "tokenizer.source", "tokenizer.target"):
        for suffix in _SUFFIXES:
            if stem + suffix not in contents:
                (folder / (stem + suffix)).unlink(missing_ok=True)


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """Reads the tokenizers of source and target; RunError names a file that is missing or damaged."""
    if not any((folder / f"tokenizer.source{suffix}").exists() for suffix in _SUFFIXES):
        both = _load(folder, "tokenizer")
        return both, both
    return _load(folder, "tokenizer.source"), _load(folder, "tokenizer.target")


def _suffix(tokenizer: Tokenizer) -> str:
    return ".model" if isinstance(tokenizer, SubwordTokenizer) else ".json"


def _load(folder: Path, stem: str) -> Tokenizer:
    path = next((folder / (stem + suffix) for suffix in _SUFFIXES if (folder / (stem + suffix)).exists()), None)
    if path is None:
        raise RunError(
            f"{folder / stem}.model: there is no such file, nor {stem}.json; a run needs it to read and write text:"
            " train again, or copy the file back into the folder"
        )
    try:
        content = path.read_bytes()
        return SubwordTokenizer(content) if path.suffix == ".model" else read_entries(content)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the tokenizer cannot be read: {error}; copy the file back, or train again") from error


class TextReport(NamedTuple):
    """How well a tokenizer serves some lines."""

    lines: int
    tokens: int
    unknown_share: float
    """Share of the tokens that are UNKNOWN."""
    round_trip_share: float
    """Share of the lines that come back from their tokens, but for NFKC and runs of white space."""
    examples: tuple[str, ...]
    """Up to three lines that do not."""


def inspect(tokenizer: Tokenizer, lines: Iterable[str]) -> TextReport:
    """Encodes and decodes lines and counts what is lost."""
    count = tokens = unknown = returned = 0
    examples: list[str] = []
    for line in lines:
        encoded = tokenizer.encode(line)
        count += 1
        tokens += len(encoded)
        unknown += encoded.count(UNKNOWN)
        if UNKNOWN not in encoded and _plain(tokenizer.decode(encoded)) == _plain(line):
            returned += 1
        elif len(examples) < 3:
            examples.append(line)
    return TextReport(count, tokens, unknown / max(tokens, 1), returned / count if count else 1.0, tuple(examples))


def _plain(line: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", line).split())


def warnings_of(report: TextReport, name: str) -> list[str]:
    """Sentences on more than 1 % unknown tokens or on fewer than 99 % of lines that come back; `name` says whose."""
    shown = "; for example: " + " | ".join(_shortened(line) for line in report.examples) if report.examples else ""
    warnings = []
    if report.unknown_share > 0.01:
        warnings.append(
            f"{name}: {report.unknown_share:.1%} of {report.tokens:,} tokens are unknown to the tokenizer; raise"
            f" tokenizer.vocabulary_size, lower tokenizer.minimum_count, or use subwords with byte_fallback{shown}"
        )
    if report.round_trip_share < 0.99:
        warnings.append(
            f"{name}: {1 - report.round_trip_share:.1%} of {report.lines:,} lines do not come back from their tokens;"
            f" look for characters that are unknown, invisible or of another script{shown}"
        )
    return warnings


def _shortened(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:79] + "…")
