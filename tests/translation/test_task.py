"""The translation task: its batches can be taken up anywhere, and its validation disturbs nothing."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from s2s.device import choose_compute
from s2s.errors import DataError, RunError
from s2s.nn.weights import weights_of
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES
from s2s.text.subword import SubwordTokenizer
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.task import TranslationTask, check, find, prepare

RECIPE = """
task = "translation"

[data]
source = "letters"
target = "numbers"
train.pairs = [
    ["a b c d", "one two three four"], ["b c d a", "two three four one"], ["c d a b", "three four one two"],
    ["a c", "one three"], ["b d", "two four"], ["d", "four"], ["a", "one"], ["d c b a", "four three two one"],
]
validation.pairs = [["a b c d", "one two three four"], ["d", "four"], ["", "x"], ["a c", "one three"]]

[tokenizer]
model = "bpe"
vocabulary_size = 40
byte_fallback = false

[model]
embedding_size = 8
hidden_size = 8
dropout.embedding = 0.5

[training]
steps = 10
batch_tokens = 15
precision = "float32"
"""
Prepare = Callable[..., TranslationTask]


def recipe_with(*overrides: str) -> TranslationRecipe:
    return parse_recipe(RECIPE, TREES, origin="test", folder=Path("/"), overrides=overrides)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
def prepared(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Prepares the task of the recipe with some overrides."""
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))

    def prepare_with(*overrides: str) -> TranslationTask:
        recipe = recipe_with(*overrides)
        return prepare(recipe, run, choose_compute("cpu", "float32"), find(recipe, None))

    return prepare_with


@pytest.mark.parametrize("sampling", [0, 0.3])
def test_batches_can_be_taken_up_anywhere(prepared: Prepare, sampling: float) -> None:
    task = prepared(f"tokenizer.sampling={sampling}")
    count = task.batches_in_epoch(1)
    assert count > 2
    whole = list(task.batches(1, 0))
    assert len(whole) == count
    assert sum(len(batch.source) for batch in whole) == 8
    for skip in range(count + 1):
        rest = list(task.batches(1, skip))
        assert len(rest) == count - skip
        for batch, same in zip(rest, whole[skip:], strict=True):
            assert torch.equal(batch.source, same.source)
            assert torch.equal(batch.targets, same.targets)


def test_sampling_draws_other_pieces_in_each_epoch_of_the_same_text(prepared: Prepare) -> None:
    task = prepared("tokenizer.sampling=0.5")
    sampled = [
        sorted(tuple(row) for batch in task.batches(epoch, 0) for row in batch.targets.tolist()) for epoch in (0, 1)
    ]
    assert sampled[0] != sampled[1]
    texts = [sorted(task.target.decode(list(row)) for row in rows) for rows in sampled]
    assert texts[0] == texts[1] == sorted(target for _, target in task.recipe.data.train.pairs)  # type: ignore[union-attr]


