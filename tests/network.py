"""Two machines in two network namespaces, run by hand as root: python tests/network.py [--rates 0 200 50] [--steps N]

Trains made pairs with the sizes of multi30k-de-en, one process of one thread on each machine, over links of so many
Mbit/s (0: not limited), and prints what share of the time of its steps goes into communication. Then it cuts the link
in the middle of a training: both processes must end with one message between them, and after the link is back the
training must go on with --resume and end.

Measured on two cores with AVX-512 and bf16, one for each machine, batches of 4,000 tokens: without a limit a step takes
0.55 s, 7 % of it in the sum of gradients; at 50 Mbit/s 3.4 s, 88 % of it. After the cut both end within 15 s, the limit
that this script sets in the place of ten minutes.

On paper. A step sends the sum of the gradients once: float32, 4 bytes a weight, through a ring of N machines, in which
each sends 2 (N - 1) / N of them: 1.75 times at 8 machines, 1.97 at 64. The time of that at the wires' speed:

    model                        weights      bytes     2 at 50 Mbit/s   8, 64 at 10 Gbit/s   8 by NVLink 4 (450 GB/s)
    multi30k-de-en                4.3 M      17.2 MB        2.8 s          24, 27 ms             0.07 ms
    sizes of GNMT (4 x 1024)     116 M       464 MB         74 s           0.65, 0.73 s          1.8 ms

A step of multi30k-de-en takes 0.55 s on two such cores, so 8 machines of two at 10 Gbit/s would spend 24 of 93 ms on
communication (26 %); with 8 times the tokens in a step, as many machines want, 24 of 574 ms (4 %), and 64 with 64 times
the tokens 5 %. training.accumulate does the same at constant memory: one sum for all batches of a step. Besides, each
process samples the dropout masks of all rows.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
MACHINES = {"s2s-a": "10.77.0.1", "s2s-b": "10.77.0.2"}
PATIENCE_SECONDS = 15
RECIPE = """
task = "translation"

[data]
source = "x"
target = "y"
train = { table = "made.tsv", columns = ["x", "y"] }
validation = { table = "held.tsv", columns = ["x", "y"] }

[tokenizer]
kind = "words"
vocabulary_size = 4000

[model]
decoder_layers = 2
wiring = "gnmt"
tied_embeddings = "all"
dropout = { embedding = 0.3, layers = 0.3, output = 0.3, source_words = 0.1 }

