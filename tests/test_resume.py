"""Law 7 through the command line: stopped or killed at any moment and resumed, a training ends with the same bytes."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

import s2s
from s2s.cli.commands import main

RECIPE = """
task = "translation"

[data]
source = "letters"
target = "numbers"
train = [
    {share = 0.6, from = {pairs = [["a b c d", "one two three four"], ["b c d a", "two three four one"]]}},
    {share = 0.2, from = {pairs = [["c d a b", "three four one two"], ["a c", "one three"]]}, tag = "t"},
    {share = 0.2, from = {pairs = [["d a b c", "four one two three"], ["b 24 d", "two 24 four"]]}},
]
validation.pairs = [["a b c d", "one two three four"], ["a c", "one three"]]
test.pairs = [["b c d a", "two three four one"]]
protect = true
augment = {capitals = 0.6, small = 0.5}

[tokenizer]
model = "bpe"
vocabulary_size = 50
joint = false
byte_fallback = false
sampling = 0.1

[model]
embedding_size = 8
hidden_size = 8
dropout.embedding = 0.2
dropout.source_words = 0.1

[training]
steps = 20
batch_tokens = 40
learning_rate = 0.02
schedule = "plateau"
warmup_steps = 3
moving_average = 0.9
average_last = 2
teacher_forcing.rate = 0.8
teacher_forcing.feed = "sampled"
precision = "float32"
log_every = 3
save_every = 2
validate_every = 5
"""
DRIVER = '''
"""Runs s2s again and again, in forks, so that torch is imported once; each is hit by a signal at a given call.

A line of plans in, a line of exit codes out.
"""
import gc, json, os, signal, sys, torch
import s2s.jobs.train, s2s.translation.plots, s2s.translation.report, s2s.translation.task, sacrebleu, torch.profiler
import torch._dynamo  # the first step of an optimizer would import it, for a second
from matplotlib.figure import Figure
from s2s.cli.commands import main

torch.set_num_threads(1)
Figure.savefig = lambda figure, path, format: path.touch()  # drawing takes longer than training
os.fsync = lambda descriptor: None  # whoever kills a process leaves the system's memory of files as it is
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it

def hit(place, call, number):
    seen = 0
    def profile(frame, event, argument):
        nonlocal seen
        if event != "call":
            return
        module = frame.f_globals.get("__name__", "")
        if place == f"{module}:{frame.f_code.co_name}" or (place == "any" and module.startswith("s2s.")):
            seen += 1
            if seen == call:
                os.kill(os.getpid(), number)
    return profile

gc.collect()
gc.freeze()  # the forks then share their memory
for line in sys.stdin:
    codes = []
    for plan in json.loads(line):
        os.environ["S2S_CACHE"] = plan["cache"]
        child = os.fork()
        if child == 0:
            with open(plan["log"], "ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            sys.argv = ["s2s", *plan["arguments"]]
            sys.setprofile(hit(*plan["hit"]) if plan["hit"] else None)
            main(plan["arguments"])
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(codes, flush=True)
'''
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


class Hit(NamedTuple):
    """A signal at the n-th call of a function, or of any function of s2s."""

    place: str
    call: int
    signal: int = signal.SIGKILL


class Trainings(NamedTuple):
    """A folder with a recipe, and the process that trains by it."""

    path: Path
    driver: Popen[str]

    def train(self, name: str, hits: list[Hit | None]) -> list[int]:
        """Exit codes of one training, begun and then resumed, that the signals hit one after another."""
        plans: list[dict[str, Any]] = []
        for hit in hits:
            recipe, run = str(self.path / "recipe.toml"), str(self.path / name)
            arguments = ["train", recipe, "--out", run, "--resume", "--device", "cpu"]
            plans.append({"cache": f"{run}-cache", "log": f"{run}.log", "arguments": arguments, "hit": hit})
        assert self.driver.stdin is not None
        assert self.driver.stdout is not None
        self.driver.stdin.write(json.dumps(plans) + "\n")
        self.driver.stdin.flush()
        codes: list[int] = json.loads(self.driver.stdout.readline())
        return codes

    def assert_like_undisturbed(self, name: str) -> None:
        undisturbed, killed = self.path / "undisturbed", self.path / name
        assert weights(killed) == weights(undisturbed)
        assert rows(killed) == rows(undisturbed)
        assert {str(file.relative_to(killed)) for file in killed.rglob("*")} == {
            str(file.relative_to(undisturbed)) for file in undisturbed.rglob("*")
        }
        assert (killed / "outputs.jsonl").read_bytes() == (undisturbed / "outputs.jsonl").read_bytes()
        scores = [json.loads((run / "scores.json").read_text()) for run in (undisturbed, killed)]
        assert {**scores[0], "run": ""} == {**scores[1], "run": ""}


def weights(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "best.safetensors", *run.glob("last/*.safetensors"))}


def rows(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what differs from run to run: the times."""
    times = ("elapsed_seconds", "target_tokens_per_second")
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in times} for row in read]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """With the folder of the undisturbed training."""
    path = tmp_path_factory.mktemp("resume")
    (path / "recipe.toml").write_text(RECIPE)
    with Popen([sys.executable, "-c", DRIVER], stdin=PIPE, stdout=PIPE, text=True, env=ENVIRONMENT) as driver:
        trainings = Trainings(path, driver)
        assert trainings.train("undisturbed", [None]) == [0]
        yield trainings


