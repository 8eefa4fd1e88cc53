"""Parts of training pairs read as one: each encoded in its own cache, in shares of the tokens of an epoch, tagged."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import RecipeError
from s2s.text.batches import Indices
from s2s.text.encoded import Joined
from s2s.text.special import tags_of
from s2s.text.tokenizer import Tokenizer
from s2s.translation.encoded import EncodedPairs, encode_pairs
from s2s.translation.pairs import Pairs

log = logging.getLogger("s2s")
MOST_TIMES = 1000
"""Times at most that a part is read in an epoch, which is made in memory."""


class Portioned(NamedTuple):
    """How a part is read."""

    pairs: int
    tokens: int
    """of both sides, without END and the tag"""
    share: float
    """of the tokens of an epoch"""
    times: float
    """that it is read in an epoch"""


class Shares:
    """Rows of each epoch, a function of the seed and the number of the epoch.

    A part without a share is read once, and these parts fill what the shares of the others leave. Where each part has
    a share, these are in proportion, and an epoch has as many tokens as all parts. A part that is not read a whole
    number of times gives another sample of its rows in each epoch.
    """

    def __init__(self, tokens: Sequence[NDArray[np.integer]], shares: Sequence[float | None], *, seed: int) -> None:
        """`tokens` (N,) are those of each row of a part, both sides together."""
        self._tokens, self._seed = tokens, seed
        totals = [int(rows.sum(dtype=np.int64)) for rows in tokens]
        given = sum(share or 0.0 for share in shares)
        once = sum(total for total, share in zip(totals, shares, strict=True) if share is None)
        whole = once / (1 - given) if once else sum(totals) / given
        wanted = [total if share is None else share * whole for total, share in zip(totals, shares, strict=True)]
        self.parts = [
            Portioned(len(rows), total, want / sum(wanted), want / total)
            for rows, total, want in zip(tokens, totals, wanted, strict=True)
        ]

    def rows(self, epoch: int) -> Indices:
        """Numbers of the rows of an epoch, counted over all parts, those that are read twice twice."""
        found, first = list[Indices](), 0
        for number, (part, tokens) in enumerate(zip(self.parts, self._tokens, strict=True)):
            every = np.arange(first, first + part.pairs)
            whole = int(part.times + 1e-9)
            found += [every] * whole
            if (rest := (part.times - whole) * part.tokens) >= 1:
                order = np.random.Generator(np.random.PCG64([self._seed, epoch, number])).permutation(part.pairs)
                reached = tokens[order].cumsum(dtype=np.int64)
                found.append(every[order[: int(np.abs(reached - rest).argmin()) + 1]])
            first += part.pairs
        return np.concatenate(found)


class SharedPairs(EncodedPairs):
    """Encoded pairs of several parts, one after another, of which nothing is copied."""

    def __init__(self, parts: Sequence[EncodedPairs], pairs: Pairs, tags: dict[str, int], seed: int) -> None:
        """The parts of some pairs, encoded; `tags` are token ids."""
        self.named = [(part.description, encoded) for part, encoded in zip(pairs.parts, parts, strict=True)]
        self.source, self.target = Joined([part.source for part in parts]), Joined([part.target for part in parts])
        self.dropped = dict(sum((Counter(part.dropped) for part in parts), Counter[str]()))
        self.longest_ratio = max(part.longest_ratio for part in parts)
        texts: list[Any] = [part.texts for part in parts]
        self.texts = [Joined([side[each] for side in texts]) for each in (0, 1)] if all(texts) else None
        tokens = [part.source.lengths + part.target.lengths for part in parts]
        self.shares = Shares(tokens, [part.share for part in pairs.parts], seed=seed)
        for (name, _), part in zip(self.named, self.shares.parts, strict=True):
            if part.times > MOST_TIMES:
                raise RecipeError(
                    f"data.train: {name}: would be read {part.times:,.0f} times an epoch by its share, and at most"
                    f" {MOST_TIMES:,} are allowed; give it a lower share, or more pairs"
                )
        self.rows = self.shares.rows
        if tags:
            ids = [tags[part.tag] if part.tag else -1 for part in pairs.parts]
            self.tags = np.repeat(np.array(ids, np.int32), [len(part) for part in parts])

    def report(self) -> None:
        """Log how each part is read."""
        for (name, _), part in zip(self.named, self.shares.parts, strict=True):
            log.info(
                "data.train: %s: %s pairs, %s tokens, read %.4g times an epoch, %.1f%% of its tokens",
                name, f"{part.pairs:,}", f"{part.tokens:,}", part.times, 100 * part.share,
            )  # fmt: skip


def encode_train(train: Pairs, source: Tokenizer, target: Tokenizer, *, seed: int, **ways: Any) -> EncodedPairs:
    """Encoded training pairs, a split or a list of parts; RecipeError for a tag that the source vocabulary lacks."""
    if not train.parts:
        return encode_pairs(train, source, target, **ways)
    tags = tags_of(source.symbols)
    for part in train.parts:
        if part.tag and part.tag not in tags:
            raise RecipeError(
                f"data.train: {part.tag} is no tag of the source's vocabulary ({', '.join(tags) or 'there is none'});"
                " take one of these, or train a new tokenizer"
            )
    return SharedPairs([encode_pairs(part, source, target, **ways) for part in train.parts], train, tags, seed)
