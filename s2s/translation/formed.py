"""Training pairs as they are read: what must not change masked, and some once more in forms that people write in."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeAlias

import numpy as np

from s2s.text.batches import Indices
from s2s.text.encoded import Joined
from s2s.text.forms import formed_pairs
from s2s.text.placeables import protection
from s2s.text.special import MASKS
from s2s.translation.encoded import EncodedPairs
from s2s.translation.pairs import Pairs

_Lines: TypeAlias = Iterator[tuple[str, str]]


def masked(pairs: Pairs, protect: bool | tuple[str, ...]) -> Pairs:
    """The pairs with masks, as data.protect has it."""
    if not protect:
        return pairs
    found = protection(protect)
    patterns = "|".join(pattern.pattern for pattern in found.patterns)
    return _changed(pairs, lambda lines: (found.masked_pair(*pair) for pair in lines), patterns)


def masked_share(pairs: Pairs) -> tuple[int, int]:
    """How many of the pairs have masks, and how many pairs there are."""
    counts = Counter(any(map(source.__contains__, MASKS)) for source, _ in pairs.read())
    return counts[True], counts.total()


def with_forms(pairs: Pairs, shares: Mapping[str, float]) -> Pairs:
    """The pairs, and a share of them in each form: text for tokenizers."""

    def read() -> _Lines:
        chance = Random(0)
        for pair in pairs.read():
            yield pair
            for form, share in shares.items():
                if chance.random() < share:
                    yield from formed_pairs(iter([pair]), form)

    return pairs._replace(read=read)


def _changed(pairs: Pairs, change: Callable[[_Lines], _Lines], what: str, note: str = "") -> Pairs:
    return pairs._replace(
        read=lambda: change(pairs.read()),
        identity=hashlib.sha256(f"{pairs.identity} {what}".encode("utf-8", "surrogatepass")).hexdigest(),
        description=pairs.description + note,
        parts=tuple(_changed(part, change, what, note) for part in pairs.parts),
    )


class FormedPairs(EncodedPairs):
    """Encoded pairs, and others in forms, of which an epoch has a share: other ones in each."""

    def __init__(self, parts: Sequence[EncodedPairs], shares: Sequence[float], seed: int) -> None:
        """The pairs as they are, then those of each form; `shares` are of the pairs that an epoch has as they are."""
        self.source, self.target = Joined([part.source for part in parts]), Joined([part.target for part in parts])
        self.dropped = parts[0].dropped
        self.longest_ratio = max(part.longest_ratio for part in parts)
        texts: list[Any] = [part.texts for part in parts]
        self.texts = [Joined([side[each] for side in texts]) for each in (0, 1)] if all(texts) else None
        if parts[0].tags is not None:
            self.tags = np.concatenate([np.asarray(part.tags) for part in parts])
        self._parts, self._shares, self._seed = parts, shares, seed
        self.rows = self._rows

    def _rows(self, epoch: int) -> Indices:
        every = [np.arange(len(part)) if part.rows is None else part.rows(epoch) for part in self._parts]
        found, first = [every[0]], len(self._parts[0])
        for number, (rows, share) in enumerate(zip(every[1:], self._shares, strict=True)):
            order = np.random.Generator(np.random.PCG64([self._seed, epoch, number, 1])).permutation(rows)
            found.append(first + order[: round(share * len(every[0]))])
            first += len(self._parts[number + 1])
        return np.concatenate(found)


def augmented(
    encoded: EncodedPairs,
    pairs: Pairs,
    shares: Mapping[str, float],
    seed: int,
    encode: Callable[[Pairs], EncodedPairs],
) -> EncodedPairs:
    """Encoded pairs with those in the forms of data.augment, `encode`d as they were; not one that changes none."""
    forms = {}
    for form in shares:
        given = _changed(pairs, partial(formed_pairs, form=form), form, f" ({form})")
        if next(iter(given.read()), None) is not None:
            forms[form] = encode(given)
    return FormedPairs([encoded, *forms.values()], [shares[form] for form in forms], seed) if forms else encoded
