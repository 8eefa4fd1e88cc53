"""What a GPU computes equals what the CPU does. These tests skip themselves where there is none."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

import s2s
from s2s import Translator
from s2s.device import choose_compute
from s2s.nn import graphs
from s2s.nn.graphs import CAPTURED_WHEN_SEEN
from s2s.training.forcing import ScheduledSampling
from s2s.training.graphs import Pass, ReplayedPass, capture_cuda
from s2s.translation.engine import TorchEngine
from s2s.translation.model import Seq2Seq
from s2s.translation.recipe import Decoding
from s2s.translation.search.beam import beam_search
from s2s.translation.search.graphs import ReplayedStep
from s2s.translation.search.hypotheses import SearchOptions
from s2s.translation.search.step import Stepper
from tests.translation.test_model import batch_of, build, drawn, small
from tests.translation.test_translator import TOKENIZER, lines, translator
from tests.translation.test_translator import build as make_toy

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
DEVICE = "cuda"
LENGTHS = [(5, 7), (9, 3), (1, 4), (8, 8)]
CELLS = ("elman", "gru", "lstm")
REFUSED = "no CUDA graphs here"
RECIPE = """
task = "translation"
data.source = "x"
data.target = "y"
data.train.table = "pairs.tsv"
data.validation.table = "pairs.tsv"
tokenizer.kind = "characters"
training.steps = 30
training.batch_tokens = 128
training.validate_every = 15
training.log_every = 1
training.learning_rate = 0.01
training.warmup_steps = 5
training.precision = "float32"
model.embedding_size = 16
model.hidden_size = 16
model.input_feeding = true
model.tied_embeddings = "all"
model.dropout.embedding = 0.2
model.dropout.output = 0.2
"""


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """No TensorFloat32, which has ten bits."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def model_of(**values: Any) -> Seq2Seq:
    return build(small(**values), spread=0.5)


def loss_and_gradients(
    model: Seq2Seq,
    choose: ScheduledSampling | None,
    replayed: ReplayedPass | None = None,
    lengths: list[tuple[int, int]] = LENGTHS,
) -> dict[str, Tensor]:
    """By name, as copies on the CPU, with the state of the random numbers behind."""
    model.zero_grad()
    model.decoder.replayed = replayed
    device = model.decoder.output.weight.device
    batch = batch_of(drawn(lengths)).to(device)
    loss = model.loss(
        batch.source, batch.source_lengths, batch.inputs, batch.targets,
        target_lengths=batch.target_lengths, smoothing=0.1, choose=choose,
    )  # fmt: skip
    loss.smoothed.backward()  # type: ignore[no-untyped-call]
    found = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
    found["loss"] = loss.smoothed.detach()
    if device.type == "cuda":
        found["random state"] = torch.cuda.get_rng_state(device).float()
    return {name: value.cpu().clone() for name, value in found.items()}


def odd(found: dict[str, Tensor], expected: dict[str, Tensor], when: object = "") -> list[str]:
    """What differs, and by how much."""
    lines = [f"{when} {name}: only in one" for name in found.keys() ^ expected.keys() if name != "random state"]
    for name in sorted(found.keys() & expected.keys()):
        largest, difference = float(expected[name].abs().max()), float((found[name] - expected[name]).abs().max())
        if not difference <= 1e-4 + 1e-3 * largest:
            lines.append(f"{when} {name}: differs by {difference:.3g}, the largest is {largest:.3g}")
    return lines


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("stepped", [False, True])
def test_loss_and_gradients_are_those_of_the_cpu(cell: str, stepped: bool) -> None:
    """In training mode, since cuDNN has no gradients in the other; without dropout."""
    choose = ScheduledSampling(1.0) if stepped else None
    found, expected = (
        loss_and_gradients(model_of(cell=cell, input_feeding=stepped).train().to(device), choose)
        for device in (DEVICE, "cpu")
    )
    assert odd(found, expected) == []


