"""Trainings that start from a finished run, in tests/runs: of each task, whatever happens to the run after that."""

import json
import logging
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s2s.cli.commands import main
from s2s.errors import RecipeError, RunError
from s2s.export.export import export
from s2s.jobs.train import train
from s2s.nn.weights import load_tensors
from s2s.run import Metrics, RunFolder
from s2s.tasks import TREES, load_recipe, recipe_of
from s2s.training.trainer import Trainer
from s2s.translation.translator import Translator

DATA = {
    "tiny-en-ko": """
task = "translation"
data.source = "en"
data.target = "ko"
data.train.pairs = [["good morning", "정말 고마워요"], ["one coffee please", "커피 한 잔 주세요"], ["x", "한 잔"]]
data.validation.pairs = [["good morning", "정말 고마워요"], ["one coffee", "커피"]]
data.also_validate.old.pairs = [
    ["good morning", "좋은 아침이에요"],
    ["thank you very much", "정말 고마워요"],
    ["where is the station ?", "역이 어디예요 ?"],
    ["one coffee please", "커피 한 잔 주세요"],
]
training.batch_tokens = 8
""",
    "words-one-to-five": """
task = "language"
data.train = {text = "five , four , three , two , one , ", repeat = 20}
data.validation = {text = "five , four , three , two , one , ", repeat = 3}
data.also_validate.old = {text = "one , two , three , four , five , ", repeat = 100}
data.window = 20
data.rows = 2
""",
    "sunspots": """
task = "forecast"
data.series = "new.csv"
data.also_validate.old = "sunspots/all"
data.time = "year"
""",
}
"""A recipe for each run: other data, and the run's own validation data as `old`."""
SETTINGS = """
training.start = "../runs/{}"
training.steps = 6
training.validate_every = 3
training.save_every = 1
training.log_every = 2
training.warmup_steps = 0
training.moving_average = 0.5
training.average_last = 2
training.precision = "float32"
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs, and one of recipes beside it."""
    shutil.copytree(Path(__file__).parents[1] / "runs", tmp_path / "runs")
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for shown in ("jobs.train.plot_curves", "jobs.train.write_report", *(f"{task}.task.draw" for task in TREES)):
        monkeypatch.setattr(f"s2s.{shown}", lambda *arguments, **more: None)
    (tmp_path / "recipes").mkdir()
    rows = [f"{1900 + year},{(year * 37) % 100 + 1}" for year in range(80)]
    (tmp_path / "recipes" / "new.csv").write_text("\n".join(["year,sunspots", *rows]))
    for name, data in DATA.items():
        (tmp_path / "recipes" / f"{name}.toml").write_text(data + SETTINGS.format(name))
    return tmp_path


def started(name: str, *overrides: str, out: str = "out") -> RunFolder:
    return train(load_recipe(f"recipes/{name}.toml", overrides), out, device="cpu")


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def validations(run: RunFolder) -> list[dict[str, Any]]:
    return [row for row in Metrics(run.metrics).read() if "validation" in row]


@pytest.mark.parametrize("name", DATA)
def test_it_begins_with_the_weights_of_the_run_which_stays_as_it_is(name: str) -> None:
    base = RunFolder(Path("runs") / name)
    before = content(base.path)
    run = started(name, "training.steps=1", "training.learning_rate=1e-30", "training.moving_average=0")
    first, *_ = validations(run)
    best = [row for row in validations(base) if row["best"]][-1]["validation"]
    assert first["step"] == 0
    assert first["best"]
    also = first["validation"]["also"]["old"]
    # an earlier version had no bits per byte, and took the first word to have as many characters as any
    known = also.keys() - {"bits_per_byte", "bits_per_character"}
    assert {key: also[key] for key in known} == pytest.approx({key: best[key] for key in known}, rel=1e-5, abs=1e-7)
    old, new = load_tensors(base.best), load_tensors(run.best)
    assert all(new[key].equal(weight) for key, weight in old.items())
    for part in ("tokenizer.source.json", "tokenizer.json"):
        assert not (base.path / part).exists() or (run.path / part).read_bytes() == (base.path / part).read_bytes()
    assert content(base.path) == before
    assert recipe_of(run).model == recipe_of(base).model
    environment = json.loads(run.environment.read_text())
    assert environment["start"]["sha256"] == sha256(base.best.read_bytes()).hexdigest()


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize(("method", "call"), [("_record_validation", 1), ("step", 5)])
@pytest.mark.parametrize("name", DATA)
def test_killed_and_resumed_without_the_run_it_ends_with_the_same_bytes(
    name: str, method: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = started(name, out="whole"), 0
    own = getattr(Trainer, method)

    def killed(self: Any, *arguments: Any, **more: Any) -> None:
        nonlocal calls
        own(self, *arguments, **more)
        calls += 1
        if calls == call:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, method, killed)
        with pytest.raises(Killed):
            started(name)
    shutil.rmtree("runs")
    recipe = load_recipe(f"recipes/{name}.toml", resumed="out")
    run = train(recipe, "out", resume=True, device="cpu")
    assert run.best.read_bytes() == whole.best.read_bytes()
    (state,), (same,) = (sorted(each.last.glob("state-*")) for each in (run, whole))
    assert state.read_bytes() == same.read_bytes()
    assert validations(run) == validations(whole)
    assert len(validations(run)) == 4  # of the start, two of the training, and the average
    environments = [json.loads(each.environment.read_text()) for each in (run, whole)]
    assert environments[0]["start"] == environments[1]["start"]


