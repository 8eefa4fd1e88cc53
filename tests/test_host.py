"""A model in somebody's program: loading and using it leaves the process as it was, threads and forks are answered."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from s2s import Generator, Translator
from s2s.device import Compute
from s2s.errors import RunError
from s2s.forecast.forecaster import SeriesForecaster
from s2s.nn.weights import load_tensors, save_tensors
from tests.translation.test_translator import build, translator

RUNS = Path(__file__).parent / "runs"
LOAD = f"""
from s2s import Generator, Translator
from s2s.forecast.forecaster import SeriesForecaster
translator = Translator.load({str(RUNS / "tiny-en-ko")!r}, device="cpu")
generator = Generator.load({str(RUNS / "words-one-to-five")!r}, device="cpu")
forecaster = SeriesForecaster.load({str(RUNS / "sunspots")!r}, device="cpu")
def use():
    print([each.text for each in translator.translate(["good morning", "thank you very much"])])
    print(generator.generate("one", length=9, samples=2)[1].text)
    print(forecaster.next_steps().quantiles.tolist(), flush=True)
"""
STATE = """
import gc, os, torch
def state():
    told = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    return told, dict(os.environ), torch.get_rng_state().tolist(), gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
"""  # noqa: E501


def printed(script: str) -> list[str]:
    """Lines that a program with two threads prints; one that hangs is ended."""
    command, own = (
        [sys.executable, "-W", "ignore", "-c", script],
        os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    )
    found = subprocess.run(command, capture_output=True, text=True, env=own, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what is resident")
def test_loading_and_using_change_nothing_and_memory_that_the_program_frees_goes_back_to_the_system() -> None:
    changed = "print([one for one, other in zip(before, state()) if one != other])"
    freed = "import numpy as np\nblock = np.ones(400 << 20, np.uint8)\nheld = resident()\ndel block\n"
    used = f"{STATE}before = state()\n{LOAD}\n{changed}\nuse()\n{changed}\n"
    *lines, freed_mebibytes = printed(f"{used}{freed}print(held - resident())")
    assert lines[::4] == ["[]", "[]"]
    assert int(freed_mebibytes) > 390


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_answers_as_its_parent_does() -> None:
    """With models of its own and with its parent's.

    OpenMP's threads are not in the child, where models are wide enough to share work among them.
    """
    load = f"{LOAD}\nimport tests.test_host\ntranslator = tests.test_host.wide()\n"
    parent = f"import os, signal, torch\ntorch.rand(10**6).exp()\n{load}\nfor again in ({load!r}, ''):\n"
    child = "    child = os.fork()\n    if child == 0:\n        signal.alarm(100)\n        exec(again)\n        use()\n"
    lines = printed(f"{parent}{child}        os._exit(0)\n    os.waitpid(child, 0)\nuse()")
    assert len(lines) == 9
    assert lines[:3] == lines[6:]
    assert lines[3:6] == lines[6:]


def wide() -> Translator:
    return translator(build(embedding_size=256, hidden_size=512), beam=3)


def translated(model: Translator, seed: int) -> object:
    texts = ["good morning", "thank you very much", "where is the station ?", "one coffee please"]
    return [(each.text, each.tokens) for each in model.translate(texts[seed % 4 :] + texts, beam=1 + seed % 3)]


def generated(model: Generator, seed: int) -> object:
    return [each.text for each in model.generate("one", length=20, samples=1 + seed % 3, seed=seed)]


def forecast(model: SeriesForecaster, seed: int) -> object:
    found = model.next_steps()
    assert found.quantiles is not None
    return found.points.tolist(), found.quantiles.tolist()


USES: list[tuple[Any, str, Callable[[Any, int], object]]] = [
    (Translator, "tiny-en-ko", translated),
    (Generator, "words-one-to-five", generated),
    (SeriesForecaster, "sunspots", forecast),
]


@pytest.mark.parametrize(("loaded", "run", "use"), USES)
def test_weights_that_are_not_finite_are_found_by_every_task(
    loaded: Any, run: str, use: object, tmp_path: Path
) -> None:
    folder = shutil.copytree(RUNS / run, tmp_path / run)
    weights = load_tensors(folder / "best.safetensors")
    name = sorted(weights)[-1]
    weights[name].view(-1)[0] = float("nan")
    save_tensors(folder / "best.safetensors", weights)
    with pytest.raises(RunError, match=rf"best.safetensors: {name} holds numbers that are not finite"):
        loaded.load(folder, device="cpu")


@pytest.mark.parametrize(("loaded", "run", "use"), USES)
def test_four_threads_find_what_one_finds(loaded: Any, run: str, use: Callable[[Any, int], object]) -> None:
    expected = [use(loaded.load(RUNS / run, device="cpu"), seed) for seed in range(12)]
    shared = loaded.load(RUNS / run, device="cpu")  # not used before, so that what is made at the first use is shared
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: use(shared, seed), range(12))) == expected


@pytest.mark.parametrize(("loaded", "run", "use"), USES)
def test_the_device_is_the_current_one_around_all_that_is_computed(
    loaded: Any, run: str, use: Callable[[Any, int], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []

    @contextmanager
    def entered(compute: Compute) -> Iterator[None]:
        happened.append("in")
        yield
        happened.append("out")

    model = loaded.load(RUNS / run, device="cpu")
    monkeypatch.setattr(Compute, "entered", entered)
    use(model, 0)
    entered_times = happened.count("in")
    assert happened == ["in", "out"] * entered_times
    assert entered_times == 1 or (loaded is Generator and entered_times > 1)  # a text is written token by token