def never(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    raise RuntimeError("not asked for")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("choose", [None, ScheduledSampling(0.0), ScheduledSampling(0.5, "sampled")])
@pytest.mark.parametrize(("tied", "moved"), [("all", False), ("target", True)])
def test_captured_passes_train_as_plain_ones_do(
    cell: str, choose: ScheduledSampling | None, tied: str, moved: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where `to` moves the weights, which torch does to those of recurrent layers although they are there."""
    dropout = {"layers": 0.3, "output": 0.3}
    model = model_of(cell=cell, input_feeding=True, dropout=dropout, tied_embeddings=tied).train().to(DEVICE)
    plain, replayed = ReplayedPass(model.decoder, never), ReplayedPass(model.decoder)
    lines = []
    for seed in range(4 * CAPTURED_WHEN_SEEN):  # of two shapes in turn
        lengths = LENGTHS[seed % 2 :]
        torch.manual_seed(seed)
        expected = loss_and_gradients(model, choose, plain, lengths)
        torch.manual_seed(seed)
        lines += odd(loss_and_gradients(model, choose, replayed, lengths), expected, f"pass {seed},")
        if moved:
            model.to(DEVICE)
    refusals = [record.message for record in caplog.records if "not asked for" not in record.message]
    assert (lines, refusals, len(replayed.graphs.kept)) == ([], [], 2)


@pytest.mark.parametrize("feeding", [False, True])
@torch.inference_mode()
def test_captured_steps_find_what_plain_ones_do(feeding: bool, caplog: pytest.LogCaptureFixture) -> None:
    check_search(DEVICE, feeding)
    assert REFUSED not in caplog.text


two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU here")


@two_gpus
@torch.inference_mode()
def test_a_second_gpu_is_captured_too() -> None:
    check_search("cuda:1", True)


@pytest.mark.parametrize("device", ["cuda:0", pytest.param("cuda:1", marks=two_gpus)])
def test_a_translator_translates_on_each_gpu_as_on_the_cpu(device: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also by many threads at once; and another GPU does not become the thread's current one."""
    model, texts = make_toy(), lines(40)
    expected = translator(model).translate(texts, beam=3)
    made = Translator(TorchEngine([model], choose_compute(device, "float32")), TOKENIZER, TOKENIZER, Decoding())
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: made.translate(texts, beam=3), range(3 * CAPTURED_WHEN_SEEN)):
            assert [each.text for each in found] == [each.text for each in expected]
    assert REFUSED not in caplog.text
    assert made.engine.steps[0].graphs.kept  # type: ignore[attr-defined]
    assert torch.cuda.current_device() == 0
    assert next(model.parameters()).device.type == "cpu"


def test_a_search_is_captured_while_another_thread_computes(caplog: pytest.LogCaptureFixture) -> None:
    """It allocates, which would end a capture that all threads share."""
    done, texts = Event(), lines(40)
    made = Translator(TorchEngine([make_toy()], choose_compute(DEVICE, "float32")), TOKENIZER, TOKENIZER, Decoding())

    def compute() -> float:
        total = torch.zeros((), device=DEVICE)
        while not done.is_set():
            total += torch.ones(torch.randint(1, 10**6, ()).item(), device=DEVICE).mean()
        return float(total)

    with ThreadPoolExecutor(1) as pool:
        computed = pool.submit(compute)
        try:
            for _ in range(3 * CAPTURED_WHEN_SEEN):
                made.translate(texts)
        finally:
            done.set()
        assert computed.result() >= 0
    assert REFUSED not in caplog.text


@two_gpus
def test_a_training_on_the_second_gpu_goes_as_one_on_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    losses = []
    for device in ("cuda:0", "cuda:1"):
        (tmp_path / device).mkdir()
        losses.append([row["loss"] for row in trained(tmp_path / device, device=device) if "loss" in row])
    assert REFUSED not in caplog.text
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def check_search(device: str, feeding: bool) -> None:
    stepper = Stepper(model_of(input_feeding=feeding).eval().to(device))
    replayed = ReplayedStep(stepper)
    for seed in range(6):
        batch = batch_of(drawn(LENGTHS, seed))
        longest = torch.full((len(LENGTHS),), 20)
        found, expected = (
            beam_search(
                step, stepper.begin(batch.source.to(device), batch.source_lengths), SearchOptions(), beam=1,
                max_lengths=longest, min_lengths=longest // 2, device=device,
            )
            for step in (replayed, stepper)
        )  # fmt: skip
        assert [each.tokens for [each] in found] == [each.tokens for [each] in expected], f"batch {seed}"
    assert replayed.graphs.kept


def trained(folder: Path, *overrides: str, device: str = DEVICE) -> list[dict[str, Any]]:
    """The rows of a run's metrics."""
    chooser = random.Random(1)
    rows = ["".join(chooser.choices("abcdef", k=6)) for _ in range(64)]
    (folder / "pairs.tsv").write_text("x\ty\n" + "".join(f"{row}\t{row[::-1]}\n" for row in rows))
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = s2s.load_recipe(str(folder / "recipe.toml"), overrides)
    run = s2s.train(recipe, folder / "run", device=device)
    return [json.loads(row) for row in run.metrics.read_text().splitlines()]


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (
            "training.teacher_forcing.rate=0.5",
            "training.teacher_forcing.feed=sampled",
            "training.accumulate=2",
            "training.steps=15",
        ),
        ("training.teacher_forcing.schedule=linear", "training.teacher_forcing.steps=20", "model.input_feeding=false"),
    ],
    ids=["feeding", "sampled", "linear"],
)
def test_a_training_with_graphs_goes_as_one_without(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    losses = []
    for name, seen in (("with", CAPTURED_WHEN_SEEN), ("without", 10**9)):
        monkeypatch.setattr(graphs, "CAPTURED_WHEN_SEEN", seen)
        (tmp_path / name).mkdir()
        losses.append([row["loss"] for row in trained(tmp_path / name, *overrides) if "loss" in row])
    assert REFUSED not in caplog.text
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_training_in_bfloat16_has_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    losses = [row["loss"] for row in trained(tmp_path, "training.precision=bfloat16") if "loss" in row]
    assert REFUSED not in caplog.text
    assert losses[-1] < losses[0]


def test_a_capture_that_fails_leaves_random_numbers_and_the_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The last test here: what a failed capture does to the allocator is torch's affair."""

    def failing(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
        def waiting(*given: Tensor) -> tuple[Tensor, ...]:
            outputs = function(*given)
            outputs[0].detach().sum().item()  # waits for the GPU, which no graph can
            return outputs

        return capture_cuda(waiting, samples)

    model = model_of(input_feeding=True, dropout={"output": 0.3}).train().to(DEVICE)
    replayed, stream = ReplayedPass(model.decoder, failing), torch.cuda.current_stream()
    for seed in range(2 * CAPTURED_WHEN_SEEN):
        torch.manual_seed(seed)
        expected = loss_and_gradients(model, None)
        torch.manual_seed(seed)
        assert odd(loss_and_gradients(model, None, replayed), expected, f"pass {seed},") == []
    assert caplog.text.count(REFUSED) == 1
    assert torch.cuda.current_stream() == stream
