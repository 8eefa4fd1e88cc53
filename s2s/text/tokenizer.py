"""Tokenizers, from a line of text to token ids and back: learned, saved, loaded and inspected; and loops in text.

Four kinds share one protocol: SentencePiece subwords, words split at white space, characters, and bytes. The ids 0 to 3
mean the same in all of them: padding, unknown, start and end of a sequence; only a closed list has none of these.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from s2s.errors import RunError
from s2s.files import write_bytes
from s2s.recipe.arguments import shortened
from s2s.text.normalization import Normalization, normalizer
from s2s.text.special import END, UNKNOWN
from s2s.text.subword import SubwordTokenizer
from s2s.text.wordlist import (
    ByteTokenizer,
    CharacterTokenizer,
    ListTokenizer,
    PunctuationTokenizer,
    WordTokenizer,
    read_wordlist,
)

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
    def normalization(self) -> Normalization | None:
        """Rule of its text; None for a list of an earlier version, which had none."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `serialize()`, in hexadecimal."""

    @property
    def symbols(self) -> dict[str, int]:
        """Token ids, by name, of entries that no text spells, such as tags; `decode` does not show them."""

    def encode(self, line: str) -> list[int]:
        """Token ids of a line; what the vocabulary lacks becomes UNKNOWN."""

    def encode_all(self, lines: Sequence[str]) -> list[list[int]]:
        """`encode` of each line, by all cores where it can be."""

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


def train_tokenizer(
    settings: "Settings", lines: Iterable[str], symbols: Sequence[str] = ()
) -> SubwordTokenizer | ListTokenizer:
    """Learns the tokenizer of a recipe from normalised lines, for no rule.

    `symbols` are names of entries that no text spells; they are counted in the size of the vocabulary. DataError for no
    text, RecipeError for values that do not fit it.
    """
    size = settings.vocabulary_size
    if settings.kind != "subword":
        count = settings.minimum_count
        return listed(settings).train(lines, vocabulary_size=size, minimum_count=count, symbols=symbols)
    model, bytes_ = settings.model, settings.byte_fallback
    return SubwordTokenizer.train(lines, model=model, vocabulary_size=size, byte_fallback=bytes_, symbols=symbols)


def listed(settings: "Settings") -> type[ListTokenizer]:
    """Class of the tokenizer of words, characters or bytes."""
    if settings.kind in ("characters", "bytes"):
        return CharacterTokenizer if settings.kind == "characters" else ByteTokenizer
    return PunctuationTokenizer if settings.punctuation else WordTokenizer


def train_tokenizers(
    settings: "Settings",
    joint: bool,
    pairs: Callable[[], Iterator[tuple[str, str]]],
    rules: tuple[Normalization, Normalization] = ("none", "none"),
    symbols: tuple[Sequence[str], Sequence[str]] = ((), ()),
    target_settings: "Settings | None" = None,
) -> tuple[Tokenizer, Tokenizer]:
    """Learns the tokenizers of source and target; `joint` ones share their vocabulary, and are one object of one rule.

    `pairs` is called once when joint, else once for each side. `rules` and `symbols` are of source and target. The
    settings are those of the target too unless it has its own.
    """
    first, second = map(normalizer, rules)
    if joint:
        every = list(dict.fromkeys((*symbols[0], *symbols[1])))
        both = train_tokenizer(
            settings, (line for pair in pairs() for line in (first(pair[0]), second(pair[1]))), every
        )
        source, target = both.under(rules[0]), both.under(rules[1])
        return source, source if rules[0] == rules[1] else target
    source = train_tokenizer(settings, (first(line) for line, _ in pairs()), symbols[0]).under(rules[0])
    target_lines = (second(line) for _, line in pairs())
    return source, train_tokenizer(target_settings or settings, target_lines, symbols[1]).under(rules[1])


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
    unknown_lines_share: float
    """Share of the lines that have such tokens."""
    examples: tuple[str, ...]
    """Up to three of these lines."""
    returned: tuple[tuple[str, str], ...]
    """The other lines, as they were and as they come back from their tokens."""


def inspect(tokenizer: Tokenizer, lines: Iterable[str]) -> TextReport:
    """Encodes and decodes lines, counts what is unknown, and keeps what comes back."""
    tokens = unknown = 0
    lost, returned = list[str](), list[tuple[str, str]]()
    for line in lines:
        encoded = tokenizer.encode(line)
        tokens += len(encoded)
        unknown += encoded.count(UNKNOWN)
        if UNKNOWN in encoded:
            lost.append(line)
        else:
            returned.append((line, tokenizer.decode(encoded)))
    count = len(lost) + len(returned)
    shares = unknown / max(tokens, 1), len(lost) / max(count, 1)
    return TextReport(count, tokens, *shares, tuple(lost[:3]), tuple(returned))


def warnings_of(report: TextReport, name: str) -> list[str]:
    """Warnings, which begin with a name, about over 1 % unknown tokens, or over 1 % of lines with one."""
    examples = [shortened(repr(line)) for line in report.examples]
    shown = f"; for example: {' | '.join(examples)}" if examples else ""
    warnings = []
    if report.unknown_share > 0.01:
        warnings.append(
            f"{name}: {report.unknown_share:.1%} of {report.tokens:,} tokens are unknown to the tokenizer; raise"
            f" tokenizer.vocabulary_size, lower tokenizer.minimum_count, or use subwords with byte_fallback{shown}"
        )
    elif report.unknown_lines_share > 0.01:
        warnings.append(
            f"{name}: {report.unknown_lines_share:.1%} of {report.lines:,} lines have tokens that are unknown to the"
            f" tokenizer; look for characters that are rare, invisible or of another script{shown}"
        )
    return warnings
