"""The best hypotheses of a source, of a search that says the same whatever the source is."""

from collections.abc import Sequence

from s2s.text.placeables import Masked
from s2s.text.special import MASKS
from s2s.translation.nbest import different, with_masks
from s2s.translation.search.hypotheses import Hypothesis

FOUND = ["a", "A", f"b{MASKS[0]}", f"B{MASKS[0]}", "c"]
"""Texts by rank; capitals are other segmentations of the small letters."""


def text(tokens: Sequence[int]) -> str:
    return FOUND[tokens[0]].lower()


def search(sources: Sequence[list[int]], beam: int, nbest: int) -> list[list[Hypothesis]]:
    ranked = [Hypothesis([rank], [], -float(rank), False) for rank in range(min(beam, len(FOUND)))]
    return [ranked[:nbest] for _ in sources]


def ranks(found: list[list[Hypothesis]]) -> list[list[int]]:
    return [[hypothesis.tokens[0] for hypothesis in each] for each in found]


def test_no_two_are_of_one_text_and_the_beam_is_widened_until_there_are_enough() -> None:
    assert ranks(different(search, text, [[1], [2]], 2, 2)) == [[0, 2]] * 2
    assert ranks(different(search, text, [[1]], 2, 2, wider=0)) == [[0]]
    assert ranks(different(search, text, [[1]], 2, 1)) == [[0]]


def test_a_hypothesis_has_each_mask_of_its_source_once() -> None:
    masked, plain = (Masked(f"x{MASKS[0]}", ("12",)), [1]), (Masked("x"), [2])
    assert ranks(with_masks(search, text, [masked, plain], 4, 1)) == [[2], [0]]
    assert ranks(with_masks(search, text, [masked], 2, 1)) == [[]], "none in the beam has it"