def test_the_series_is_scaled_as_the_run_scaled_its_own() -> None:
    old, new = (json.loads(run.series.read_text()) for run in (RunFolder(Path("runs/sunspots")), started("sunspots")))
    assert (old["reader"], old["scaler"]) == (new["reader"], new["scaler"])
    assert old["read"] != new["read"]


def test_values_far_from_those_that_the_run_learned_are_told(caplog: pytest.LogCaptureFixture) -> None:
    first = started("sunspots", "data.validation_share=0.15", out="runs/first")
    assert "whose scaling is kept" not in caplog.text  # a run of the first version does not know what it has learned
    rows = Path("recipes/new.csv").read_text().replace(",", ",9")
    Path("recipes/new.csv").write_text(rows.replace("year,9", "year,"))
    started("sunspots", f"training.start={first.path}")
    assert "new.csv: column sunspots has values from" in caplog.text
    assert f"{first.path.resolve()}, whose scaling is kept, learned values from 1 to 100" in caplog.text


def test_a_started_translator_is_used_as_any_other(tmp_path: Path) -> None:
    run = started("tiny-en-ko", "training.learning_rate=1e-30")
    lines = ["good morning", "where is the station ?"]
    expected = [each.text for each in Translator.load("runs/tiny-en-ko", device="cpu").translate(lines)]
    assert [each.text for each in Translator.load(run.path, device="cpu").translate(lines)] == expected
    export(run.path, tmp_path / "bundle", "onnx", "float32")
    assert [each.text for each in Translator.load(tmp_path / "bundle", device="cpu").translate(lines)] == expected


# Recipes


def test_what_the_recipe_leaves_out_is_the_runs_and_what_holds_no_weights_may_differ() -> None:
    run = recipe_of(RunFolder(Path("runs/tiny-en-ko")))
    recipe = load_recipe("recipes/tiny-en-ko.toml", ["model.dropout.layers=0.25", "model.hidden_size=32"])
    assert recipe.model.model_copy(update={"dropout": run.model.dropout}) == run.model
    assert recipe.model.dropout.layers == 0.25  # type: ignore[union-attr]
    assert recipe.tokenizer == run.tokenizer  # type: ignore[union-attr]
    assert recipe.training.start == str(Path("runs/tiny-en-ko").resolve())
    assert recipe.training.learning_rate == 2e-3
    forecast = load_recipe("recipes/sunspots.toml")
    assert forecast.data.targets == ("sunspots",)  # type: ignore[union-attr]
    assert forecast.data.scaling == "square_root"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("tiny-en-ko", "model.hidden_size=64", "model.hidden_size: 32 -> 64, but the weights"),
        ("tiny-en-ko", "model.encoder_hidden_size=8", "model.encoder_hidden_size: nothing -> 8, but the weights"),
        ("tiny-en-ko", "tokenizer.kind=characters", 'tokenizer.kind: "words" -> "characters", but the weights'),
        ("words-one-to-five", "model.cell=gru", 'model.cell: "lstm" -> "gru", but the weights and tokenizers of /'),
        ("sunspots", "data.horizon=2", "data.horizon: 1 -> 2, but the weights"),
        ("sunspots", "data.scaling=minmax", 'data.scaling: "square_root" -> "minmax", but the weights'),
        ("tiny-en-ko", "training.start=runs/none", r"training.start: /.*none: no such run folder"),
        ("tiny-en-ko", "training.start=runs/sunspots", "holds a forecaster, and the recipe trains a translator"),
        ("tiny-en-ko", "training.start=runs/tiny-en-ko-begun", "its training has not ended; let it end, with --resume"),
        ("tiny-en-ko", "training.start=runs", "not a run folder .*; the runs in it are .*sunspots"),
        ("tiny-en-ko", 'training.start=["a", "b"]', r'training.start: must be text in quotes \(given \["a", "b"\]\)'),
        ("tiny-en-ko", "training.start=damaged", "damaged/recipe.toml, line 1, column 3: not TOML"),
        (
            "tiny-en-ko",
            "data.also_validate.old={pair = []}",
            "data.also_validate.old.pair: unknown key; did you mean pairs",
        ),
        ("tiny-en-ko", "data.also_validate.old=x", r'data.also_validate.old: must be "CORPUS/SPLIT", a path ending in'),
    ],
)
def test_what_cannot_be_is_one_error(name: str, override: str, said: str) -> None:
    shutil.copytree("runs/tiny-en-ko", "damaged")
    Path("damaged/recipe.toml").write_text("a b")
    with pytest.raises(RecipeError, match=said):
        load_recipe(f"recipes/{name}.toml", [override])


