"""Subword tokens by SentencePiece, trained by `s2s train`."""

import hashlib
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from random import Random
from typing import Literal, Self

import sentencepiece

from s2s.errors import DataError, RecipeError
from s2s.text.normalization import RULES, Normalization, named, normalizer
from s2s.text.sampling import MergeSampler, UnigramSampler
from s2s.text.special import END, MASKS, PAD, SPECIAL_LABELS, START, UNKNOWN, label_of

_BYTE_PIECES = 256
_SMALLEST_BYTE_VOCABULARY = 600
_MANY_CHARACTERS = 1000
_USUAL_COVERAGE = 0.9995  # advised by SentencePiece for Chinese and Japanese
_LEAST_COVERAGE = 0.98  # the least that it accepts
_TRAINING_CHARACTERS = 10_000_000  # training holds some 25 bytes for each
_TRAINING_CHARACTERS_OF_A_LINE = 1000  # SentencePiece leaves out lines of more than 4,192 bytes
_TRAINING_THREADS = 2  # a fixed number: sums of floats depend on how they are shared out
_WORD_START = "\u2581"

_log = logging.getLogger("s2s")


class SubwordTokenizer:
    """SentencePiece model, unigram (Kudo 2018) or BPE (Sennrich et al. 2016).

    Text is normalised by the rule that the end of the model names, and runs of spaces become one. With byte fallback a
    character that is no piece is spelled as its UTF-8 bytes.
    """

    def __init__(self, model: bytes) -> None:
        """ValueError for bytes that are no serialized model, or one with other special ids than s2s."""
        if not model:
            raise ValueError("it is empty")
        self._model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            self._pieces: dict[int, str] = {}
        except RuntimeError as error:
            raise ValueError("it is no SentencePiece model") from error
        self.normalization: Normalization = next((rule for rule in RULES if model.endswith(named(rule))), "nmt_nfkc")
        # its own normalisation has the map of nmt_nfkc, if any, and no NFC
        self._prepared = normalizer("none" if self.normalization == "nmt_nfkc" else self.normalization)
        processor = self._processor
        found = processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()
        expected = PAD, UNKNOWN, START, END
        if found != expected:
            raise ValueError(f"its ids of padding, unknown, start and end are {found}, not {expected}")

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        model: Literal["unigram", "bpe"],
        vocabulary_size: int,
        byte_fallback: bool,
        symbols: Sequence[str] = (),
    ) -> Self:
        """Learns pieces from lines, taken as they are, which are read once and streamed.

        A vocabulary that the text cannot fill is made smaller, with a warning. DataError for lines without text,
        RecipeError for a vocabulary that is too small for the characters.
        """
        if byte_fallback and vocabulary_size < _SMALLEST_BYTE_VOCABULARY:
            _log.warning(
                f"tokenizer.byte_fallback: its {_BYTE_PIECES} byte pieces need a vocabulary_size of at least"
                f" {_SMALLEST_BYTE_VOCABULARY} (given {vocabulary_size}); turned off, so characters that training never"
                " saw will be unknown"
            )
            byte_fallback = False
        text, complete = _training_text(lines)
        if not text:
            raise DataError("tokenizer: the training text is empty; check the files that data.train names")
        coverage = _character_coverage(text, complete, vocabulary_size, byte_fallback)
        trained = cls(_train(text, model, vocabulary_size, byte_fallback, coverage, symbols))
        if trained.vocabulary_size < vocabulary_size:
            _log.warning(
                f"tokenizer.vocabulary_size: the training text gives {trained.vocabulary_size:,} pieces only, not"
                f" {vocabulary_size:,}; these are used"
            )
        return trained

    def under(self, rule: Normalization) -> Self:
        """The same pieces for text that a rule normalises."""
        return type(self)(self._model + named(rule))  # fields of a message that stands twice are merged, the last wins

    @property
    def vocabulary_size(self) -> int:
        """V: pieces, the four special ones and the bytes included."""
        return int(self._processor.vocab_size())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the model, in hexadecimal."""
        return hashlib.sha256(self._model).hexdigest()

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Token ids, by name, of the entries that no text spells."""
        controls = filter(self._processor.is_control, range(len(SPECIAL_LABELS), self.vocabulary_size))
        return {self.token(token)[1:-1]: token for token in controls}

    def encode(self, line: str) -> list[int]:
        """Ids of the best segmentation of a line."""
        return list(self._processor.encode(self._prepared(line)))

    def encode_all(self, lines: Sequence[str]) -> list[list[int]]:
        """`encode` of each line, by SentencePiece's own threads, one a core."""
        return list(self._processor.encode([*map(self._prepared, lines)], num_threads=os.cpu_count() or 1))

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """Sampled segmentations: unigram smoothed by `alpha` (Kudo 2018), or BPE-dropout `alpha` (Provilkov 2020).

        The same arguments give the same tokens, whatever was sampled before; `alpha` 0 is `encode`.
        """
        if alpha == 0:
            return [self.encode(line) for line in lines]
        generator = Random(seed)
        return [self._sampled(line, alpha, generator) for line in lines]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of some pieces; bytes that are no UTF-8 become U+FFFD, and line breaks spelled in bytes spaces."""
        text = str(self._processor.decode([int(token) for token in tokens if token not in (PAD, START, END)]))
        return _one_line(text)

    def token(self, token: int) -> str:
        """The piece, with U+2581 where a word begins."""
        if token not in self._pieces:  # asked for at every token of every translation
            piece = str(self._processor.id_to_piece(int(token)))
            self._pieces[token] = piece.removesuffix(_WORD_START) if self._processor.is_control(int(token)) else piece
        return self._pieces[token]

    def lacks(self, tokens: Sequence[int]) -> bool:
        """Whether one of the ids is UNKNOWN or a byte's."""
        return not self._lacking.isdisjoint(tokens)

    def lacking(self, line: str) -> list[str]:
        """Runs of characters that are no pieces, each once."""
        runs = (unknown for _, unknown in self._units.findall(self._marked(line)))
        return list(dict.fromkeys(filter(None, runs)))

    def normalize(self, line: str) -> str:
        """The line after the rule, on one line, without U+2581, and with runs of spaces collapsed."""
        return _one_line(self._marked(line).replace(_WORD_START, " "))

    def serialize(self) -> bytes:
        """The SentencePiece model, as its own tools read it."""
        return self._model

    def _marked(self, line: str) -> str:
        """The line after the rule, with U+2581 for a space and before it."""
        return str(self._processor.normalize(self._prepared(line)))

    def _sampled(self, line: str, alpha: float, generator: Random) -> list[int]:
        tokens: list[int] = []
        for known, unknown in self._units.findall(self._marked(line)):
            if known:
                tokens.extend(self._ids[piece] for piece in self._sampler.sample(known, alpha, generator))
            else:
                tokens.extend([self._ids[_byte_piece(byte)] for byte in unknown.encode()] if self._bytes else [UNKNOWN])
        return tokens

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {str(self._processor.id_to_piece(token)): token for token in range(self.vocabulary_size)}

    @cached_property
    def _bytes(self) -> bool:
        return _byte_piece(0) in self._ids and self._processor.is_byte(self._ids[_byte_piece(0)])

    @cached_property
    def _lacking(self) -> frozenset[int]:
        return frozenset({UNKNOWN, *filter(self._processor.is_byte, range(self.vocabulary_size))})

    @cached_property
    def _scores(self) -> dict[str, float]:
        """Scores of the pieces that occur in text."""
        model = self._processor
        hidden = (model.is_control, model.is_unknown, model.is_byte, model.is_unused)
        shown = {piece: token for piece, token in self._ids.items() if not any(is_(token) for is_ in hidden)}
        return {piece: model.get_score(token) for piece, token in shown.items()}

    @cached_property
    def _sampler(self) -> MergeSampler | UnigramSampler:
        ranks = sorted(-score for piece, score in self._scores.items() if piece not in MASKS)
        merges = ranks == list(range(len(ranks)))  # BPE scores its pieces 0, -1, -2 ...; log-probabilities never are
        return MergeSampler(self._scores) if merges else UnigramSampler(self._scores)

    @cached_property
    def _units(self) -> re.Pattern[str]:
        """Pattern of a word with U+2581 before it, or of a run of characters that are no pieces."""
        known = "".join(re.escape(piece) for piece in self._scores if len(piece) == 1 and piece != _WORD_START)
        return re.compile(f"({_WORD_START}[{known}]*|[{known}]+)|([^{known}{_WORD_START}]+)")


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ").strip(" ")


