"""Pieces of words learned from text by SentencePiece."""

import io
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import sentencepiece

from s2s.errors import DataError, RecipeError
from s2s.text.special import END, MASKS, PAD, START, UNKNOWN, label_of

_BYTE_PIECES = 256
_SMALLEST_BYTE_VOCABULARY = 600
_MANY_CHARACTERS = 1000
_USUAL_COVERAGE = 0.9995  # advised by SentencePiece for Chinese and Japanese
_LEAST_COVERAGE = 0.98  # the least that it accepts
_TRAINING_CHARACTERS = 10_000_000  # training holds some 25 bytes for each
_TRAINING_CHARACTERS_OF_A_LINE = 1000  # SentencePiece leaves out lines of more than 4,192 bytes
_TRAINING_THREADS = 2  # a fixed number: sums of floats depend on how they are shared out
WORD_START = "\u2581"

_log = logging.getLogger("s2s")


def learned(
    lines: Iterable[str],
    model: Literal["unigram", "bpe"],
    vocabulary_size: int,
    byte_fallback: bool,
    symbols: Sequence[str],
) -> bytes:
    """A serialized model of pieces of some lines, which are read once and streamed."""
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
    return _train(text, model, vocabulary_size, byte_fallback, coverage, symbols)


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
        counts.update(WORD_START + WORD_START.join(filter(None, line.split(" "))))
    if len(counts) > _MANY_CHARACTERS:
        usual = _USUAL_COVERAGE
    room = (vocabulary_size - _BYTE_PIECES) // 2
    affordable = sum(count for _, count in counts.most_common(room)) / counts.total()
    return min(usual, max(affordable, _LEAST_COVERAGE))


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
            control_symbols=[label_of(symbol) + WORD_START for symbol in symbols if symbol not in MASKS],
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