def test_killed_in_every_phase_it_ends_with_the_same_bytes(trainings: Trainings) -> None:
    hits = [
        Hit("s2s.files:write_text", 1),
        Hit("s2s.text.subword:train", 1),
        Hit("s2s.files:write_bytes", 2),
        Hit("s2s.text.encoded:append", 3),
        Hit("s2s.training.checkpoint:save_checkpoint", 1),
        Hit("s2s.training.trainer:step", 4),
        Hit("s2s.training.trainer:_score", 1),
        Hit("s2s.training.trainer:_validate_average", 1),
        Hit("s2s.plots:save", 1),
        Hit("s2s.translation.evaluation:score", 1),
    ]
    codes = trainings.train("phases", [*hits, None])
    assert codes == [-signal.SIGKILL] * len(hits) + [0]
    trainings.assert_like_undisturbed("phases")


def test_killed_at_random_moments_it_ends_with_the_same_bytes(trainings: Trainings) -> None:
    moments = Random(7)
    hits = [Hit("any", moments.randrange(100, 5000)) for _ in range(3)]
    codes = trainings.train("random", [*hits, None])
    assert codes.count(-signal.SIGKILL) >= 2, codes
    assert codes[-1] == 0
    trainings.assert_like_undisturbed("random")


def test_stopped_by_ctrl_c_or_sigterm_it_saves_and_ends_with_130(trainings: Trainings) -> None:
    hits = [
        Hit("s2s.text.tokenizer:train_tokenizers", 1, signal.SIGTERM),
        Hit("s2s.training.trainer:step", 3, signal.SIGINT),
        Hit("s2s.training.trainer:step", 4, signal.SIGTERM),
        Hit("s2s.training.trainer:_score", 1, signal.SIGTERM),
        Hit("s2s.plots:plot_curves", 1, signal.SIGINT),
    ]
    assert trainings.train("stopped", [*hits, None]) == [130] * len(hits) + [0]
    trainings.assert_like_undisturbed("stopped")
    said = (trainings.path / "stopped.log").read_text()
    assert said.count("s2s: interrupted\n") == 2
    assert "s2s: stopped at step 3 of 20; everything is saved; go on with --resume\n" in said
    assert "s2s: stopped at step 7 of 20; everything is saved; go on with --resume\n" in said
    assert "resumed at step 7 of 20" in said
    assert "Traceback" not in said


# In this process: what may change, and what may not


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and in the folder run its training of 6 steps, finished."""
    path = tmp_path_factory.mktemp("finished")
    recipe = RECIPE.replace("average_last = 2\n", "").replace('"plateau"', '"constant"')
    (path / "letters.toml").write_text(recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("S2S_CACHE", str(path / "cache"))
        s2s_train("training.steps=6", "--out", "run")
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The finished training, copied into the working directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    return "run"


def s2s_train(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["train", "letters.toml", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return result


def test_a_raised_limit_goes_on_and_equals_one_training(run: str) -> None:
    result = s2s_train("training.steps=12", "--out", run, "--resume")
    assert "changed since: training.steps: 6 -> 12\n" in result.stderr
    assert "resumed at step 6 of 12" in result.stderr
    s2s_train("training.steps=12", "--out", "whole")
    last = "last/state-12.safetensors"
    assert Path(run, last).read_bytes() == Path("whole", last).read_bytes()
    again = s2s_train("training.steps=12", "--out", run, "--resume")
    assert "nothing to do: step 12" in again.stderr
    assert "changed since" not in again.stderr


@pytest.mark.parametrize(
    "override",
    ["model.hidden_size=10", "seed=2", "tokenizer.sampling=0.2", "training.batch_tokens=30", "training.optimizer=adam",
     "training.moving_average=0", "training.metric=chrf", "data.max_tokens=50"],
)  # fmt: skip
def test_what_cannot_change_is_refused_and_nothing_is_touched(run: str, override: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(run).rglob("*")}
    result = s2s_train("training.steps=6", override, "--out", run, "--resume", code=1)
    key = override.split("=")[0]
    assert f"a resumed training cannot change {key}: " in result.stderr
    assert before == {path: path.stat().st_mtime_ns for path in Path(run).rglob("*")}


def test_training_pairs_that_changed_are_refused(tmp_path: Path, run: str) -> None:
    table = tmp_path / "pairs.tsv"
    table.write_text("letters\tnumbers\na b\tone two\nb a\ttwo one\n")
    s2s_train("training.steps=2", "data.train=pairs.tsv", "--out", "table")
    table.write_text("letters\tnumbers\na b\tone two\nb a\tTWO ONE\n")
    changed = s2s_train("training.steps=4", "data.train=pairs.tsv", "--out", "table", "--resume", code=1)
    assert "table: the text of data.train (pairs.tsv) has changed since the run began" in changed.stderr
