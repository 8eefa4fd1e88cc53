"""What a translator's outputs say about it, and sentences as a report shows them."""

import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.batches import collate
from s2s.translation.engine import TorchEngine
from s2s.translation.report import differences, predictions, recall_by_frequency, words_of
from s2s.translation.translator import Translator

RUN = Path(__file__).parents[1] / "runs" / "tiny-en-ko"
PAIRS = [("good morning", "좋은 아침이에요"), ("thank you very much", "정말 고마워요")]
LINES = st.lists(st.sampled_from(["a", "b", "<b>", "&amp;", "好"]), max_size=8).map(" ".join)


def without(tag: str, marked: str) -> str:
    return re.sub(f"<{tag}>.*?</{tag}>", "", marked)


@given(LINES, LINES)
def test_marked_sentences_are_the_sentences_and_what_is_not_marked_is_common(reference: str, output: str) -> None:
    left, right = differences(reference, output, unspaced=False)
    assert left.striptags() == reference
    assert right.striptags() == output
    assert without("del", left).split() == without("ins", right).split()


def test_what_is_marked_is_what_differs() -> None:
    assert differences("the cat sat", "the dog sat", unspaced=False) == (
        "the <del>cat</del> sat",
        "the <ins>dog</ins> sat",
    )
    assert differences("我是猫", "我是狗", unspaced=True) == ("我是<del>猫</del>", "我是<ins>狗</ins>")
    assert differences("a", "", unspaced=False) == ("<del>a</del>", "")


def test_words_have_no_punctuation_at_their_ends() -> None:
    assert words_of("“Well,” it's - a ¿test?", unspaced=False) == ["Well", "it's", "a", "test"]
    assert words_of("好，吗？", unspaced=True) == ["好", "吗"]


def test_recall_counts_a_word_as_often_as_both_have_it() -> None:
    frequencies = Counter({"the": 1000, "cat": 4, "sat": 1})
    pairs = [("the cat the dog", "the cat the the sat"), ("a", "zebra")]
    assert recall_by_frequency(pairs, frequencies, unspaced=False) == [
        ("never", 1, 0),
        ("1", 1, 0),
        ("2–5", 1, 1),
        (">500", 3, 2),
    ]


def test_predictions_are_those_of_the_model_after_the_reference() -> None:
    translator = Translator.load(RUN, device="cpu")
    assert isinstance(translator.engine, TorchEngine)
    model = translator.engine.models[0]
    outputs = [{"source": source, "reference": target} for source, target in PAIRS]
    probabilities, right = predictions(translator, outputs)
    encoded = [(translator.source.encode(source), translator.target.encode(target)) for source, target in PAIRS]
    assert len(probabilities) == len(right) == sum(len(target) + 1 for _, target in encoded)
    assert right.all()  # learned by heart
    nats = 0.0
    for source, target in encoded:
        batch = collate([source], [target])
        lengths = {"target_lengths": batch.target_lengths}
        nats += float(model.loss(batch.source, batch.source_lengths, batch.inputs, batch.targets, **lengths).nats)
    assert sum(-math.log(each) for each in probabilities) == pytest.approx(nats, abs=1e-5)
