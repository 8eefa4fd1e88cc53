"""What must not change comes through once; unknown words are copied; lines unlike the training are flagged."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2s.errors import RunError
from s2s.export.export import export
from s2s.text.special import END, MASKS, UNKNOWN
from s2s.text.wordlist import PunctuationTokenizer
from s2s.translation.reading import Reading
from s2s.translation.recipe import Decoding
from s2s.translation.search.hypotheses import Hypothesis, SearchOptions
from s2s.translation.translator import Translator
from tests import small_runs
from tests.made_lines import intact, made_lines

OTHERS = "CALL NOW THREE One Two Three Rooms Now ｏｎｅ EU"
WORDS = ["one", "two", "three", "rooms", "is", "in", "the", ".", "?", "!", ",", "call", "now", *OTHERS.split()]
TOKENIZER = PunctuationTokenizer([*MASKS, *WORDS])


class Search:
    """An engine that gives chosen hypotheses of a source: its tokens, changed."""

    def __init__(self, *changes: Callable[[list[int]], list[int]]) -> None:
        self.changes = changes

    @contextmanager
    def entered(self) -> Iterator[None]:
        yield

    def search(
        self, sources: Sequence[list[int]], options: SearchOptions, *, nbest: int, **_: Any
    ) -> list[list[Hypothesis]]:
        return [[self._hypothesis(each, change, options) for change in self.changes[:nbest]] for each in sources]

    def _hypothesis(
        self, source: list[int], change: Callable[[list[int]], list[int]], options: SearchOptions
    ) -> Hypothesis:
        assert source[-1] == END
        tokens = change(source[:-1])
        attention = np.zeros((len(tokens) + 1, len(source)), np.float32)
        attention[range(len(tokens)), [source.index(each) if each in source else 0 for each in tokens]] = 1
        assert UNKNOWN not in tokens or UNKNOWN not in options.forbidden
        return Hypothesis(
            tokens, [-0.1] * (len(tokens) + 1), -0.1, False, attention if options.keep_attention else None
        )


def translator(*changes: Callable[[list[int]], list[int]], protect: bool = True, **decoding: Any) -> Translator:
    engine: Any = Search(*changes)
    return Translator(engine, TOKENIZER, TOKENIZER, Decoding(**decoding), reading=Reading("en", "ko", protect))


def same(tokens: list[int]) -> list[int]:
    return tokens


def lossy(tokens: list[int]) -> list[int]:
    """Without masks."""
    return [token for token in tokens if TOKENIZER.token(token) not in MASKS]


def doubling(tokens: list[int]) -> list[int]:
    return [*tokens, *tokens]


def turned(tokens: list[int]) -> list[int]:
    return tokens[::-1]


def test_the_best_hypothesis_with_each_piece_once_is_taken() -> None:
    line = "call 1,234 in {x}"
    for changes, text in [
        ((same,), "call 1,234 in {x}"),
        ((lossy, doubling, turned, same), "{x} in 1,234 call"),
        ((doubling, same), "call 1,234 in {x}"),
    ]:
        found = translator(*changes).translate([line])[0]
        assert (found.text, found.flags) == (text, ())
        assert set(found.tokens) >= {"1,234", "{x}"}
        assert [each.text for each in found.nbest] == [text]
    assert [each.text for each in translator(lossy, same, turned).translate([line], nbest=3)[0].nbest] == [
        line, "{x} in 1,234 call"
    ]  # fmt: skip


@pytest.mark.parametrize("beam", [1, 4])
def test_where_all_lose_a_piece_the_line_is_translated_around_them(beam: int) -> None:
    found = translator(lossy, doubling).translate(["call 1,234 in", "one two", "", "call now {x}"], beam=beam)
    assert [each.text for each in found] == ["call 1,234 in", "one two", "", "call now {x}"]
    assert ["around" in each.flags for each in found] == [True, False, False, True]


def test_a_line_of_nothing_but_pieces_stays() -> None:
    found = translator(doubling).translate(["12345", "{x}, 10:30!", "?"])
    assert [(each.text, "around" in each.flags) for each in found[:2]] == [("12345", True), ("{x}, 10:30!", True)]
    assert found[2].text == "??"


def test_a_prefix_is_refused_where_pieces_are_masked() -> None:
    with pytest.raises(RunError, match=r"prefix: the run was trained with data\.protect"):
        translator(same).with_prefix("one")


def test_more_pieces_than_masks_are_translated_around() -> None:
    line = " ".join(f"one {number}" for number in range(10, 11 + len(MASKS)))
    found = translator(turned).translate([line, "two 10"])
    assert (found[0].text, "around" in found[0].flags) == (line, True)
    assert (found[1].text, found[1].flags) == ("10 two", ())


def test_a_run_that_masks_nothing_translates_around_where_asked() -> None:
    plain = translator(turned, protect=False)
    given = ["one two", "one two 12 three now"]
    asked = plain.translate(given, protect=True)
    assert [each.text for each in asked] == ["two one", "two one 12 now three"]
    assert [each.flags for each in asked] == [(), ("around",)]


def test_made_lines_keep_their_pieces_whatever_a_search_does() -> None:
    chance = random.Random(3)

    def mangled(tokens: list[int]) -> list[int]:
        kept = [token for token in tokens if chance.random() < 0.7]
        return kept + chance.sample(tokens, chance.randint(0, min(2, len(tokens))))

    made = list(made_lines(400, seed=5))
    # of the words alone, since the stub tokenizer spells nothing
    found = translator(mangled, mangled, mangled, copy_unknown=True).translate([each.line for each in made], beam=3)
    whole, bad = intact(made, found)
    assert not bad
    assert whole > 400
    assert 0.05 < sum("around" in each.flags for each in found) / len(found) < 0.95


@pytest.mark.parametrize("kind", ["unigram", "words-punctuation", "characters"])
def test_made_lines_keep_their_pieces_in_both_engines(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    made = list(made_lines(12, seed=2))
    tokenizer = small_runs.TOKENIZERS[kind]
    run = small_runs.small_run(tmp_path / "run", {}, tokenizer, {"beam": 2}, data={"protect": [r"\bAB\d+"]})
    export(run, tmp_path / "bundle", "onnx", "float32")
    both = [Translator.load(place, device="cpu").translate([*(each.line for each in made), "AB7 one"])
            for place in (run, tmp_path / "bundle")]  # fmt: skip
    assert [each.text for each in both[0]] == [each.text for each in both[1]]
    assert "AB7" in both[1][-1].text
    assert not intact(made, both[0][:-1])[1]


def test_unknown_words_are_copied_from_where_the_model_looks() -> None:
    line = "call Zyx in 1,234 Abc"
    found = translator(same, turned).copying().translate([line], nbest=2)[0]
    assert found.text == "call Zyx in 1,234 Zyx"  # the stub looks at the first
    assert [each.text for each in found.nbest][1].startswith("Zyx 1,234 in Zyx")
    assert found.attention is None
    assert (found.unknown, found.flags) == (("Zyx", "Abc"), ("unknown",))
    assert translator(same, copy_unknown=True).translate([line])[0].text == found.text


def test_copying_is_refused_for_subwords(tmp_path: Path) -> None:
    run = small_runs.small_run(tmp_path / "run")
    with pytest.raises(RunError, match="--copy-unknown: is for words and characters; subwords"):
        Translator.load(run, device="cpu").copying()


def test_copying_is_refused_without_attention() -> None:
    blind = translator(same).copying()
    blind.engine.search = lambda sources, *_, **__: [[Hypothesis([UNKNOWN], [-1.0], -1.0, True)] for _ in sources]  # type: ignore[method-assign]
    with pytest.raises(RunError, match="copy_unknown: needs a model with attention"):
        blind.translate(["Zyx"])


def test_lines_unlike_the_training_are_flagged_with_their_texts() -> None:
    for line, flags in [
        ("one in two", ()),
        ("one two. three rooms.", ("sentences",)),
        ("CALL NOW THREE", ("capitals",)),
        ("One Two Three Rooms Now", ("title",)),
        ("ｏｎｅ", ("full_width",)),
        ("EU", ()),
        ("call {x}", ()),
    ]:
        assert translator(same).translate([line])[0].flags == flags
    trained = translator(same)
    trained.reading = trained.reading._replace(forms=("capitals",))
    assert [each.flags for each in trained.translate(["CALL NOW THREE", "ｏｎｅ"])] == [(), ("full_width",)]


def test_a_placeholder_that_the_source_has_not_is_told() -> None:
    tokenizer = PunctuationTokenizer(["call", "{", "name", "}"])
    name = tokenizer.encode("{ name }")
    engine: Any = Search(lambda tokens: [*tokens, *name])
    tokenizer.join = lambda units: "".join(units)  # type: ignore[method-assign, assignment]
    found = Translator(engine, tokenizer, tokenizer, Decoding()).translate(["call", "{name}"])
    assert [each.text for each in found] == ["call{name}", "{name}{name}"]
    assert [each.invented for each in found] == [("{name}",)] * 2
    assert all("invented" in each.flags for each in found)