def _training_text(lines: Iterable[str]) -> tuple[list[str], bool]:
    """Lines to learn from, and whether they are all; of a long text a part, spread evenly over it.

    A multiplicative hash of its number decides whether a line is kept, so that source and target lines, which
    alternate, are kept alike. SentencePiece could sample them, but its samples differ from process to process.
    """
    from tqdm import tqdm

    kept: list[tuple[int, str]] = []
    limit, characters = 2**32, 0
    for number, line in enumerate(tqdm(lines, desc="reading text", unit=" lines", disable=None, leave=False)):
        place = number * 0x9E3779B1 % 2**32
        if place >= limit or not line or line.isspace():
            continue
        kept.append((place, line[:_TRAINING_CHARACTERS_OF_A_LINE]))
        characters += len(kept[-1][1])
        while characters > _TRAINING_CHARACTERS:
            limit //= 2
            kept = [(place, line) for place, line in kept if place < limit]
            characters = sum(len(line) for _, line in kept)
    return [line for _, line in kept], limit == 2**32


def _character_coverage(lines: list[str], complete: bool, vocabulary_size: int, byte_fallback: bool) -> float:
    """Share of the text whose characters become pieces of their own; the rest are bytes, or unknown.

    All of it, as a rule. A long text names many characters once, in typing errors and quotations, and so does one
    in Chinese or Japanese; and with bytes to fall back on, single characters should take at most half of the pieces.
    """
    usual = 1.0 if complete else _USUAL_COVERAGE
    if not byte_fallback:
        return usual
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(_WORD_START + _WORD_START.join(filter(None, line.split(" "))))
    if len(counts) > _MANY_CHARACTERS:
        usual = _USUAL_COVERAGE
    room = (vocabulary_size - _BYTE_PIECES) // 2
    affordable = sum(count for _, count in counts.most_common(room)) / counts.total()
    return min(usual, max(affordable, _LEAST_COVERAGE))


