"""Held-out splits of a corpus in one piece, which share no sentence, so that a test measures more than memory."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence

LARGEST_HELD_OUT_GROUP = 20
"""Pairs in the largest group of connected sentences that may be held out; larger ones hold near-copies."""


def hold_out(pairs: Sequence[tuple[str, str]], sizes: Mapping[str, int]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of "train" and of the named splits, no two of which share a source or a target sentence.

    Sentences that differ only in case, width or spacing count as one. Pairs that share a sentence, directly or through
    others, form a group, and a group is never divided: in the order of a hash, hence independent of the order of the
    pairs, groups fill the held-out splits up to their sizes. Groups of more than LARGEST_HELD_OUT_GROUP pairs and all
    that is left are "train". Within a split the pairs keep their order; exact duplicates are dropped.
    """
    kept = list(dict.fromkeys(pairs))
    forms = [(_compared(source), _compared(target)) for source, target in kept]
    groups = [group for group in _connected(forms) if len(group) <= LARGEST_HELD_OUT_GROUP]
    groups.sort(key=lambda group: hashlib.sha256("\t".join(min(forms[index] for index in group)).encode()).digest())
    room = dict(sizes)
    held_out: dict[int, str] = {}
    for group in groups:
        split = next((name for name in room if room[name] >= len(group)), None)
        if split is not None:
            room[split] -= len(group)
            held_out.update(dict.fromkeys(group, split))
    divided: dict[str, list[tuple[str, str]]] = {name: [] for name in ("train", *sizes)}
    for index, pair in enumerate(kept):
        divided[held_out.get(index, "train")].append(pair)
    return divided


def _compared(sentence: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", sentence).casefold())
    return " ".join(folded.split())


def _connected(forms: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Indices of the pairs that share a source or a target sentence, directly or through other pairs."""
    from networkx.utils import UnionFind  # takes 0.2 s to import: only where something is divided

    sentences = UnionFind()
    for source, target in forms:
        sentences.union((0, source), (1, target))
    groups: dict[tuple[int, str], list[int]] = {}
    for index, (source, _) in enumerate(forms):
        groups.setdefault(sentences[0, source], []).append(index)
    return list(groups.values())