def test_what_is_unknown_stays_unknown_when_it_is_sampled(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["a c? a", "one two? one", "c a", "two one"] * 3
    learned = SubwordTokenizer.train(lines, model="bpe", vocabulary_size=24, byte_fallback=False)
    monkeypatch.setattr("s2s.translation.inspection.train_tokenizers", lambda *_: (learned, learned))
    task = prepared("tokenizer.sampling=0.5", "data.train.pairs=[['a é c', 'one é two'], ['a c', 'one two']]")
    lines = [
        task.target.decode([t for t in row.tolist() if t not in (0, 2, 3)])
        for batch in task.batches(0, 0)
        for row in batch.targets
    ]
    assert sorted(" ".join(line.split()) for line in lines) == ["one two", "one ⁇ two"]


@pytest.mark.parametrize("model", ["unigram", "bpe"])
@pytest.mark.parametrize("tokens", [30, 60, 200])
def test_sampled_batches_stay_within_what_was_planned(prepared: Prepare, model: str, tokens: int) -> None:
    words = ["never", "minding", "the", "weather", "walking", "together", "to", "harbours"]
    lines = [" ".join(words[(start + step) % 8] for step in range(1 + start % 5)) for start in range(60)]
    pairs = json.dumps([[line, line[::-1]] for line in lines])
    task = prepared(
        "tokenizer.sampling=0.3", f"data.train.pairs={pairs}", f"tokenizer.model={model}",
        "tokenizer.vocabulary_size=70", f"training.batch_tokens={tokens}", "data.max_tokens=40",
    )  # fmt: skip
    longer = 0
    for epoch in range(3):
        for batch in task.batches(epoch, 0):
            for side in (batch.source, batch.targets):
                assert side.numel() <= tokens or len(side) == 1
                assert side.shape[1] <= 41
            longer += int(batch.target_lengths.sum())
    assert longer > 3 * (task.pairs.target.lengths.sum() + len(lines))


def test_validation_draws_no_random_numbers_and_leaves_the_weights(prepared: Prepare) -> None:
    task = prepared()
    task.model.eval()
    weights = {name: weight.clone() for name, weight in weights_of(task.model).items()}
    state = torch.get_rng_state()
    with torch.inference_mode():
        first, second = task.validate(), task.validate()
    assert first == second
    assert first.keys() == {"nats_per_token", "bleu", "chrf"}
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, weights[name]) for name, weight in weights_of(task.model).items())