def _byte_piece(byte: int) -> str:
    return f"<0x{byte:02X}>"


def _train(
    lines: list[str],
    model: Literal["unigram", "bpe"],
    vocabulary_size: int,
    byte_fallback: bool,
    coverage: float,
    symbols: Sequence[str],
) -> bytes:
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=written,
            model_type=model,
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            byte_fallback=byte_fallback,
            character_coverage=coverage,
            normalization_rule_name="identity",
            # no word ends so; from text that has a symbol nothing is learned of its characters
            control_symbols=[label_of(symbol) + _WORD_START for symbol in symbols if symbol not in MASKS],
            user_defined_symbols=[symbol for symbol in symbols if symbol in MASKS],
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            num_threads=_TRAINING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _training_error(str(error), vocabulary_size, byte_fallback) from error
    return written.getvalue()


def _training_error(message: str, vocabulary_size: int, byte_fallback: bool) -> DataError | RecipeError:
    needed = re.search(r"smaller than required_chars\D+\d+ vs (\d+)", message)
    if needed:
        or_bytes = f", or set tokenizer.byte_fallback = true and at least {_SMALLEST_BYTE_VOCABULARY}"
        return RecipeError(
            f"tokenizer.vocabulary_size: {vocabulary_size:,} pieces cannot hold the characters of the training text,"
            f" which need {int(needed[1]):,}; choose {2 * int(needed[1]):,} or more{'' if byte_fallback else or_bytes}"
        )
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return DataError("tokenizer: the training text is empty; check the files that data.train names")
    return DataError(f"tokenizer: SentencePiece cannot learn from the training text: {message}")
