"""Tokenizers, from a line of text to token ids and back: learned, saved, loaded and inspected; and loops in text.

Three kinds share one protocol: SentencePiece subwords, words split at white space, and characters. The ids 0 to 3
mean the same in all of them: padding, unknown, start and end of a sequence; only a closed list has none of these.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from s2s.errors import RunError
from s2s.files import write_bytes
from s2s.text.special import END, UNKNOWN
from s2s.text.subword import SubwordTokenizer
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer, PunctuationTokenizer, WordTokenizer, read_wordlist

if TYPE_CHECKING:
    from s2s.recipe.sections import Tokenizer as Settings

LONGEST_LOOP = 4
"""Words of the longest unit that is looked for in loops."""


class Tokenizer(Protocol):
    """Protocol of all tokenizers; special ids are never added by `encode` and never shown by `decode`."""

    @property
    def vocabulary_size(self) -> int:
        """V: one more than the highest token id."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `serialize()`, in hexadecimal."""

    @property
    def symbols(self) -> dict[str, int]:
        """Token ids, by name, of entries that no text spells, such as tags; `decode` does not show them."""

    def encode(self, line: str) -> list[int]:
        """Token ids of a line; what the vocabulary lacks becomes UNKNOWN."""

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """Token ids of sampled segmentations, the same for the same arguments; `encode` where there is one only."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Line of some token ids; PAD, START and END are left out, UNKNOWN is shown as two question marks."""

    def token(self, token: int) -> str:
        """Label of a token id, for plots and JSON; IndexError beyond the vocabulary."""

    def lacks(self, tokens: Sequence[int]) -> bool:
        """Whether some ids of a line stand for what the vocabulary lacks: UNKNOWN, or the bytes of a character."""

    def lacking(self, line: str) -> list[str]:
        """What of a line the vocabulary lacks, each once: words, or runs of characters."""

    def normalize(self, line: str) -> str:
        """Result of `decode(encode(line))` when nothing of the line is unknown."""

    def serialize(self) -> bytes:
        """Content of the tokenizer's file."""


def train_tokenizer(settings: "Settings", lines: Iterable[str], symbols: Sequence[str] = ()) -> Tokenizer:
    """Learns the tokenizer of a recipe; DataError for no text, RecipeError for values that do not fit it.

    `symbols` are names of entries that no text spells; they are counted in the size of the vocabulary.
    """
    size = settings.vocabulary_size
    if settings.kind != "subword":
        count = settings.minimum_count
        return listed(settings).train(lines, vocabulary_size=size, minimum_count=count, symbols=symbols)
    model, bytes_ = settings.model, settings.byte_fallback
    return SubwordTokenizer.train(lines, model=model, vocabulary_size=size, byte_fallback=bytes_, symbols=symbols)


def listed(settings: "Settings") -> type[ListTokenizer]:
    """Class of the tokenizer of words or characters."""
    if settings.kind == "characters":
        return CharacterTokenizer
    return PunctuationTokenizer if settings.punctuation else WordTokenizer


def train_tokenizers(
    settings: "Settings",
    joint: bool,
    pairs: Callable[[], Iterator[tuple[str, str]]],
    symbols: tuple[Sequence[str], Sequence[str]] = ((), ()),
    target_settings: "Settings | None" = None,
) -> tuple[Tokenizer, Tokenizer]:
    """Learns the tokenizers of source and target; a `joint` one for both is the same object twice.

    `pairs` is called once when joint, else once for each side. `symbols` are those of source and target. The
    settings are those of the target too unless it has its own.
    """
    if joint:
        every = list(dict.fromkeys((*symbols[0], *symbols[1])))
        both = train_tokenizer(settings, (line for pair in pairs() for line in pair), every)
        return both, both
    source = train_tokenizer(settings, (source for source, _ in pairs()), symbols[0])
    return source, train_tokenizer(target_settings or settings, (target for _, target in pairs()), symbols[1])


