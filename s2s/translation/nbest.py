"""The best hypotheses of each source: no two of one text, and each with the masks of its source."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from s2s.text.placeables import Masked
from s2s.translation.search.hypotheses import Hypothesis

Search: TypeAlias = Callable[[Sequence[list[int]], int, int], list[list[Hypothesis]]]
"""sources, beam, nbest -> the best hypotheses of each source, best first"""
Text: TypeAlias = Callable[[Sequence[int]], str]


def different(
    search: Search, text: Text, sources: Sequence[list[int]], beam: int, nbest: int, wider: int = 2
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source, no two of one text, as two segmentations of a word are.

    Where that leaves fewer than `nbest`, beams twice as wide are searched, `wider` times at most.
    """
    if nbest == 1:
        return search(sources, beam, 1)
    found = []
    for hypotheses in search(sources, beam, beam):
        texts: dict[str, Hypothesis] = {}
        for each in hypotheses:
            texts.setdefault(text(each.tokens), each)
        found.append([*texts.values()][:nbest])
    few = [index for index, hypotheses in enumerate(found) if len(hypotheses) < nbest]
    if few and wider:
        again = different(search, text, [sources[index] for index in few], 2 * beam, nbest, wider - 1)
        for index, hypotheses in zip(few, again, strict=True):
            found[index] = hypotheses
    return found


def with_masks(
    search: Search, text: Text, given: Sequence[tuple[Masked, list[int]]], beam: int, nbest: int
) -> list[list[Hypothesis]]:
    """The best hypotheses that have each mask of their source once; none where all in the beam lose or double one.

    `given` are sources as they are read, and their tokens.
    """

    def kept_in(masked: Masked, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        return [each for each in hypotheses if masked.keeps_all(text(each.tokens))]

    found = different(search, text, [source for _, source in given], beam, nbest)
    kept = [kept_in(masked, hypotheses) for (masked, _), hypotheses in zip(given, found, strict=True)]
    lost = [place for place, hypotheses in enumerate(kept) if not hypotheses]
    if lost:
        wide = search([given[place][1] for place in lost], beam, beam)
        for place, hypotheses in zip(lost, wide, strict=True):
            masked = given[place][0]
            kept[place] = kept_in(masked, hypotheses)[:nbest] if masked.pieces else list(found[place])
    return kept
