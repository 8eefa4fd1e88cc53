"""The benchmark from its command: what it promises to other programs, on a small recipe."""

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from s2s.benchmark import decode_speed, growth, report, train_speed
from s2s.benchmark.rates import alternate
from s2s.cli.commands import main
from s2s.device import choose_compute
from s2s.errors import RunError
from s2s.tasks import load_recipe
from s2s.translation.recipe import TranslationRecipe

SMALL = ["tiny-en-ko", "model.hidden_size=12", "model.embedding_size=8"]
SUBWORDS = ["tokenizer.kind=subword", "tokenizer.vocabulary_size=60", "tokenizer.joint=true"]


def test_the_benchmark_measures_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for module, values in (
        (train_speed, {"BATCHES": 2, "ROUNDS": 1, "TEXTBOOK_BATCHES": 1}),
        (report, {"SENTENCES": 4}),
        (decode_speed, {"ROUNDS": 1, "BATCHES": (4,), "TRIALS": 1, "COLD_STARTS": 1}),
        (decode_speed, {"TEXTBOOK_SENTENCES": 2, "LATENCY_SENTENCES": 4, "BLOCK": 2}),
        (growth, {"PAIRS": (400,), "LENGTHS": (5,), "BEAMS": (1, 2), "BEAM_LINES": 4}),
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    result = CliRunner().invoke(main, ["bench", *SMALL, *SUBWORDS, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {"machine", "device", "precision", "parameters", "training", "decoding", "growth"} <= found.keys()
    trained = found["training"]
    assert {
        "target_tokens_per_second",
        "textbook_target_tokens_per_second",
        "ratio",
        "limit_fraction",
    } <= trained.keys()
    assert 0 < trained["limit_fraction"] < 1
    assert 0 <= trained["padding_share"] < 1
    assert trained["peak_memory_bytes"] > 1e7
    assert {"encoder", "decoder", "attention", "loss", "backward", "optimizer", "data"} == trained["shares"].keys()
    assert sum(trained["shares"].values()) == pytest.approx(1)
    translated = found["decoding"]
    for name in ("greedy_sentences_per_second", "beam5_sentences_per_second", "textbook_sentences_per_second", "ratio"):
        assert translated[name] > 0
    assert translated["latency_ms"]["p50"] <= translated["latency_ms"]["p95"]
    assert translated["cold_start_seconds"] > 0
    assert translated["weights"] == "the benchmark's own steps"
    assert [(row["of"], row["size"]) for row in found["growth"]] == [
        ("pairs", growth.EMPTY), ("pairs", 400), ("length", 5), ("beam", 1), ("beam", 2),
    ]  # fmt: skip


def test_only_translators_are_measured() -> None:
    result = CliRunner().invoke(main, ["bench", "sunspots"])
    assert result.exit_code == 1
    assert "bench measures translators, and this recipe is for the task forecast" in result.stderr


@pytest.mark.usefixtures("korean_font")
def test_a_run_of_another_recipe_or_none_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "bench_training", None)
    missing = CliRunner().invoke(main, ["bench", *SMALL, "--run", "nothing"])
    assert (missing.exit_code, "nothing: no such run folder" in missing.stderr) == (1, True)
    trained = ["train", *SMALL, "training.steps=1", "training.epochs=1", "--out", "run"]
    assert CliRunner().invoke(main, trained, catch_exceptions=False).exit_code == 0
    other = CliRunner().invoke(main, ["bench", *SMALL, "model.hidden_size=16", "--run", "run"])
    assert other.exit_code == 1
    assert "run: of another recipe (model.hidden_size is 12, here 16); give a run of this one" in other.stderr
    swapped = CliRunner().invoke(main, ["bench", *SMALL, "data.source=ko", "data.target=en", "--run", "run"])
    assert "run: of another recipe (data.source is en, here ko)" in swapped.stderr


def test_ratios_are_of_the_same_rounds() -> None:
    speeds = iter([9.0, 9.0, 1.0, 4.0, 10.0, 10.0, 100.0, 400.0])  # the first two warm up
    ways = {name: (lambda: (1, 1 / next(speeds))) for name in ("slow", "fast")}
    found = alternate(ways, 3)
    assert found["fast"].over(found["slow"]) == pytest.approx(4)  # and the ratio of the medians is 1
    assert found["slow"].as_json() == pytest.approx({"median": 10, "low": 1, "high": 100})
    assert found["fast"].median == pytest.approx(10)


def test_a_translation_that_fails_ends_the_cold_start_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"bench: `-m s2s translate .*` ended with 1: s2s: .*no such run folder"):
        decode_speed.cold_start(tmp_path / "nothing", "a", choose_compute("cpu"))


def test_a_worker_that_is_killed_is_an_error_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_train_on", die)
    recipe = load_recipe("phrasebook-en-ko")
    assert isinstance(recipe, TranslationRecipe)
    with pytest.raises(RunError, match=r"bench: the process that trains on 200 pairs was ended from outside"):
        list(growth._of_pairs(recipe, "cpu"))


def die(*given: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