[training]
epochs = 100
metric = "nats_per_token"
batch_tokens = 4000
validate_every = 1000
save_every = 4
"""


def rank(arguments: list[str]) -> None:
    """One process of a training; at its end the first one prints how long its steps and their sums took."""
    from datetime import timedelta

    from s2s.cli.commands import main
    from s2s.process import leave_when_asked
    from s2s.training import ranks
    from s2s.training.trainer import Trainer

    leave_when_asked()
    ranks.PATIENCE = timedelta(seconds=PATIENCE_SECONDS)
    steps, sums, spent = list[float](), list[float](), [0.0]
    whole_step, whole_sum = Trainer.step, ranks.Ranks.add

    def step(trainer: Any, group: Any) -> None:
        clock, before = time.perf_counter(), spent[0]
        whole_step(trainer, group)
        steps.append(time.perf_counter() - clock)
        sums.append(spent[0] - before)

    def add(self: ranks.Ranks, tensors: Any) -> None:
        clock = time.perf_counter()
        whole_sum(self, tensors)
        spent[0] += time.perf_counter() - clock

    Trainer.step, ranks.Ranks.add = step, add  # type: ignore[method-assign]
    try:
        main(arguments, prog_name="s2s")
    finally:
        if os.environ["RANK"] == "0" and steps:
            found = {"steps": len(steps) - 1, "step_seconds": sum(steps[1:]), "sum_seconds": sum(sums[1:])}
            print(json.dumps(found), flush=True)


class Network:
    """Two namespaces with a link between them."""

    def __enter__(self) -> "Network":
        self.__exit__()
        self("ip link add s2s-left type veth peer name s2s-right")
        for (name, address), end in zip(MACHINES.items(), ("s2s-left", "s2s-right"), strict=True):
            self(f"ip netns add {name}")
            self(f"ip link set {end} netns {name} name wire")
            for command in ("link set dev lo up", f"addr add {address}/24 dev wire", "link set dev wire up"):
                self(f"ip -n {name} {command}")
        return self

    def __exit__(self, *_: object) -> None:
        for name in MACHINES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", "s2s-left"], capture_output=True)

    def __call__(self, command: str) -> None:
        subprocess.run(command.split(), check=True)

    def limit(self, rate: int) -> None:
        for name in MACHINES:
            subprocess.run(["tc", "-n", name, "qdisc", "del", "dev", "wire", "root"], capture_output=True)
            if rate:
                self(f"tc -n {name} qdisc add dev wire root tbf rate {rate}mbit burst 256kb latency 200ms")

    def train(self, folder: Path, *arguments: str) -> "list[subprocess.Popen[str]]":
        """A process on each machine, with what torchrun would set."""
        settings = os.environ | {
            "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "wire", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2",
            "S2S_CACHE": str(folder / "cache"), "MASTER_ADDR": MACHINES["s2s-a"], "MASTER_PORT": "29577",
        }  # fmt: skip
        return [
            subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, __file__, "--rank", "train", "made.toml", *arguments,
                 "--device", "cpu"],
                cwd=folder, env=settings | {"RANK": str(number), "LOCAL_RANK": "0"}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            for number, name in enumerate(MACHINES)
        ]  # fmt: skip


def share(network: Network, folder: Path, rate: int, steps: int) -> dict[str, Any]:
    """How much of the time of its steps a training spends in communication."""
    network.limit(rate)
    begun = network.train(folder, "--out", f"at-{rate}", f"training.steps={steps}")
    said = [process.communicate()[0] for process in begun]
    assert all(process.returncode == 0 for process in begun), said
    found = json.loads(next(line for line in said[0].splitlines() if line.startswith("{")))
    return {"mbit": rate or None, **found, "share": round(found["sum_seconds"] / found["step_seconds"], 3)}


def cut(network: Network, folder: Path) -> dict[str, Any]:
    """What the processes say where the link is cut in the middle, and that the training goes on afterwards."""
    network.limit(0)
    begun = network.train(folder, "--out", "cut", "training.steps=100000")
    while not list((folder / "cut/last").glob("state-[48].safetensors")):
        time.sleep(0.1)
        assert all(process.poll() is None for process in begun), [process.communicate()[0] for process in begun]
    clock = time.perf_counter()
    network("ip -n s2s-b link set dev wire down")
    time.sleep(PATIENCE_SECONDS + 10)
    network("ip -n s2s-b link set dev wire up")
    said = []
    for process in begun:
        try:
            said.append(process.communicate(timeout=90)[0])
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            said.append(process.communicate()[0])
    seconds = time.perf_counter() - clock
    messages = [line for text in said for line in text.splitlines() if line.startswith("s2s: ")]
    again = network.train(folder, "--out", "cut", "training.steps=20", "--resume")
    ended = [process.communicate()[0] for process in again]
    assert all(process.returncode == 0 for process in again), ended
    assert "resumed at step" in ended[0], ended
    return {"cut": messages, "seconds": round(seconds, 1), "codes": [process.returncode for process in begun]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rates", type=int, nargs="*", default=[0, 200, 50])
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    chance, words = Random(1), [f"w{number}" for number in range(3990)]
    lines = [" ".join(chance.choices(words, k=12)) + "\t" + " ".join(chance.choices(words, k=12)) for _ in range(4000)]
    with tempfile.TemporaryDirectory() as name, Network() as network:
        folder = Path(name)
        (folder / "made.toml").write_text(RECIPE)
        (folder / "made.tsv").write_text("\n".join([" ".join(words[:50]) + "\t" + " ".join(words[:50]), *lines]) + "\n")
        (folder / "held.tsv").write_text("\n".join(lines[:4]) + "\n")
        for rate in given.rates:
            print(json.dumps(share(network, folder, rate, given.steps)), flush=True)
        print(json.dumps(cut(network, folder)), flush=True)


if __name__ == "__main__":
    if "--rank" in sys.argv:
        rank(sys.argv[sys.argv.index("--rank") + 1 :])
    else:
        main()
