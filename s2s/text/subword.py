"""Subword tokens by SentencePiece."""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from random import Random
from typing import Literal, Self

import sentencepiece

from s2s.text.normalization import RULES, Normalization, named, normalizer
from s2s.text.pieces import WORD_START, learned
from s2s.text.sampling import MergeSampler, UnigramSampler
from s2s.text.special import END, MASKS, PAD, SPECIAL_LABELS, START, UNKNOWN

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
        trained = cls(learned(lines, model, vocabulary_size, byte_fallback, symbols))
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
            self._pieces[token] = piece.removesuffix(WORD_START) if self._processor.is_control(int(token)) else piece
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
        return _one_line(self._marked(line).replace(WORD_START, " "))

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
        known = "".join(re.escape(piece) for piece in self._scores if len(piece) == 1 and piece != WORD_START)
        return re.compile(f"({WORD_START}[{known}]*|[{known}]+)|([^{known}{WORD_START}]+)")


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ").strip(" ")


def _byte_piece(byte: int) -> str:
    return f"<0x{byte:02X}>"
