"""Results as text: what a table takes from run folders, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from s2s.errors import RunError
from s2s.jobs.table import result_table

RECIPE = """
task = "translation"
title = "Short | long"
seed = 7
data = {source = "de", target = "en", train = "a/train", validation = "a/validation", test = "a/test"}
training.steps = 1
"""
RESULT: dict[str, Any] = {
    "task": "translation",
    "run": "runs/small",
    "split": "a/test",
    "examples": 1000,
    "beam": 5,
    "scores": {
        "bleu": {"value": 38.24, "low": 37.16, "high": 39.0, "signature": "tok:13a|version:2"},
        "chrf": {"value": 60.05, "low": 59.0, "high": 61.0, "signature": "nc:6|version:2"},
    },
    "by_length": [{"source_tokens": "1-5", "examples": 1000, "bleu": 38.24, "length_ratio": 0.98}],
    "rates": {"loops": 0.001, "empty": 0.0, "copied": 0.0},
}


def make_run(path: Path, **changes: Any) -> Path:
    (path / "last").mkdir(parents=True)
    (path / "recipe.toml").write_text(RECIPE)
    (path / "scores.json").write_text(json.dumps({**RESULT, **changes}))
    (path / "environment.json").write_text(json.dumps({"precision": "cpu, float32", "versions": {"torch": "2.13.0"}}))
    save_file({"embedding": np.zeros((1000, 64), "f4"), "bias": np.zeros(5, "f4")}, path / "best.safetensors")
    (path / "last" / "checkpoint.json").write_text(json.dumps({"progress": {"elapsed_seconds": 1230.0}}))
    return path


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_a_row_holds_what_the_folder_says(tmp_path: Path) -> None:
    head, rule, row, blank, *signatures = result_table([make_run(tmp_path / "small")]).splitlines()
    assert dict(zip(cells(head), cells(row), strict=True)) == {
        "run": "small",
        "what it shows": "Short ¦ long",
        "scored on": "a/test (de to en, beam 5)",
        "examples": "1,000",
        "BLEU (95 % interval)": "**38.2** (37.2 to 39.0)",
        "chrF": "60.0",
        "word error rate": "",
        "weights": "64,005",
        "minutes": "20.5",
        "seed": "7",
        "machine": "cpu, float32, torch 2.13.0",
    }
    assert set("".join(cells(rule))) == {"-", ":"}
    assert (blank, signatures) == ("", ["- BLEU: `tok:13a|version:2`", "- chrF: `nc:6|version:2`"])


def test_symbols_have_a_word_error_rate(tmp_path: Path) -> None:
    run = make_run(tmp_path / "phones", scores={**RESULT["scores"], "word_error_rate": {"value": 0.1533}})
    head, _, row, *_ = result_table([run]).splitlines()
    assert dict(zip(cells(head), cells(row), strict=True))["word error rate"] == "15.3%"


def test_rows_keep_their_order_and_signatures_stand_once(tmp_path: Path) -> None:
    other = {**RESULT["scores"], "bleu": {**RESULT["scores"]["bleu"], "signature": "tok:char"}}
    runs = [make_run(tmp_path / "b"), make_run(tmp_path / "a"), make_run(tmp_path / "c", scores=other)]
    lines = result_table(runs).splitlines()
    assert [cells(line)[0] for line in lines[2:5]] == ["b", "a", "c"]
    assert lines[6:] == [
        "- BLEU: `tok:13a|version:2` (b, a)",
        "- BLEU: `tok:char` (c)",
        "- chrF: `nc:6|version:2`",
    ]


def test_minutes_come_from_the_log_when_the_checkpoint_is_gone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "last" / "checkpoint.json").unlink()
    (run / "metrics.jsonl").write_text('{"step": 1, "elapsed_seconds": 60.0}\n{"step": 2, "elapsed_seconds": 90.0}\n')
    assert cells(result_table([run]).splitlines()[2])[8] == "1.5"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scores.json", None, r"scores\.json: there is no such file; the run has not been scored"),
        ("scores.json", "{", r"scores\.json: damaged"),
        ("scores.json", "[]", r"scores\.json: damaged"),
        ("scores.json", "{}", r"scores\.json or environment\.json lacks 'scores'"),
        ("environment.json", "{}", "lacks 'precision'"),
        ("best.safetensors", "", r"best\.safetensors: damaged"),
        ("best.safetensors", "x" * 20, r"best\.safetensors: damaged"),
        ("recipe.toml", None, "not a run folder"),
    ],
)
def test_what_is_missing_or_damaged_is_named(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    run = make_run(tmp_path / "run")
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises(RunError, match=said):
        result_table([run])
