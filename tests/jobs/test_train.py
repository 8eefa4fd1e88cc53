"""One training from Python: what it records, and that what could not begin leaves nothing."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from s2s.errors import DataError, RecipeError, RunError, S2SError, TrainingError
from s2s.jobs.train import train
from s2s.jobs.variants import train_variants
from s2s.recipe.load import differences, parse_recipe
from s2s.run import Metrics, RunFolder
from s2s.tasks import TREES, recipe_of
from s2s.translation.recipe import TranslationRecipe

RECIPE = """
task = "translation"

[data]
source = "letters"
target = "numbers"
train.pairs = [["a b c d", "one two three four"], ["b c d a", "two three four one"], ["a c", "one three"]]
validation.pairs = [["a b c d", "one two three four"]]
test.pairs = [["b c d a", "two three four one"]]

[tokenizer]
kind = "words"

[model]
embedding_size = 8
hidden_size = 8

[training]
steps = 4
batch_tokens = 20
validate_every = 100
precision = "float32"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


def recipe_with(*overrides: str) -> TranslationRecipe:
    return parse_recipe(RECIPE, TREES, origin="test", folder=Path("/"), overrides=overrides)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(path / "cache"))
        train(recipe_with(), path / "run", device="cpu", command=["s2s", "train", "x"])
    return path / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run."""
    return RunFolder(Path(shutil.copytree(trained, tmp_path / "run")))


def test_the_run_records_its_recipe_environment_and_scores(run: RunFolder) -> None:
    kept = parse_recipe(run.recipe.read_text(), TREES, origin="run", folder=Path("/elsewhere"))
    assert differences(recipe_with(), kept) == []
    environment = json.loads(run.environment.read_text())
    assert environment["command"] == ["s2s", "train", "x"]
    assert environment["data"].keys() == {"train", "validation", "test"}
    assert environment["versions"].keys() == {"s2s", "torch", "sentencepiece", "sacrebleu", "numpy"}
    assert json.loads(run.scores.read_text())["step"] == 4


def test_a_recipe_without_test_pairs_is_not_scored(tmp_path: Path) -> None:
    recipe = recipe_with("data.test=")
    run = train(recipe, tmp_path / "run", device="cpu")
    assert run.best.exists()
    assert not run.scores.exists()


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("data.train.source=/nowhere/a", S2SError),
        ("tokenizer.minimum_count=9", DataError),
        ("training.accumulate=99", TrainingError),
        ('data.validation.pairs=[["", ""]]', DataError),
    ],
)
def test_what_cannot_begin_leaves_no_folder(tmp_path: Path, override: str, error: type[S2SError]) -> None:
    overrides = [override, "data.train.target=/nowhere/b"] if "nowhere" in override else [override]
    with pytest.raises(error):
        train(recipe_with(*overrides), tmp_path / "runs" / "run", device="cpu")
    assert not (tmp_path / "runs" / "run").exists()


SUBWORDS = ("tokenizer.kind=subword", "tokenizer.vocabulary_size=30", "tokenizer.byte_fallback=false")


def test_subwords_of_earlier_versions_stay_as_they_were_normalised(tmp_path: Path) -> None:
    """Their recipes named no rule: both sides had that of SentencePiece, and the model's file has it still."""
    old = "tokenizer.source_normalization=nmt_nfkc", "tokenizer.target_normalization=nmt_nfkc"
    run = train(recipe_with(*SUBWORDS, *old), tmp_path / "run", device="cpu")
    assert not list(run.path.glob("tokenizer.source.*"))
    text = "".join(
        line for line in run.recipe.read_text().splitlines(keepends=True) if '_normalization = "n' not in line
    )
    assert text.count("normalization") == 1  # length_normalization
    model, before = (run.path / "tokenizer.model").read_bytes(), run.best.read_bytes()
    for number in ("", "1"):
        run.recipe.write_text(text)
        run.format.write_text(number) if number else run.format.unlink()
        kept = recipe_of(run, whole=True).tokenizer
        assert (kept.source_normalization, kept.target_normalization) == ("nmt_nfkc", "nmt_nfkc")
        train(recipe_with(*SUBWORDS), run.path, resume=True, device="cpu")
        assert run.best.read_bytes() == before
        with pytest.raises(RunError, match=r'cannot change tokenizer.target_normalization: "nmt_nfkc" -> "nfc"'):
            train(recipe_with(*SUBWORDS, "tokenizer.target_normalization=nfc"), run.path, resume=True, device="cpu")
    train(recipe_with(*SUBWORDS, "training.steps=5"), run.path, resume=True, device="cpu")
    assert 'target_normalization = "nmt_nfkc"' in run.recipe.read_text()
    assert (run.path / "tokenizer.model").read_bytes() == model
    assert recipe_of(run).tokenizer.target_normalization == "nmt_nfkc"


def test_a_run_that_could_not_go_on_keeps_what_it_has(run: RunFolder) -> None:
    before = sorted(path.name for path in run.path.rglob("*"))
    (run.path / "tokenizer.json").write_text("damaged")
    with pytest.raises(RunError, match=r"tokenizer\.json: the tokenizer cannot be read"):
        train(recipe_with("training.steps=6"), run.path, resume=True, device="cpu")
    assert sorted(path.name for path in run.path.rglob("*")) == before


