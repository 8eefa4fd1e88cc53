"""Small recipes of all three tasks, with most of what samples random numbers in a training, and processes to run them.

Processes of a group are forked from a server that has imported torch once, and meet as those of torchrun do: their
parent holds the store.
"""

import os
import signal
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

PAIRS = [
    (" ".join(word * size for word in text[: 1 + place % len(text)]), text[place % 3 : 2 + place % 4])
    for place, text in enumerate(("abcdef", "bcdea", "cafe", "deaf", "fade", "bead", "cab", "ace", "dab", "bed") * 4)
    for size in (1 + place % 2,)
]
TRAINING = """
steps = 10
learning_rate = 0.01
precision = "float32"
warmup_steps = 2
log_every = 3
validate_every = 8
save_every = 4
"""
TRANSLATION = f"""
task = "translation"

[data]
source = "en"
target = "numbers"
train = [
  {{ from = {{ pairs = {[list(pair) for pair in PAIRS[:26]]} }}, tag = "first" }},
  {{ from = {{ pairs = {[list(pair) for pair in PAIRS[26:]]} }}, share = 0.4 }},
]
validation.pairs = {[list(pair) for pair in PAIRS[:7]]}
test.pairs = {[list(pair) for pair in PAIRS[3:8]]}
augment = {{ unmarked = 0.3 }}

[tokenizer]
kind = "subword"
model = "bpe"
vocabulary_size = 70
byte_fallback = false
sampling = 0.3

[model]
embedding_size = 8
hidden_size = 12
encoder_layers = 2
decoder_layers = 2

[model.dropout]
embedding = 0.2
layers = 0.2
output = 0.2
source_words = 0.1

[training]
batch_tokens = 60
teacher_forcing = {{ rate = 0.7, schedule = "linear", floor = 0.2, steps = 30, feed = "sampled" }}
metric = "nats_per_token"
{TRAINING}
"""
LANGUAGE = f"""
task = "language"

[data]
train = {{ text = "the cat sat on the mat\\nthe dog lay on a log\\nso\\n", repeat = 6 }}
rows = 3
window = 5

[model]
hidden_size = 12
embedding_size = 6

[model.dropout]
embedding = 0.1
output = 0.2
vocabulary = 0.1
recurrent_weights = 0.2

[training]
activation_penalty = 1.0
temporal_activation_penalty = 1.0
{TRAINING}
"""
FORECAST = f"""
task = "forecast"

[data]
series = "waves.csv"
targets = ["b"]
window = 6
horizon = 3
validation_share = 0.2

[model]
hidden_size = 8
layers = 2
dropout = 0.2
steps = "fed_back"

[training]
batch_windows = 7
teacher_forcing = {{ rate = 0.5 }}
{TRAINING}
"""
RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "translation": (TRANSLATION, ("training.accumulate=2", "training.moving_average=0.9")),
    "translation-muon": (
        TRANSLATION,
        ("training.optimizer=muon", "model.cell=lstm", "training.average_last=2", "training.r_drop=1"),
    ),
    "stream": (LANGUAGE, ("training.optimizer=asgd", "training.learning_rate=1.0", "model.layers=2")),
    "chunks": (LANGUAGE, ("data.cut=chunks",)),
    "lines": (LANGUAGE, ("data.cut=lines", "training.accumulate=2", "data.rows=12")),
    "adaptive": (LANGUAGE, ("model.output=adaptive", "training.optimizer=muon", "training.moving_average=0.9")),
    "forecast": (FORECAST, ()),
    "forecast-rows": (FORECAST, ("model.trained_rows=each", "model.cell=lstm")),
}


def small_recipe(name: str, folder: Path, *overrides: str) -> Any:
    """A recipe that reads its series from a folder."""
    from s2s.recipe.load import parse_recipe
    from s2s.tasks import TREES

    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{row},{row % 7 + row % 3},{row % 11}\n" for row in range(120))
    (folder / "waves.csv").write_text("time,a,b\n" + rows)
    text, own = RECIPES[name]
    return parse_recipe(text, TREES, origin="test", folder=folder, overrides=(*own, *overrides))


def run_in_processes(count: int, *arguments: Any, restarts: int = 0) -> list[int]:
    """Exit codes of so many processes, the ranks of one group, each of which calls `trained`."""
    import torch.distributed as dist

    context = get_context("forkserver")
    tasks = [
        f"s2s.{task}.{module}" for task in ("translation", "language", "forecast") for module in ("task", "report")
    ]
    # the first step of an optimizer imports the last, for a second
    context.set_forkserver_preload(["s2s.jobs.train", *tasks, "s2s.report.report", "sacrebleu", "torch._dynamo"])
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=1))
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    settings = dict(os.environ) | meeting | {"WORLD_SIZE": str(count), "TORCHELASTIC_RESTART_COUNT": str(restarts)}
    processes = [context.Process(target=_rank, args=(settings, rank, arguments)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode or 0 for process in processes]


def _rank(settings: dict[str, str], rank: int, arguments: tuple[Any, ...]) -> None:
    import torch
    from matplotlib.figure import Figure

    Figure.savefig = lambda figure, path, format: path.touch()  # type: ignore[method-assign]  # as in conftest.py
    os.fsync = lambda descriptor: None
    os.environ.clear()
    os.environ.update(settings, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    trained(*arguments)


def trained(name: str, folder: str, run: str, overrides: tuple[str, ...], killed_at: int | None = None) -> None:
    """One rank of a training; the second kills itself at a step."""
    from s2s.errors import S2SError
    from s2s.jobs.train import train
    from s2s.training.trainer import Trainer

    if killed_at is not None and os.environ["RANK"] == "1":
        whole = Trainer.step

        def step(trainer: Any, group: list[Any]) -> None:
            if trainer.progress.step == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            whole(trainer, group)

        Trainer.step = step  # type: ignore[method-assign]
    try:
        train(small_recipe(name, Path(folder), *overrides), Path(folder) / run, device="cpu")
    except S2SError as problem:
        (Path(folder) / f"failed-{os.environ['RANK']}").write_text(str(problem))
        raise SystemExit(3) from None
