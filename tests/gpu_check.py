"""All that only a machine with a GPU can show, in one command of at most 8 minutes, with a JSON report on stdout.

    python tests/gpu_check.py [--corpora DIR] [--device cuda] [--dry] > report.json

The corpus multi30k is looked for as by s2s itself. A step that fails, or takes longer than its share of the time, does
not keep the others from running; the exit code is 0 where all steps are ok. With --dry the same steps run with small
models on a CPU, on the phrase book that ships with s2s.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LIMIT_SECONDS = 480
GNMT = """
task = "translation"
title = "Sizes of GNMT (Wu et al. 2016): 4 LSTM layers of 1024 units, 32,000 entries; made lines"

[data]
source = "x"
target = "y"
train = {{ table = "made.tsv", columns = ["x", "y"] }}
validation = {{ table = "held.tsv", columns = ["x", "y"] }}
test = {{ table = "held.tsv", columns = ["x", "y"] }}

[tokenizer]
kind = "words"
vocabulary_size = {entries}

[model]
cell = "lstm"
embedding_size = {units}
hidden_size = {units}
encoder_layers = 4
decoder_layers = 4
wiring = "gnmt"
tied_embeddings = "all"

[training]
batch_tokens = {batch}
epochs = 1
"""
LEAST_BLEU = 37.71
"""Lower end of the interval of the score that the recipe multi30k-de-en has on a CPU."""
GOALS = {"training target tokens/s": 400_000, "greedy target tokens/s": 100_000}
"""Of the model with the sizes of GNMT on one H100 or H200 in bfloat16."""

Figures = dict[str, Any]


class Failed(Exception):
    """A step has not given what it should."""


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def command(arguments: Sequence[str], seconds: float, folder: Path) -> Done:
    """Run a command of Python in a folder; Failed where it takes too long."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=seconds, cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than its {seconds:.0f} seconds") from None
    return Done(ended.returncode, ended.stdout, ended.stderr)


