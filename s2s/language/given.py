"""Nats of given lines under a language model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from s2s.errors import DataError
from s2s.language.evaluation import SCORED_WINDOW
from s2s.language.generator import Generator
from s2s.language.measured import Size, size_of
from s2s.language.scores import SPELLED
from s2s.nn.recurrent import State, positions_valid
from s2s.text.batches import collate_lines
from s2s.text.special import END, START, UNKNOWN
from s2s.text.wordlist import CharacterTokenizer

BATCH_TOKENS = 8192
"""Padded tokens of the lines that are read together, at most."""


class ScoredLine(NamedTuple):
    """How well a model predicts the tokens of a given line."""

    nats: float
    """negative log-likelihood of all of them"""
    tokens: int
    unknown_tokens: int
    """of them; one is easier to predict than what stands in its place"""
    unknown_nats: float
    """of the nats"""
    characters: int
    """of what is predicted, with the line's end"""
    bytes: int
    """of UTF-8, likewise"""
    spelled_bytes: int
    """of what is unknown, with one byte more after each"""

    def row(self) -> dict[str, float | None]:
        """The counts with what they give for each token, character and byte; None of a line without any."""
        bits, read = self.nats / math.log(2), bool(self.tokens)
        spelled = {SPELLED: (bits + 8 * self.spelled_bytes) / self.bytes} if self.unknown_tokens else {}
        return {
            **self._asdict(),
            "nats_per_token": self.nats / self.tokens if read else None,
            "bits_per_character": bits / self.characters if read and self.characters else None,
            "bits_per_byte": bits / self.bytes if read and self.bytes else None,
            **spelled,
        }


class LineScorer:
    """Scores of lines: each from a state of zeros and after the end of a line, or in the state that the last one left.

    The end of a line is predicted too, as in training. Where the model knows no end, the first token is not predicted.
    """

    def __init__(self, generator: Generator, *, carried: bool = False) -> None:
        """DataError where a state is to be carried that the model was not trained to carry."""
        tokenizer, by_line = generator.tokenizer, generator.recipe.data.cut == "lines"
        if carried and by_line:
            raise DataError("--carried: the model was trained line by line (data.cut is lines); leave it out")
        self.generator, self.carried = generator, carried
        if isinstance(tokenizer, CharacterTokenizer) and not by_line:
            self.end = [] if tokenizer.lacking("\n") else tokenizer.encode("\n")
        else:
            self.end = [] if generator.closed else [END]
        self.before = [START] if by_line and not generator.closed else self.end
        """Last token before a line"""
        self.state: State | None = None

    def __call__(self, lines: Sequence[str]) -> list[ScoredLine]:
        """Scores of lines in their order; a state that is carried goes on from call to call."""
        rows = [[*self.generator.tokenizer.encode(line), *self.end] for line in lines]
        results = [ScoredLine(0.0, 0, 0, 0.0, 0, 0, 0)] * len(rows)
        order = range(len(rows)) if self.carried else sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        begin = 0
        while begin < len(order):
            most = 1 if self.carried else max(BATCH_TOKENS // (len(rows[order[begin]]) + 1), 1)
            group = order[begin : begin + most]
            begin += most
            sizes = [self._size(lines[index], rows[index]) for index in group]
            scores = self._read([[*self.before, *rows[index]] for index in group])
            for index, score, size in zip(group, scores, sizes, strict=True):
                results[index] = ScoredLine(*score, *size)
        return results

    def _size(self, line: str, row: list[int]) -> Size:
        """Size of what is predicted of a line."""
        text = f"{line}\n" if self.end else line
        by_line = self.generator.recipe.data.cut == "lines"
        return size_of(self.generator.tokenizer, text, row, lines=by_line, begins=bool(row) and not self.before)

    @torch.inference_mode()
    def _read(self, rows: Sequence[list[int]]) -> list[tuple[float, int, int, float]]:
        """Nats, tokens, unknown tokens and their nats of B rows, whose first token is given.

        What fills a row comes after all that it predicts.
        """
        model, compute, state = self.generator.model, self.generator.compute, self.state
        inputs, targets, lengths = collate_lines(rows, framed=False)
        valid = positions_valid(lengths, inputs.shape[1], compute.device)
        costs = torch.zeros(valid.shape, dtype=torch.float64, device=compute.device)
        with compute.entered(), compute.autocast():
            for begin in range(0, inputs.shape[1], SCORED_WINDOW):
                part = (slice(None), slice(begin, begin + SCORED_WINDOW))
                at, wanted = valid[part], targets[part].to(compute.device)
                readout, _, state = model(inputs[part].to(compute.device), state)
                costs[part][at] = -model.scored(readout[at], wanted[at]).log_probability.double()
        if self.carried:
            self.state, self.before = state, rows[0][-1:]
        unknown = (targets.to(compute.device) == UNKNOWN) & valid & (not self.generator.closed)
        counts = lengths.clamp(min=0).tolist(), unknown.sum(1).tolist()
        return list(zip(costs.sum(1).tolist(), *counts, (costs * unknown).sum(1).tolist(), strict=True))
