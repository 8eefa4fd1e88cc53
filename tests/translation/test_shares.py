"""Parts of training pairs: their shares of an epoch, the tags of their sources, and that a run resumes among them."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.device import choose_compute
from s2s.errors import DataError, RecipeError
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES
from s2s.text.batches import Batch
from s2s.translation.pairs import held_pairs
from s2s.translation.reading import Reading
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.shares import SharedPairs, Shares
from s2s.translation.task import TranslationTask, find, prepare
from s2s.translation.translator import Translator

RECIPE = """
task = "translation"

[data]
source = "letters"
target = "numbers"
train = [
    {from = {pairs = [["a b c d", "one two three four"], ["b c d", "two three four"], ["c d a", "three four one"]]}},
    {from = {pairs = [["a c", "one three"], ["b", "two"]]}, tag = "x", share = 0.3},
    {from = {pairs = [["a b", "uno due"]]}, tag = "y", share = 0.2},
]
validation = [
    {from = {pairs = [["a b", "one two"], ["", "blank"]]}}, {from = {pairs = [["a b", "uno due"]]}, tag = "y"},
]

[tokenizer]
kind = "words"

[model]
embedding_size = 8
hidden_size = 8

[training]
steps = 4
batch_tokens = 12
precision = "float32"
"""
Prepare = Callable[..., TranslationTask]


def recipe_with(*overrides: str) -> TranslationRecipe:
    return parse_recipe(RECIPE, TREES, origin="test", folder=Path("/"), overrides=overrides)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Prepares the task of the recipe with some overrides, in a run folder by name."""
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))

    def prepare_with(*overrides: str, run: str = "run") -> TranslationTask:
        recipe, folder = recipe_with(*overrides), RunFolder(tmp_path / run)
        folder.path.mkdir(exist_ok=True)
        return prepare(recipe, folder, choose_compute("cpu", "float32"), find(recipe, None))

    return prepare_with


def lines_of(task: TranslationTask, batch: Batch) -> list[tuple[str, str]]:
    """Tokens of each source, and the target's text."""
    sources = [" ".join(task.source.token(token) for token in row if token > 3) for row in batch.source.tolist()]
    return list(zip(sources, map(task.target.decode, batch.targets.tolist()), strict=True))