def save_tokenizers(source: Tokenizer, target: Tokenizer, folder: Path) -> None:
    """Writes `tokenizer.*` for one object, else `tokenizer.source.*` and `tokenizer.target.*`; removes earlier ones."""
    named = {"tokenizer": source} if source is target else {"tokenizer.source": source, "tokenizer.target": target}
    written = set()
    for stem, tokenizer in named.items():
        path = folder / (stem + (".model" if isinstance(tokenizer, SubwordTokenizer) else ".json"))
        write_bytes(path, tokenizer.serialize())
        written.add(path)
    for stem in ("tokenizer", "tokenizer.source", "tokenizer.target"):
        for path in {*_places(folder, stem)} - written:
            path.unlink(missing_ok=True)


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """Reads the tokenizers of source and target; RunError names a file that is missing or damaged."""
    stems = ("tokenizer.source", "tokenizer.target")
    if not any(path.exists() for stem in stems for path in _places(folder, stem)):
        both = _load(folder, "tokenizer")
        return both, both
    return _load(folder, stems[0]), _load(folder, stems[1])


def _places(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}{suffix}" for suffix in (".model", ".json")]


def _load(folder: Path, stem: str) -> Tokenizer:
    path = next((path for path in _places(folder, stem) if path.exists()), None)
    if path is None:
        raise RunError(
            f"{folder / stem}.model: there is no such file, nor {stem}.json; text is read and written with it:"
            " copy the file back into the folder, or train or export again"
        )
    try:
        content = path.read_bytes()
        return SubwordTokenizer(content) if path.suffix == ".model" else read_wordlist(content)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the tokenizer cannot be read: {error}; copy the file back, or train again") from error


def framed(tokens: Sequence[int]) -> list[int]:
    """The tokens of a sentence and END, as an encoder reads it and a decoder should answer."""
    return [*tokens, END]


def has_loop(words: Sequence[str]) -> bool:
    """Whether some 1 to 4 words occur at least three times in a row; "very very" is no loop."""
    for size in range(1, LONGEST_LOOP + 1):
        run = 0
        for index in range(size, len(words)):
            run = run + 1 if words[index] == words[index - size] else 0
            if run >= 2 * size:
                return True
    return False


class TextReport(NamedTuple):
    """Losses of a tokenizer on some lines."""

    lines: int
    tokens: int
    unknown_share: float
    """Share of the tokens that are UNKNOWN."""
    round_trip_share: float
    """Share of the lines that come back from their tokens, but for NFKC and runs of white space."""
    examples: tuple[str, ...]
    """Up to three of the lines that do not."""
    changed_share: float
    """Share of the lines that come back with more than white space changed, by normalisation."""
    changes: tuple[tuple[str, str], ...]
    """Up to two of these, as they were and as they come back."""


def inspect(tokenizer: Tokenizer, lines: Iterable[str]) -> TextReport:
    """Encodes and decodes lines and counts what is lost."""
    count = tokens = unknown = returned = changed = 0
    examples: list[str] = []
    changes: list[tuple[str, str]] = []
    for line in lines:
        encoded = tokenizer.encode(line)
        count += 1
        tokens += len(encoded)
        unknown += encoded.count(UNKNOWN)
        decoded = tokenizer.decode(encoded)
        if UNKNOWN not in encoded and _plain(decoded) == _plain(line):
            returned += 1
        elif len(examples) < 3:
            examples.append(line)
        if UNKNOWN not in encoded and "".join(decoded.split()) != "".join(line.split()):
            changed += 1
            changes += [(line, decoded)] * (len(changes) < 2)
    total = max(count, 1)
    share = returned / total if count else 1.0
    unknown_share = unknown / max(tokens, 1)
    return TextReport(count, tokens, unknown_share, share, tuple(examples), changed / total, tuple(changes))


def _plain(line: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", line).split())


def warnings_of(report: TextReport, name: str) -> list[str]:
    """Warnings, which begin with a name, about over 1 % unknown tokens or under 99 % of lines that come back."""
    examples = [repr(_short(line)) for line in report.examples]
    shown = f"; for example: {' | '.join(examples)}" if examples else ""
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


def changes_of(report: TextReport, name: str) -> list[str]:
    """Warning, which begins with a name, where normalisation changes what a reader sees of 0.1 % of the lines.

    For text that is written: full-width marks become narrow, for example, and outputs never have them.
    """
    if report.changed_share < 0.001:
        return []
    shown = " | ".join(f"{_short(line)!r} becomes {_short(after)!r}" for line, after in report.changes)
    return [
        f"{name}: the tokenizer's normalisation changes {report.changed_share:.1%} of {report.lines:,} lines, and"
        f" outputs are written so: {shown}; where that matters, take tokenizer.kind = words or characters"
    ]


def _short(line: str) -> str:
    return line if len(line) <= 80 else line[:79] + "…"