class Check:
    """The steps, each a method that returns its figures; their names and shares of the time are in `steps`."""

    def __init__(self, folder: Path, device: str, dry: bool, corpora: str | None, run: Callable[..., Done]) -> None:
        self.folder, self.device, self.dry, self.run = folder, device, dry, run
        self.corpora = ["--corpora", corpora] if corpora else []
        self.seconds = 0.0
        self.steps: dict[Callable[[], Figures], int] = {
            self.cuda_n: 35, self.torchrun: 35, self.laws: 90,
            self.bench_multi30k: 65, self.bench_gnmt: 75, self.multi30k: 180,
        }  # fmt: skip

    def s2s(self, *arguments: str, launcher: Sequence[str] = ("-m",)) -> Done:
        """A command of s2s that must succeed."""
        ended = self.run([*launcher, "s2s", *arguments], self.seconds, self.folder)
        if ended.code:
            raise Failed(f"s2s {' '.join(arguments)}: exit code {ended.code}: {ended.stderr[-600:]}")
        return ended

    def cuda_n(self) -> Figures:
        """Training and translating on the last of the GPUs, by its number; one that is not there is refused."""
        count = self._devices()
        last = self.device if self.dry else f"cuda:{count - 1}"
        self.s2s("train", "tiny-en-ko", "--device", last, "--out", "numbered")
        used = json.loads((self.folder / "numbered/environment.json").read_text())["device"]
        if used != last:
            raise Failed(f"--device {last} trained on {used}")
        absent = ("train", "tiny-en-ko", "--device", "cuda:99", "--out", "no")
        refused = self.run(["-m", "s2s", *absent], self.seconds, self.folder)
        if refused.code != 1 or "CUDA devices; give auto or cpu" not in refused.stderr:
            raise Failed(f"--device cuda:99: exit code {refused.code}: {refused.stderr[-300:]}")
        return {"devices": count, "device": used}

    def torchrun(self) -> Figures:
        """A training by torchrun in one process, its gradients summed by NCCL, equals one without."""
        limit = ("training.steps=40", "training.precision=float32", "--device", self.device)
        self.s2s("train", "tiny-en-ko", *limit, "--out", "plain")
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m")
        self.s2s("train", "tiny-en-ko", *limit, "--out", "launched", launcher=torchrun)
        plain, launched = ((self.folder / run / "best.safetensors").read_bytes() for run in ("plain", "launched"))
        distance = _distance(plain, launched)
        if distance > 1e-4:
            raise Failed(f"weights differ by {distance:.2g}")
        return {"equal_bytes": plain == launched, "largest_difference": distance}

    def laws(self) -> Figures:
        """tests/test_cuda.py: what a GPU computes equals what the CPU does."""
        options = ("-q", "-o", "addopts=--import-mode=importlib", "-p", "no:xdist", "-p", "no:cacheprovider")
        ended = self.run(["-m", "pytest", *options, "tests/test_cuda.py"], self.seconds, ROOT)
        found = re.findall(r"(\d+) (passed|failed|skipped|error)", ended.stdout)
        counts = {name: int(number) for number, name in found}
        if ended.code or (not self.dry and not counts.get("passed")):
            raise Failed(f"exit code {ended.code}, {counts}: {ended.stdout[-1500:]}")
        return counts

    def bench_multi30k(self) -> Figures:
        """Speed and memory of multi30k-de-en."""
        small = ("phrasebook-en-ko", "model.hidden_size=32", "model.embedding_size=32")
        return self._bench(*(small if self.dry else ("multi30k-de-en",)))

    def bench_gnmt(self) -> Figures:
        """Speed and memory with the sizes of GNMT."""
        sizes = {"entries": 32_000, "units": 1024, "batch": 16_000}
        if self.dry:
            sizes = {"entries": 500, "units": 32, "batch": 500}
        chance, words = Random(1), [f"w{number}" for number in range(sizes["entries"])]
        lines = [
            "\t".join(" ".join(chance.choices(words, k=chance.randint(10, 40))) for _ in range(2))
            for _ in range(200 if self.dry else 20_000)
        ]
        held = 20 if self.dry else 200
        (self.folder / "made.tsv").write_text("\n".join([" ".join(words) + "\t" + " ".join(words), *lines]) + "\n")
        (self.folder / "held.tsv").write_text("\n".join(lines[:held]) + "\n")
        (self.folder / "gnmt.toml").write_text(GNMT.format(**sizes))
        figures = self._bench("gnmt.toml", "data.max_tokens=100", "decoding.max_length_ratio=1.5")
        return figures | {"goals": GOALS}

    def multi30k(self) -> Figures:
        """Training of multi30k-de-en to its score."""
        recipe = ("tiny-en-ko",) if self.dry else ("multi30k-de-en",)
        self.s2s("train", *recipe, "--device", self.device, "--out", "whole", *self.corpora)
        scores = json.loads((self.folder / "whole/scores.json").read_text())["scores"]
        rows = [json.loads(line) for line in (self.folder / "whole/metrics.jsonl").read_text().splitlines()]
        logged = [row for row in rows if "target_tokens_per_second" in row][-1]
        bleu = scores["bleu"]["value"]
        if bleu < LEAST_BLEU:
            raise Failed(f"BLEU {bleu:.2f} is below {LEAST_BLEU}")
        speed = {key: logged[key] for key in ("target_tokens_per_second", "elapsed_seconds")}
        return {"bleu": bleu, "signature": scores["bleu"]["signature"], **speed}

    def _bench(self, *recipe: str) -> Figures:
        minutes = 1.0  # the least that bench takes
        ended = self.s2s("bench", *recipe, "--json", "--minutes", f"{minutes}", "--device", self.device, *self.corpora)
        found: Figures = json.loads(ended.stdout)
        return {key: found[key] for key in ("device", "precision", "parameters", "training", "decoding")}

    def _devices(self) -> int:
        if self.dry:
            return 0
        import torch

        return torch.cuda.device_count()


def _distance(one: bytes, other: bytes) -> float:
    """Largest difference of two files of weights."""
    from safetensors.torch import load

    first, second = load(one), load(other)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def check(device: str, *, dry: bool = False, corpora: str | None = None, run: Callable[..., Done] = command) -> Figures:
    """The report: for each step its figures, or what went wrong."""
    begin, steps = time.perf_counter(), list[Figures]()
    with tempfile.TemporaryDirectory(prefix="s2s-gpu-check-") as folder:
        all_steps = Check(Path(folder), device, dry, corpora, run)
        for step, seconds in all_steps.steps.items():
            clock = time.perf_counter()
            all_steps.seconds = seconds * (10 if dry else 1)
            entry: Figures = {"step": step.__name__, "what": step.__doc__, "limit_seconds": seconds, "ok": True}
            try:
                entry["figures"] = step()
            except (Failed, OSError, ValueError, KeyError) as problem:
                entry |= {"ok": False, "problem": f"{type(problem).__name__}: {problem}"}
            steps.append(entry | {"seconds": round(time.perf_counter() - clock, 1)})
            print(f"{step.__name__}: {'ok' if entry['ok'] else entry['problem']}", file=sys.stderr, flush=True)
    seconds = round(time.perf_counter() - begin, 1)
    return {
        "ok": all(entry["ok"] for entry in steps), "dry": dry, "device": device, "machine": platform.platform(),
        "seconds": seconds, "limit_seconds": LIMIT_SECONDS, "steps": steps,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dry", action="store_true", help="small models on a CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--corpora", help="folder of corpora")
    given = parser.parse_args()
    report = check("cpu" if given.dry else given.device, dry=given.dry, corpora=given.corpora)
    print(json.dumps(report, indent=2))
    sys.exit(not report["ok"])