# Shares


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_shares_are_reached_but_for_a_row_of_each_part(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    tokens = [np.array(data.draw(st.lists(st.integers(2, 30), min_size=1, max_size=40))) for _ in range(count)]
    with_shares = data.draw(st.integers(0, count))
    shares = [data.draw(st.floats(0.01, 0.9)) if part < with_shares else None for part in range(count)]
    given_sum, whole = sum(share or 0.0 for share in shares), with_shares == count
    if given_sum > 0.95 and not whole:
        shares = [None if share is None else share / given_sum * 0.9 for share in shares]
    plan = Shares(tokens, shares, seed=data.draw(st.integers(0, 3)))
    ends = np.cumsum([len(part) for part in tokens])
    for epoch in range(2):
        rows = plan.rows(epoch)
        assert np.array_equal(rows, plan.rows(epoch))
        part_of, lengths = np.searchsorted(ends, rows, side="right"), np.concatenate(tokens)[rows]
        read = [int(lengths[part_of == part].sum()) for part in range(count)]
        wanted = sum(sum(map(int, part)) * plan.parts[number].times for number, part in enumerate(tokens))
        for number, share in enumerate(shares):
            if share is None:
                assert sorted(rows[part_of == number]) == list(range(ends[number] - len(tokens[number]), ends[number]))
            else:
                share = share / given_sum if whole else share  # where each part has one, they are in proportion
                assert abs(read[number] - share * wanted) <= tokens[number].max()
            times = Counter(rows[part_of == number].tolist()).values()
            assert not times or max(times) - min(times) <= 1
    assert sum(part.share for part in plan.parts) == pytest.approx(1.0)
    if whole:
        assert wanted == pytest.approx(sum(int(part.sum()) for part in tokens))


def test_a_part_read_in_part_is_another_sample_in_each_epoch() -> None:
    plan = Shares([np.full(50, 4), np.full(100, 4)], [None, 0.2], seed=1)
    samples = [set(plan.rows(epoch)[50:].tolist()) for epoch in range(6)]
    assert [len(sample) for sample in samples] == [12] * 6  # 50 of 4 tokens are 0.8 of the epoch
    assert len(set.union(*samples)) > 40
    assert set(Shares([np.full(50, 4), np.full(100, 4)], [None, 0.2], seed=2).rows(0)[50:].tolist()) != samples[0]


def test_a_part_that_would_be_read_thousands_of_times_an_epoch_is_refused(prepared: Prepare) -> None:
    long = "data.train=[{from={pairs=[['a b', 'c d']]}}, {from={pairs=[['a', 'b']]}, share=%s}]"
    prepared(long % 0.99, "data.validation.pairs=[['a', 'b']]")
    with pytest.raises(RecipeError, match=r"be read 19,998 times an epoch by its share, and at most 1,000 are allowed"):
        prepared(long % 0.9999, "data.validation.pairs=[['a', 'b']]", run="other")


def test_each_batch_is_read_in_the_shares_of_the_parts(prepared: Prepare) -> None:
    task = prepared()
    assert isinstance(task.pairs, SharedPairs)
    counts = Counter[str]()
    for batch in task.batches(0, 0):
        for source, target in lines_of(task, batch):
            counts[source[:7]] += len(source.split()) + len(target.split()) - ("<" in source)
    total = counts.total()
    assert counts["<tag:x>"] / total == pytest.approx(0.3, abs=0.1)
    assert counts["<tag:y>"] / total == pytest.approx(0.2, abs=0.1)


def test_parts_without_share_and_tag_are_one_corpus(prepared: Prepare) -> None:
    one, two = '["a b c", "one two three"], ["b", "two"]', '["c", "three"]'
    joined = prepared(f"data.train={{pairs=[{one}, {two}]}}", "data.validation.pairs=[['a', 'b']]", run="joined")
    listed = prepared(
        f"data.train=[{{from={{pairs=[{one}]}}}}, {{from={{pairs=[{two}]}}}}]", "data.validation.pairs=[['a', 'b']]"
    )
    assert joined.source.fingerprint == listed.source.fingerprint
    for epoch in range(3):
        batches = zip(joined.batches(epoch, 0), listed.batches(epoch, 0), strict=True)
        assert all(torch.equal(a.source, b.source) and torch.equal(a.targets, b.targets) for a, b in batches)


@pytest.mark.parametrize("more", [(), ("tokenizer.kind=subword", "tokenizer.vocabulary_size=40",
                                       "tokenizer.byte_fallback=false", "tokenizer.sampling=0.3")])  # fmt: skip
def test_batches_of_parts_can_be_taken_up_anywhere_and_two_runs_are_equal(
    prepared: Prepare, more: tuple[str, ...]
) -> None:
    task, other = prepared(*more), prepared(*more, run="other")
    for epoch in range(2):
        whole = list(task.batches(epoch, 0))
        assert len(whole) == task.batches_in_epoch(epoch) > 2
        for skip in (0, 1, len(whole)):
            for batch, same in zip(other.batches(epoch, skip), whole[skip:], strict=True):
                assert torch.equal(batch.source, same.source)
                assert torch.equal(batch.targets, same.targets)
        tagged = {row[0] for batch in whole for row in batch.source.tolist()}
        assert {task.source.symbols["tag:x"], task.source.symbols["tag:y"]} < tagged
        assert all(batch.source.shape[1] * len(batch.source) <= 12 or len(batch.source) == 1 for batch in whole)


def test_how_often_each_part_is_read_is_logged(prepared: Prepare, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    prepared()
    told = [message for message in caplog.messages if message.startswith("data.train: the pairs in the recipe: ")]
    assert [message.removeprefix("data.train: the pairs in the recipe: ") for message in told] == [
        "3 pairs, 20 tokens, read 1 times an epoch, 50.0% of its tokens",
        "2 pairs, 6 tokens, read 2 times an epoch, 30.0% of its tokens",
        "1 pairs, 4 tokens, read 2 times an epoch, 20.0% of its tokens",
    ]


def test_a_tag_that_the_vocabulary_lacks_is_an_error(prepared: Prepare, tmp_path: Path) -> None:
    task = prepared()
    (tmp_path / "run" / "last").mkdir()
    checkpoint = RunFolder(tmp_path / "run").checkpoint
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.write_text("{}")  # so that the run's tokenizers are read
    assert task.source.symbols.keys() == {"tag:x", "tag:y"}
    with pytest.raises(RecipeError, match=r"data\.train: z is no tag of the source's vocabulary \(x, y\)"):
        prepared(
            "data.train=[{from={pairs=[['a', 'one']]}}, {from={pairs=[['a', 'one']]}, tag='z'}]",
            "data.validation.pairs=[['a', 'one']]",
        )


# Tags


def test_validation_pairs_have_their_tags(prepared: Prepare) -> None:
    task = prepared()
    assert task.validation == ([("a b", "one two"), ("a b", "uno due")], [None, "y"], 1)
    assert task.validation == held_pairs(find(task.recipe, None)["validation"])
    task.model.eval()
    with torch.inference_mode():
        scores = task.validate()
        task.model.encoder.embedding.weight[task.source.symbols["tag:y"]] += 1
        assert task.validate()["nats_per_token"] != scores["nats_per_token"]


def translator(task: TranslationTask, **ways: Any) -> Translator:
    from s2s.translation.engine import TorchEngine

    engine = TorchEngine([task.model.eval()], task.compute)
    return Translator(engine, task.source, task.target, task.recipe.decoding, **ways)


def test_a_tag_is_the_first_token_and_counts_in_no_limit(prepared: Prepare) -> None:
    model = translator(prepared("decoding.min_length_ratio=1.0", "decoding.max_length_ratio=1.0"), learned_tokens=2)
    plain, tagged = model.translate(["a b"])[0], model.translate(["a b"], tag="x")[0]
    assert plain.source_tokens == ("a", "b", "</s>")
    assert tagged.source_tokens == ("<tag:x>", "a", "b", "</s>")
    assert "long" not in tagged.flags
    assert "long" in model.translate(["a b c"], tag="x")[0].flags
    asked: list[Any] = []
    model.engine.search = lambda *_, **limits: asked.append(limits) or []  # type: ignore[method-assign]
    for tag in (None, "x"):
        model._search([model.encode("a b", tag)], 1, 1, attention=False)
    assert asked[0] == asked[1]


def test_each_line_may_have_its_own_tag_whatever_its_batch(prepared: Prepare) -> None:
    model = translator(prepared())
    lines, tags = ["a b", "a b", "", "a b"], ["x", None, "y", "y"]
    together = model.translate(lines, tag=tags)
    for line, tag, found in zip(lines, tags, together, strict=True):
        alone = model.translate([line], tag=tag)[0]
        assert (alone.text, alone.source_tokens) == (found.text, found.source_tokens)
        assert alone.score == pytest.approx(found.score, abs=1e-5)


def test_no_text_spells_a_tag_and_no_output_has_one(prepared: Prepare) -> None:
    task = prepared()
    tag = task.target.symbols["tag:x"]
    with torch.inference_mode():
        task.model.decoder.output.bias[tag] = 100.0
    assert translator(task).translate(["<tag:x> a"])[0].source_tokens[0] == "<unk>"
    found = translator(task).translate(["a b"], nbest=3)[0]
    assert "<tag:x>" not in found.tokens
    assert len(found.tokens) > 1  # it is not for want of other tokens


def test_wrong_tags_are_named(prepared: Prepare) -> None:
    task = prepared()
    model, always = translator(task), translator(task, reading=Reading(always_tagged=True))
    with pytest.raises(DataError, match=r"tag: z is none of the training's tags \(x, y\)"):
        model.translate(["a"], tag="z")
    with pytest.raises(DataError, match="tag: each source of the training had one, so one is needed; give one of x, y"):
        always.translate(["a"])
    with pytest.raises(ValueError, match=r"tag: must be one for all lines, or one for each \(given 1 for 2\)"):
        model.translate(["a", "b"], tag=["x"])
    tagged = recipe_with("data.train=[{from='a/b', tag='x'}]", "data.validation=[{from='a/c', tag='x'}]")
    assert tagged.data.always_tagged