@pytest.mark.parametrize("damaged", ["best.safetensors", "tokenizer.source.json"])
def test_a_damaged_run_is_named_and_nothing_is_left(damaged: str) -> None:
    Path("runs/tiny-en-ko", damaged).write_bytes(b"x")
    with pytest.raises(RunError, match=f"runs/tiny-en-ko/{damaged}: .*cannot be read"):
        started("tiny-en-ko")
    assert not Path("out").exists()


def test_each_variant_starts_from_its_own_run() -> None:
    with Path("recipes/tiny-en-ko.toml").open("a") as file:
        file.write('variants.a = ["training.start=../runs/tiny-en-ko"]\nvariants.b = ["training.start="]\n')
    trainings = load_recipe("recipes/tiny-en-ko.toml").trainings
    assert trainings["a"].training.start == str(Path("runs/tiny-en-ko").resolve())
    assert trainings["a"].model.hidden_size == 32
    assert trainings["b"].model.hidden_size == 384


def test_a_resumed_training_cannot_start_from_another_run() -> None:
    started("tiny-en-ko")
    shutil.copytree("runs/tiny-en-ko", "other")
    for start in ("other", ""):
        recipe = load_recipe("recipes/tiny-en-ko.toml", [f"training.start={start}", "training.steps=9"], resumed="out")
        with pytest.raises(RunError, match=r"cannot change .*training\.start: "):
            train(recipe, "out", resume=True, device="cpu")


# Several sets


def test_sets_are_scored_side_by_side_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="s2s")
    same = 'data.also_validate.same.pairs=[["good morning", "정말 고마워요"], ["one coffee", "커피"]]'
    run = started("tiny-en-ko", same)
    for row in validations(run):
        scores = row["validation"]
        assert scores["also"].keys() == {"old", "same"}
        assert scores["also"]["same"] == {key: value for key, value in scores.items() if key != "also"}
    assert "step 0: nats_per_token " in caplog.text
    assert " (best so far); old: nats_per_token 0.0048, bleu 100, chrf 100; same: nats_per_token " in caplog.text
    again = started("tiny-en-ko", "data.also_validate={}", out="alone")
    assert load_tensors(again.best).keys() == load_tensors(run.best).keys()
    assert again.best.read_bytes() == run.best.read_bytes()


def test_the_command_resumes_where_the_run_is_gone() -> None:
    def command(*more: str) -> Any:
        arguments = ["train", "recipes/tiny-en-ko.toml", "--out", "out", "--device", "cpu", *more]
        return CliRunner().invoke(main, arguments)

    assert command().exit_code == 0
    shutil.rmtree("runs")
    missing = command()
    assert missing.exit_code == 1
    assert "training.start: " in missing.stderr
    assert command("--resume", "training.steps=8").exit_code == 0
    assert json.loads(Path("out/last/checkpoint.json").read_text())["progress"]["step"] == 8
