"""The benchmark from its command: what it promises to other programs, on a small recipe."""

import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from s2s.benchmark import decode_speed, growth, report, train_speed
from s2s.benchmark.rates import Way, alternate, fitting
from s2s.cli.commands import main
from s2s.device import choose_compute
from s2s.errors import RunError
from s2s.tasks import load_recipe
from s2s.translation.recipe import TranslationRecipe

SMALL = ["tiny-en-ko", "model.hidden_size=12", "model.embedding_size=8"]
SUBWORDS = ["tokenizer.kind=subword", "tokenizer.vocabulary_size=60", "tokenizer.joint=true"]


def run_here(command: list[str], *, input: str, **given: object) -> CompletedProcess[str]:
    """What `-m s2s ...` gives, without the start of a process, of which another test has one."""
    if command[1] != "-m":
        return CompletedProcess(command, 0)
    ended = CliRunner().invoke(main, command[3:], input=input)
    return CompletedProcess(command, ended.exit_code, ended.stdout, ended.stderr)


def test_the_benchmark_measures_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for module, values in (
        (train_speed, {"BATCHES": 2, "ROUNDS": 1, "TEXTBOOK_BATCHES": 1}),
        (report, {"SENTENCES": 4}),
        (decode_speed, {"ROUNDS": 1, "BATCHES": (4,), "TRIALS": 1, "COLD_STARTS": 1}),
        (decode_speed, {"TEXTBOOK_SENTENCES": 2, "LATENCY_SENTENCES": 4, "BLOCK": 2}),
        (growth, {"PAIRS": (), "LENGTHS": (5,), "BEAMS": (1, 2), "BEAM_LINES": 4, "WORDS": 200}),
        (growth, {"ProcessPoolExecutor": lambda *given: ThreadPoolExecutor(1)}),  # a process is in a test of its own
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(decode_speed, "subprocess", SimpleNamespace(run=run_here))
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
    for name in ("target_tokens_per_second", "ratio", "limit_fraction", "stepped.forcing"):
        spread = trained["spread"][name]
        assert spread["low"] <= spread["median"] <= spread["high"]
        assert spread["rounds"] == 1
    translated = found["decoding"]
    for name in ("greedy_sentences_per_second", "beam5_sentences_per_second", "textbook_sentences_per_second", "ratio"):
        assert translated[name] > 0
    assert translated["latency_ms"]["p50"] <= translated["latency_ms"]["p95"]
    assert translated["cold_start_seconds"] > 0
    assert {"cold_start_seconds", "ratio", "beam5_sentences_per_second"} <= translated["spread"].keys()
    assert translated["weights"] == "the benchmark's own steps"
    assert [(row["of"], row["size"]) for row in found["growth"]] == [
        ("pairs", growth.EMPTY), ("length", 5), ("beam", 1), ("beam", 2),
    ]  # fmt: skip


def test_the_text_gives_the_spread_beside_each_figure() -> None:
    spread = {"median": 2.0, "low": 1.0, "high": 1234.5, "rounds": 3}
    found = {
        **{"machine": "a CPU", "device": "cpu", "precision": "float32", "torch": "2", "parameters": 1000},
        "training": {"ratio": 2.0, "padding_share": 0.5, "stepped": {"forcing": 0.25}}
        | {"spread": {"ratio": spread, "stepped.forcing": spread, "forcing": {}}},
        "decoding": {"bfloat16": {"greedy": 2.0, "bleu": 3.0}, "spread": {"bfloat16_greedy": spread}},
        "growth": [
            {"of": "beam", "size": 5, "rate": 2.0, "spread": {"rate": spread}},
            {"of": "pairs", "size": 9, "s": 1},
        ],
    }
    text, beside = re.sub(" +", " ", report.benchmark_text(found)), "(1 to 1,234, 3 rounds)"
    for line in (f"ratio 2 {beside}", "padding_share 0.5", f"stepped.forcing 0.25 {beside}"):
        assert f"\n {line}\n" in text
    for line in (f"bfloat16.greedy 2 {beside}", "bfloat16.bleu 3", f"beam 5 rate 2 {beside}", "pairs 9 s 1"):
        assert f"\n {line}\n" in text
    assert "spread" not in text


def test_only_translators_are_measured() -> None:
    result = CliRunner().invoke(main, ["bench", "sunspots"])
    assert result.exit_code == 1
    assert "bench measures translators, and this recipe is for the task forecast" in result.stderr


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
    assert found["slow"].as_json() == pytest.approx({"median": 10, "low": 1, "high": 100, "rounds": 3})
    assert found["fast"].median == pytest.approx(10)


class Clock:
    """Seconds that pass only in what is timed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def way(self, seconds: float) -> Way:
        def run() -> tuple[int, float]:
            self.now += seconds
            return 1, seconds

        return run


@pytest.mark.parametrize(("seconds", "rounds"), [(1e9, 9), (60.0, 5), (59.0, 4), (20.0, 1), (0.0, 1), (-5.0, 1)])
def test_rounds_end_within_the_seconds_but_there_is_one(
    seconds: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    found = alternate({"a": clock.way(3.0), "b": clock.way(7.0)}, 9, seconds)
    assert [len(rate.rounds) for rate in found.values()] == [rounds, rounds]
    assert clock.now <= max(seconds, 20.0)


@pytest.mark.parametrize(("seconds", "count"), [(100.0, 20), (21.0, 10), (1.0, 4), (-1.0, 4)])
def test_an_amount_is_what_there_is_time_for(seconds: float, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert fitting(seconds, clock.way(2.0), choose_compute("cpu"), least=4, most=20) == count
    assert fitting(seconds, clock.way(2.0), choose_compute("cpu"), least=4, most=3) == 3


def test_pairs_for_which_there_is_no_time_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second for each, and one more for 10,000 pairs: 11 s for 100,000 and 101 s for a million."""
    assert growth._predicted([(0, 1.0), (10_000, 2.0)], 1_000_000) == pytest.approx(101)
    assert growth._predicted([(0, 1.0), (10_000, 0.9)], 1_000_000) == pytest.approx(0.9)
    clock = Clock(monkeypatch)

    class Pool:
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *problem: object) -> None:
            pass

        def submit(self, work: object, recipe: object, table: Path, *given: object) -> "Pool":
            self.pairs = int(table.stem)
            return self

        def result(self) -> dict[str, float]:
            clock.now += 1.0 + self.pairs / 10_000
            return {"peak_memory_bytes": 1}

    monkeypatch.setattr(growth, "ProcessPoolExecutor", lambda *given: Pool())
    monkeypatch.setattr(growth, "_write_pairs", lambda path, count: path.touch())
    recipe = load_recipe("phrasebook-en-ko")
    assert isinstance(recipe, TranslationRecipe)
    with caplog.at_level("INFO", logger="s2s"):
        assert [row["size"] for row in growth._of_pairs(recipe, "cpu", 60.0)] == [200, 10_000, 100_000]
    assert "1,000,000 pairs and more would take 101 s at least: left out; give more --minutes" in caplog.text
    assert len(list(growth._of_pairs(recipe, "cpu", 200.0))) == 4


def test_a_translation_that_fails_ends_the_cold_start_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{")  # found damaged before torch is imported
    with pytest.raises(RunError, match=r"bench: `-m s2s translate .*` ended with 1: s2s: .*bundle\.json: damaged"):
        decode_speed.cold_start(tmp_path, "a", choose_compute("cpu"), 1.0)


def test_a_worker_that_is_killed_is_an_error_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_train_on", die)
    recipe = load_recipe("phrasebook-en-ko")
    assert isinstance(recipe, TranslationRecipe)
    with pytest.raises(RunError, match=r"bench: the process that trains on 200 pairs was ended from outside"):
        list(growth._of_pairs(recipe, "cpu"))


def die(*given: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