def test_a_bad_device_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(S2SError, match="--device cuda:99"):
        train(recipe_with(), tmp_path / "run", device="cuda:99")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lost", ["scores.json", "plots/curves.png", "report.html"])
def test_scores_and_plots_that_a_kill_prevented_are_made_by_resuming(run: RunFolder, lost: str) -> None:
    best = run.best.stat().st_mtime_ns
    (run.path / lost).unlink()
    train(recipe_with(), run.path, resume=True, device="cpu")
    assert (run.path / lost).exists()
    assert run.best.stat().st_mtime_ns == best


def test_scores_of_earlier_weights_are_replaced(run: RunFolder) -> None:
    scores = json.loads(run.scores.read_text())
    run.scores.write_text(json.dumps({**scores, "step": 1, "examples": -1}))
    train(recipe_with(), run.path, resume=True, device="cpu")
    assert json.loads(run.scores.read_text()) == {**scores, "run": str(run)}


def test_a_vocabulary_that_does_not_fit_is_a_recipe_error_and_leaves_nothing(tmp_path: Path) -> None:
    recipe = recipe_with("tokenizer.kind=subword", "tokenizer.vocabulary_size=9")
    with pytest.raises(RecipeError, match=r"tokenizer\.vocabulary_size: 9 pieces cannot hold the characters"):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_with_nothing_to_do_no_byte_changes(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / ".hidden").touch()

    def state() -> dict[Path, tuple[bytes, int]]:
        files = [path for path in run.path.rglob("*") if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    train(recipe_with(), run.path, resume=True, device="cpu", command=["another"])
    train(recipe_with("training.steps=2", "decoding.beam=2"), run.path, resume=True, device="cpu")
    assert state() == before


def test_a_training_goes_on_where_its_files_are_now(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for split in ("train", "validation"):
            (tmp_path / place / f"{split}.tsv").write_text("letters\tnumbers\na b\tone two\nb a\ttwo one\n")

    def recipe(place: str, steps: int) -> TranslationRecipe:
        tables = [f"data.{split}={tmp_path}/{place}/{split}.tsv" for split in ("train", "validation")]
        return recipe_with(*tables, "data.test=", f"training.steps={steps}")

    train(recipe("here", 2), tmp_path / "run", device="cpu")
    moved = Path(shutil.move(tmp_path / "run", tmp_path / "moved"))
    shutil.rmtree(tmp_path / "here")
    train(recipe("there", 4), moved, resume=True, device="cpu")
    assert json.loads((moved / "last" / "checkpoint.json").read_text())["progress"]["step"] == 4
    (tmp_path / "there" / "train.tsv").write_text("letters\tnumbers\na b\tone two\nb a\tTWO\n")
    with pytest.raises(RunError, match=r"the text of data.train \(train.tsv\) has changed since the run began"):
        train(recipe("there", 6), moved, resume=True, device="cpu")


def test_a_folder_in_use_is_refused_before_anything_is_looked_at(run: RunFolder) -> None:
    with run.locked(["s2s", "train", "letters"]):
        for resume in (False, True):
            with pytest.raises(RunError, match=r"run: process \d+ on .* \(s2s train letters\) is writing into it"):
                train(recipe_with(), run.path, resume=resume, device="cpu")


def test_one_of_several_processes_does_not_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(RunError, match="this is one of 4 processes"):
        train(recipe_with(), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_more_steps_say_what_the_learning_rate_does_and_a_restart_lowers_it(
    run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="s2s")
    steps = ("training.warmup_steps=0", "training.log_every=1")
    shutil.copytree(run.path, run.path / "copy")
    train(recipe_with("training.steps=8", *steps), run.path, resume=True, device="cpu")
    said = caplog.text
    assert (
        "the learning rate is 0.001 (training.learning_rate is 0.002), at the end 7.61e-05, by the schedule co" in said
    )
    assert "with a raised limit and training.restarts=1 training.learning_rate=N, N below 0.002, a new lower cu" in said
    caplog.clear()
    copy = RunFolder(run.path / "copy")
    lower = ("training.steps=8", "training.restarts=1", "training.learning_rate=0.0005", *steps)
    train(recipe_with(*lower), copy.path, resume=True, device="cpu")
    assert "the weights of step 4, the best, go on with a new optimizer" in caplog.text
    rates = [
        row["learning_rate"] for row in Metrics(copy.metrics).read() if row.get("loss") is not None and row["step"] > 4
    ]
    assert rates == pytest.approx([0.0005 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)])
    with pytest.raises(RunError, match=r"training.restarts: the run has had 1 \(given 0\)"):
        train(recipe_with("training.steps=9"), copy.path, resume=True, device="cpu")


@pytest.mark.parametrize("call", [train, train_variants])
def test_the_name_of_a_recipe_is_no_recipe(call: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"recipe: what load_recipe gives is wanted \(given 'tiny-en-ko'\)"):
        call("tiny-en-ko", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_test_without_pairs_is_said_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.test: .* has no pairs to score"):
        train(recipe_with('data.test.pairs=[["a", " "]]'), tmp_path / "run", device="cpu")