def test_validation_loss_does_not_depend_on_the_batches(prepared: Prepare) -> None:
    losses = []
    for tokens in (1, 8, 1000):
        task = prepared(f"training.batch_tokens={tokens}")
        task.model.eval()
        with torch.inference_mode():
            losses.append(task.validate()["nats_per_token"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) == losses[2]


def test_blank_validation_lines_are_left_out_and_none_left_is_an_error(prepared: Prepare) -> None:
    assert len(prepared().validation) == 3
    with pytest.raises(DataError, match=r"data\.validation: the pairs in the recipe \(validation\) has no pairs"):
        prepared('data.validation.pairs=[["", "x"]]')


def test_tokenizers_are_trained_anew_until_there_is_a_checkpoint(prepared: Prepare, run: RunFolder) -> None:
    prepared()
    model = run.path / "tokenizer.source.model"
    whole = model.read_bytes()
    model.write_bytes(b"half")
    prepared()
    assert model.read_bytes() == whole
    run.last.mkdir()
    (run.last / "checkpoint.json").write_text("{}")
    model.unlink()
    with pytest.raises(RunError, match=r"tokenizer\.source\.model: there is no such file"):
        prepared()


WIDE = [["看５０％", "（是）：５０％"], ["１２", "你好，世界！"], ["ab", "plain"]]


@pytest.mark.parametrize("kind", ["subword", "words"])
def test_what_a_rule_changes_is_told_before_training_for_each_side(
    prepared: Prepare, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    pairs, source = json.dumps(WIDE), "tokenizer.source_normalization=nmt_nfkc"
    given = f"data.train.pairs={pairs}", f"tokenizer.kind={kind}", "tokenizer.vocabulary_size=80", source
    for target, told in (
        ("none", []),
        ("nfkc", ["target_normalization = nfkc changes 2 of 3 lines (66.67%), and"]),
    ):
        recipe = recipe_with(*given, f"tokenizer.target_normalization={target}")
        list(check(recipe, find(recipe, None)))
        dry = [record.message for record in caplog.records if " changes " in record.message]
        caplog.clear()
        prepared(*given, f"tokenizer.target_normalization={target}")
        begun = [record.message for record in caplog.records if " changes " in record.message]
        caplog.clear()
        assert dry == begun
        assert begun[0] == (
            "the pairs in the recipe (train) (letters): tokenizer.source_normalization = nmt_nfkc changes 2 of 3 lines"
            " (66.67%), and the model reads them so: １２ → 12 | 看５０％ → 看50%; none keeps them"
        )
        assert [part in each for part, each in zip(told, begun[1:], strict=True)] == [True] * len(told)


def test_the_decoder_path_is_said_with_its_reason(prepared: Prepare) -> None:
    assert prepared().path() == "decoder: whole sentences (nothing feeds back)"
    assert "input feeding" in prepared("model.input_feeding=true").path()
    assert "forcing rate" in prepared("training.teacher_forcing.rate=0.9").path()
    assert "forcing rate" in prepared("training.teacher_forcing.schedule=linear").path()


def test_the_forcing_rate_follows_its_schedule(prepared: Prepare) -> None:
    task = prepared("training.teacher_forcing.schedule=linear", "training.teacher_forcing.steps=10")
    assert [task.rates(step)["forcing_rate"] for step in (0, 5, 10, 20)] == pytest.approx([1, 0.5, 0, 0])


def test_a_limit_that_drops_many_pairs_is_a_warning_with_share_and_key(
    prepared: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = json.dumps([["x" * 121, "y" * 121]] * 20 + [["a", "b"], ["c", "d"]] * 100)
    prepared(f"data.train.pairs={pairs}", "tokenizer.kind=characters")
    (few,) = [record for record in caplog.records if "dropped" in record.getMessage()] or [None]
    caplog.clear()
    pairs = json.dumps([["x" * 121, "y" * 121]] * 20 + [["a", "b"], ["c", "d"]])
    prepared(f"data.train.pairs={pairs}", "tokenizer.kind=characters")
    (many,) = [record for record in caplog.records if "dropped" in record.getMessage()]
    assert few is None or few.levelname == "INFO"
    assert many.levelname == "WARNING"
    assert "20 pairs dropped, longer than 100 tokens (90.9% of 22); raise data.max_tokens" in many.getMessage()


def test_blank_validation_pairs_are_told_of(prepared: Prepare, caplog: pytest.LogCaptureFixture) -> None:
    prepared()
    assert "1 pairs left out, empty side" in caplog.text


def test_what_is_unknown_or_dropped_is_said(prepared: Prepare, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s2s")
    prepared("tokenizer.kind=words", "tokenizer.minimum_count=6", "data.max_tokens=3")
    assert "are unknown to the tokenizer; raise tokenizer.vocabulary_size" in caplog.text
    assert "the pairs in the recipe (train): 4 pairs dropped, longer than 3 tokens" in caplog.text
    assert "the pairs in the recipe (train): 4 pairs; the pairs in the recipe (validation): 3 pairs" in caplog.text


WORDS = (
    'data.train.pairs=[["a", "one"], ["b", "two"], ["c", "three"]]',
    'data.validation.pairs=[["a", "one"], ["b", "two"]]',
)


@pytest.mark.parametrize(
    ("metric", "decides"), [("bleu", "chrf"), ("chrf", "chrf"), ("nats_per_token", "nats_per_token")]
)
def test_bleu_decides_nothing_where_references_are_short(
    prepared: Prepare, caplog: pytest.LogCaptureFixture, metric: str, decides: str
) -> None:
    task = prepared(*WORDS, f"training.metric={metric}")
    assert task.recipe.training.metric == decides
    said = "data.validation: 100% of the references are shorter than four tokens, too short for BLEU"
    assert caplog.text.count(said) == (metric == "bleu")
    task.model.eval()
    with torch.inference_mode():
        scores = task.validate()
    assert scores["bleu"] is None
    assert isinstance(scores[decides], float)


def test_bleu_decides_where_half_of_the_references_have_four_tokens(prepared: Prepare) -> None:
    pairs = 'data.validation.pairs=[["a b c d", "one two three four"], ["d", "four"]]'
    assert prepared(pairs).recipe.training.metric == "bleu"


def test_few_or_blank_validation_pairs_are_said(prepared: Prepare, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s2s")
    prepared()
    assert "the pairs in the recipe (validation): 1 pairs left out, empty side" in caplog.text
    assert "data.validation: only 3 pairs; the best weights are chosen on them, by luck" in caplog.text


def test_references_in_another_script_than_the_name_says_are_told_of(
    prepared: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    prepared('data.validation.pairs=[["a", "古い家が川の近くにある"]]')
    assert "data.target is 'numbers', but 100% of the references' letters" in caplog.text
