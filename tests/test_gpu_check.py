"""The check of a GPU in its dry form: the steps fit their time, and one that fails is told of and stops none."""

import json
from collections.abc import Sequence
from pathlib import Path

import gpu_check
import torch
from gpu_check import Done, check

from s2s.nn.weights import save_tensors
from s2s.tasks import load_recipe

BENCH = {"device": "cpu", "precision": "float32", "parameters": 1, "training": {"peak_memory_bytes": 1}, "decoding": {}}


class Commands:
    """Stands for the commands: each recipe is read, and what the command would leave is written."""

    def __init__(self, failing: str = "") -> None:
        self.failing, self.seen = failing, list[Sequence[str]]()

    def __call__(self, arguments: Sequence[str], seconds: float, folder: Path) -> Done:
        self.seen.append(arguments)
        if self.failing and self.failing in arguments:
            return Done(1, "", "it broke")
        if "pytest" in arguments:
            return Done(0, "10 skipped in 0.1s", "")
        name, *rest = arguments[arguments.index("s2s") + 2 :]
        load_recipe(folder / name if name.endswith(".toml") else name, [each for each in rest if "=" in each])
        if "bench" in arguments:
            return Done(0, json.dumps(BENCH), "")
        device, run = rest[rest.index("--device") + 1], folder / rest[rest.index("--out") + 1]
        if device == "cuda:99":
            return Done(1, "", "s2s: --device cuda:99: this machine has 0 CUDA devices; give auto or cpu")
        run.mkdir()
        (run / "environment.json").write_text(json.dumps({"device": device}))
        (run / "scores.json").write_text(json.dumps({"scores": {"bleu": {"value": 99.0, "signature": "x"}}}))
        row = {"target_tokens_per_second": 1.0, "elapsed_seconds": 2.0}
        (run / "metrics.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"validation": {}}) + "\n")
        save_tensors(run / "best.safetensors", {"weight": torch.ones(2)})
        return Done(0, "", "")


def test_the_dry_form_passes_with_figures_of_every_step() -> None:
    commands = Commands()
    report = check("cpu", dry=True, run=commands)
    assert report["ok"], report
    named = ["cuda_n", "torchrun", "laws", "bench_multi30k", "bench_gnmt", "multi30k"]
    assert [step["step"] for step in report["steps"]] == named
    assert sum(step["limit_seconds"] for step in report["steps"]) <= gpu_check.LIMIT_SECONDS
    figures = {step["step"]: step["figures"] for step in report["steps"]}
    assert figures["torchrun"] == {"equal_bytes": True, "largest_difference": 0.0}
    assert figures["multi30k"]["bleu"] == 99.0
    assert any("torch.distributed.run" in arguments for arguments in commands.seen)
    json.dumps(report)


def test_a_step_that_fails_is_told_of_and_stops_none() -> None:
    report = check("cpu", dry=True, run=Commands(failing="bench"))
    assert not report["ok"]
    assert [step["step"] for step in report["steps"] if not step["ok"]] == ["bench_multi30k", "bench_gnmt"]
    assert "exit code 1: it broke" in report["steps"][3]["problem"]
