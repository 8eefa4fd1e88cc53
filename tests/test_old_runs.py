"""Runs of an earlier version, in tests/runs: opened, scored and resumed they give what that version gave.

What is expected was given by s2s 0.1.0 of commit 479ac36, the version that trained them.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from s2s import Generator, Translator
from s2s.cli.commands import main

TRAINED = ["tiny-en-ko", "words-one-to-five", "sunspots"]
TRANSLATIONS = {
    "good morning": ("좋은 아침이에요", -0.003830572124570608),
    "thank you very much": ("정말 고마워요", -0.00505635569182535),
    "where is the station ?": ("역이 어디예요 ?", -0.005711346020689234),
    "one coffee please": ("커피 한 잔 주세요", -0.004497881000861526),
}
COUNTED = "one , two , three , four , five , one , two , three , four , five , one , two , three"
FORECAST = {
    "step": 1,
    "sunspots": 10.310981618403439,
    "sunspots_0.1": 2.654225154004135,
    "sunspots_0.5": 10.310981618403439,
    "sunspots_0.9": 29.158167065195133,
}
RAISED = {
    "tiny-en-ko": {
        "step": 110,
        "validation": {"nats_per_token": 0.003757684926191966, "bleu": 100.00000000000004, "chrf": 100.0},
        "best": False,
    },
    "words-one-to-five": {
        "step": 52,
        "validation": {
            "nats_per_token": 0.0025543408301246244,
            "perplexity": 1.0025576059381371,
            "bits_per_character": 0.0010838631906944101,
            "accuracy": 1.0,
            "tokens": 999,
        },
        "best": True,
    },
    "sunspots": {
        "step": 2730,
        "validation": {"loss": 0.3097919648693454, "mase": 0.5585341578505367, "mae": 8.917842125903825},
        "best": False,
    },
}
"""The last row of metrics.jsonl after a resumption with a raised limit."""


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the runs, where a training in the working directory would have put them."""
    shutil.copytree(Path(__file__).parent / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    return tmp_path / "runs"


def run_s2s(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested JSON that is no list or object, by its path."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{path}/{key}")
    else:
        yield path, tree


def assert_close(found: Any, expected: Any, *, within: float, but: tuple[str, ...] = ()) -> None:
    """The same JSON but for new keys and the keys `but`, with floats as near as a share `within` or 1e-6."""
    left, right = (
        {path: value for path, value in leaves(tree) if path.rsplit("/", 1)[1] not in but} for tree in (found, expected)
    )
    assert left.keys() >= right.keys()
    for path, value in right.items():
        assert left[path] == (pytest.approx(value, rel=within, abs=1e-6) if isinstance(value, float) else value), path


def scores(text: str) -> Any:
    """A result of evaluate, with signatures that name no version of sacreBLEU."""
    return json.loads(re.sub(r"\|version:[\w.]+", "", text))


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def learned(run: Path) -> dict[str, bytes]:
    """The files of a run that only training changes."""
    paths = [path for path in run.rglob("*") if path.is_file() and path.suffix in (".safetensors", ".json", ".jsonl")]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.name != "environment.json"}


def test_a_translator_translates(runs: Path) -> None:
    found = Translator.load(runs / "tiny-en-ko", device="cpu").translate(list(TRANSLATIONS))
    assert [each.text for each in found] == [text for text, _ in TRANSLATIONS.values()]
    assert [each.score for each in found] == pytest.approx([score for _, score in TRANSLATIONS.values()], abs=1e-5)


def test_a_language_model_counts_on(runs: Path) -> None:
    (found,) = Generator.load(runs / "words-one-to-five", device="cpu").generate("one", length=24, temperature=0)
    assert found.text == COUNTED
    assert found.log_probability == pytest.approx(-0.0729089230298996, abs=1e-5)


def test_a_forecaster_forecasts() -> None:
    (step,) = json.loads(run_s2s("forecast", "runs/sunspots", "--json", "--device", "cpu").stdout)
    assert step == pytest.approx(FORECAST, rel=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_its_scores_are_those_that_it_keeps(runs: Path, name: str) -> None:
    found = scores(run_s2s("evaluate", f"runs/{name}", "--json", "--device", "cpu").stdout)
    kept = scores((runs / name / "scores.json").read_text())
    del kept["step"]  # the training's
    assert_close(found, kept, within=1e-6, but=("low", "high"))  # how intervals are found may change


@pytest.mark.parametrize("name", TRAINED)
def test_resumed_when_it_is_finished_it_stays_as_it_is(runs: Path, name: str) -> None:
    before = learned(runs / name)
    (runs / name / "plots").mkdir()
    for result in ("plots/curves.png", "report.html"):  # without them it would be scored and drawn again
        (runs / name / result).touch()
    recipe, run = f"runs/{name}/recipe.toml", str(runs / name)  # a recipe of that name may have become another
    said = run_s2s("train", recipe, "--out", run, "--resume", "--device", "cpu").stderr
    assert "nothing to do: step " in said
    assert "changed since" not in said
    assert learned(runs / name) == before


@pytest.mark.parametrize(
    ("name", "limit", "change", "goal"),
    [
        ("tiny-en-ko", "training.steps=110", "training.steps: 100 -> 110", "step 100 of 110"),
        ("words-one-to-five", "training.epochs=52", "training.epochs: 50.0 -> 52.0", "step 50 of 52"),
        ("sunspots", "training.epochs=210", "training.epochs: 200.0 -> 210.0", "step 2,600 of 2,730"),
    ],
)
def test_with_a_raised_limit_it_goes_on(runs: Path, name: str, limit: str, change: str, goal: str) -> None:
    run = runs / name
    before = metrics(run)
    said = run_s2s("train", f"runs/{name}/recipe.toml", limit, "--out", str(run), "--resume", "--device", "cpu").stderr
    assert f"changed since: {change}\n" in said
    assert f"resumed at {goal}\n" in said
    after = metrics(run)
    assert after[: len(before)] == before
    assert_close(after[-1], RAISED[name], within=1e-5)
    best = max(row["step"] for row in after if row.get("best"))
    assert json.loads((run / "scores.json").read_text())["step"] == best
    assert {path.name for path in (run / "plots").iterdir()} > {"curves.png"}


def test_what_was_interrupted_ends_as_if_it_had_not_been(runs: Path) -> None:
    begun, whole = runs / "tiny-en-ko-begun", runs / "tiny-en-ko"
    said = run_s2s("train", "tiny-en-ko", "--out", "runs/tiny-en-ko-begun", "--resume", "--device", "cpu").stderr
    assert "resumed at step 70 of 100\n" in said
    assert "changed since" not in said
    assert "the limit of 100 steps is reached; best weights are those of step 50\n" in said
    assert_close(metrics(begun), metrics(whole), within=1e-3, but=("elapsed_seconds", "target_tokens_per_second"))
    scored, kept = (scores((run / "scores.json").read_text()) for run in (begun, whole))
    assert_close(scored, kept, within=1e-6, but=("low", "high", "run"))
