"""ONNX graphs give what the models give, at lengths and batches that the export never saw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from s2s.errors import RunError
from s2s.export.export import export
from s2s.export.forecast import forecaster_step
from s2s.export.graph import Graph
from s2s.export.language import language_step
from s2s.export.onnx import model_of
from s2s.export.translation import encoder, translator_step
from s2s.forecast.data import CsvFile, SeriesData
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastModel
from s2s.language.generator import Generator
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageModel
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.recipe import Seq2SeqModel
from tests.small_runs import MODELS, small_run

Arrays = dict[str, Any]
Run = Callable[[Arrays], Arrays]
NEAR = {"rtol": 0, "atol": 1e-5}
CELLS = ("elman", "gru", "lstm")


def running(part: Graph) -> Run:
    """A graph as a function of its inputs by name."""
    model = model_of(part)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert names == [*part.outputs]
    return lambda given: dict(zip(names, session.run(names, given), strict=True))


def sampled(model: nn.Module) -> None:
    """Weights large enough to decide."""
    generator = torch.Generator().manual_seed(7)
    for weight in model.parameters():
        nn.init.uniform_(weight, -0.5, 0.5, generator=generator)
    model.eval().requires_grad_(False)


def translator(name: str) -> Seq2Seq:
    settings = Seq2SeqModel(**{"embedding_size": 16, "hidden_size": 24, **MODELS[name]})
    model = build_seq2seq(settings, source_vocabulary=50, target_vocabulary=50)
    sampled(model)
    return model


def steps_of(model: Seq2Seq, *, int8: bool = False) -> tuple[Run, Run, list[str]]:
    """Encoder, step and the names of the states."""
    first = encoder(model, int8=int8)
    step = translator_step(model, first.outputs, int8=int8)
    return running(first), running(step), step.states


def run_translator(
    encode: Run, step: Run, states: list[str], tokens: Any, lengths: list[int], targets: Any
) -> tuple[Any, Any]:
    """(B, S), (B,), (B, T) -> log-probabilities (B, T, V) and attention (B, T, S), step by step."""
    values = encode({"tokens": tokens, "lengths": np.array(lengths)})
    found = []
    for position in range(targets.shape[1]):
        found.append(step({"tokens": targets[:, position : position + 1], **values}))
        values |= {name: found[-1][f"next_{name}"] for name in states}
    attention = [each["attention"] for each in found if "attention" in each]
    return (
        np.concatenate([each["log_probabilities"] for each in found], axis=1),
        np.concatenate(attention, axis=1) if attention else None,
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_translator_gives_what_its_model_gives(name: str) -> None:
    """In a batch of several lengths, filled up with anything; beyond the positions of location attention too."""
    model = translator(name)
    graphs = steps_of(model)
    generator = np.random.default_rng(1)
    for lengths, width in (([1, 7, 3], 9), ([1], 1), ([120, 5], 120)):
        tokens = generator.integers(4, 50, (len(lengths), width))
        targets = generator.integers(4, 50, (len(lengths), 4))
        found, attention = run_translator(*graphs, tokens, lengths, targets)
        output = model(torch.from_numpy(tokens), torch.tensor(lengths), torch.from_numpy(targets))
        expected = model.decoder.logits(output.readout).log_softmax(2)
        np.testing.assert_allclose(found, expected.numpy(), **NEAR)
        if output.attention is not None:
            np.testing.assert_allclose(attention, output.attention.numpy(), **NEAR)
        for row, length in enumerate(lengths):
            alone, _ = run_translator(*graphs, tokens[row : row + 1, :length], [length], targets[row : row + 1])
            np.testing.assert_allclose(alone[0], found[row], **NEAR)


def test_hypotheses_of_a_sentence_share_its_memory() -> None:
    encode, step, states = steps_of(translator("feeding-gnmt"))
    values = encode({"tokens": np.array([[5, 6, 7, 3]]), "lengths": np.array([4])})
    last = np.array([[4, 9, 4]])
    wide = {name: np.repeat(value, 3, axis=1) if name in states else value for name, value in values.items()}
    together = step({"tokens": last, **wide})
    for place in range(3):
        alone = step({"tokens": last[:, place : place + 1], **values})
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][:, place], value[:, 0], **NEAR)


@pytest.mark.parametrize("name", MODELS)
def test_int8_is_near(name: str) -> None:
    model = translator(name)
    tokens, targets = np.array([[5, 6, 7, 8, 3]]), np.array([[2, 9, 8]])
    exact, near = (run_translator(*steps_of(model, int8=int8), tokens, [5], targets)[0] for int8 in (False, True))
    assert 0 < np.abs(near - exact).max() < 0.25 * exact.std()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "values", [{}, {"layers": 3}, {"input": "one_hot"}, {"output": "tied", "embedding_size": 12}, {"output": "state"}],
    ids=str,
)  # fmt: skip
def test_a_language_model_goes_on_from_its_state(cell: Any, values: Any) -> None:
    vocabulary = 12
    model = build_language_model(LanguageModel(cell=cell, hidden_size=12, **values), vocabulary)
    sampled(model)
    part = language_step(model, int8=False)
    step, lengths = running(part), [9, 4]
    tokens = np.random.default_rng(1).integers(0, vocabulary, (2, 9))
    readout, _, _ = model(torch.from_numpy(tokens), None, torch.tensor(lengths))
    expected = model.logits(readout).log_softmax(2).numpy()
    state = {name: np.zeros((2, 12), np.float32) for name in part.states}
    whole = step({"tokens": tokens, "lengths": np.array(lengths), **state})
    first = step({"tokens": tokens[:, :3], "lengths": np.array([3, 3]), **state})
    state = {name: first[f"next_{name}"] for name in part.states}
    rest = step({"tokens": tokens[:, 3:], "lengths": np.array([6, 1]), **state})
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(whole["log_probabilities"][row, :length], expected[row, :length], **NEAR)
        parts = np.concatenate([first["log_probabilities"][row], rest["log_probabilities"][row]])
        np.testing.assert_allclose(parts[:length], expected[row, :length], **NEAR)
    for name in part.states:
        np.testing.assert_allclose(rest[f"next_{name}"], whole[f"next_{name}"], **NEAR)


@pytest.mark.parametrize(("cell", "more"), [("elman", False), ("gru", True), ("lstm", True)])
@pytest.mark.parametrize("steps", ["direct", "fed_back"])
@pytest.mark.parametrize("output", ["point", "quantiles", "gaussian", "student_t", "poisson", "negative_binomial"])
def test_a_forecaster_forecasts_as_its_model_does(cell: Any, steps: Any, output: Any, more: bool) -> None:
    """With three layers, a linear part and a residual, or without."""
    data = SeriesData(series=CsvFile(file="a.csv"), targets=("x", "y"), window=5, horizon=3)
    settings = ForecastModel(
        cell=cell,
        hidden_size=6,
        layers=3 if more else 1,
        steps=steps,
        output=output,
        autoregression=more,
        residual=more,
    )
    model = Forecaster(settings, data)
    sampled(model)
    part = forecaster_step(model, 2, 5, int8=False)
    step = running(part)
    rows = np.random.default_rng(1).normal(size=(4, 5, 2)).astype(np.float32)
    expected = model(torch.from_numpy(rows), torch.from_numpy(rows[:, -1])).numpy()
    given: Arrays = {"rows": rows, "last": rows[:, -1], "window": rows}
    given |= {name: np.zeros((4, 6), np.float32) for name in part.states}
    forecasts = []
    for _ in range(1 if steps == "direct" else 3):
        found = step({name: given[name] for name in part.inputs})
        forecasts.append(found["forecast"])
        fed = model.point(torch.from_numpy(found["forecast"]))[:, :1].numpy()
        given |= {"rows": fed, "last": fed[:, 0], "window": np.concatenate([given["window"][:, 1:], fed], axis=1)}
        given |= {name: found[f"next_{name}"] for name in part.states}
    np.testing.assert_allclose(np.concatenate(forecasts, axis=1), expected, **NEAR)


RUNS = Path(__file__).parents[1] / "runs"


@pytest.mark.parametrize("run", ["tiny-en-ko", "words-one-to-five", "sunspots"])
@pytest.mark.parametrize("weights", ["int8", "float32"])
def test_runs_of_every_task_are_written_whole(run: str, weights: Any, tmp_path: Path) -> None:
    place = tmp_path / "new" / "bundle"
    export(RUNS / run, place, "onnx", weights)
    bundle = json.loads((place / "bundle.json").read_text(encoding="utf-8"))
    assert (bundle["format"], bundle["weights"], len(bundle["card"]["fingerprint"])) == (2, weights, 64)
    for name, shapes in bundle["shapes"].items():
        session = onnxruntime.InferenceSession(place / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for kind, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert shapes[kind] == {each.name: each.shape for each in found}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bundle"]
    copied = [
        path for path in (RUNS / run).glob("tokenizer.*") if (place / path.name).read_bytes() == path.read_bytes()
    ]
    assert copied == [*(RUNS / run).glob("tokenizer.*")]


def read_bundle(place: Path) -> tuple[dict[str, Any], Run, Arrays]:
    """What bundle.json says, the step, and its first states, by nothing but the files."""
    bundle = json.loads((place / "bundle.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(place / "step.onnx", providers=["CPUExecutionProvider"])
    shapes = bundle["shapes"]["step"]
    first = {name: np.zeros((1, shapes["inputs"][name][1]), np.float32) for name in bundle["states"]}
    return bundle, lambda given: dict(zip(shapes["outputs"], session.run(None, given), strict=True)), first


def test_a_language_models_bundle_says_all_that_a_reader_needs(tmp_path: Path) -> None:
    export(RUNS / "words-one-to-five", tmp_path / "bundle", "onnx", "float32")
    bundle, step, state = read_bundle(tmp_path / "bundle")
    words = json.loads((tmp_path / "bundle" / bundle["tokenizers"]["text"]).read_text(encoding="utf-8"))["entries"]
    assert (bundle["begin"], bundle["unwritten"], bundle["tokens"]) == ([], [], {})
    tokens, written = [*bundle["begin"], *map(words.index, ["one", ",", "two", ","])], list[str]()
    while len(written) < 6:
        found = step({"tokens": np.array([tokens]), "lengths": np.array([len(tokens)]), **state})
        tokens = [int(found["log_probabilities"][0, -1].argmax())]
        state = {name: found[bundle["next"] + name] for name in bundle["states"]}
        written.append(words[tokens[0]])
    generated = Generator.load(RUNS / "words-one-to-five").generate("one , two ,", length=6, temperature=0)
    assert tuple(written) == generated[0].tokens


def test_a_forecasters_bundle_says_all_that_a_reader_needs(tmp_path: Path) -> None:
    export(RUNS / "sunspots", tmp_path / "bundle", "onnx", "float32")
    bundle, step, state = read_bundle(tmp_path / "bundle")
    forecaster = SeriesForecaster.load(RUNS / "sunspots")
    shift, factor = (np.array(bundle["scaling"]["reader"][name]) for name in ("shift", "factor"))
    assert (bundle["scaling"]["kind"], bundle["parameters"]) == ("square_root", [0.1, 0.5, 0.9])
    rows = ((np.sqrt(forecaster.scaling.read) - shift) / factor)[-bundle["window"] :][None].astype(np.float32)
    forecast = step({"rows": rows, "last": rows[:, -1], **state})["forecast"].astype(float)
    shift, factor = (np.array(bundle["scaling"]["scaler"][name]) for name in ("shift", "factor"))
    values = np.maximum(np.sort(forecast, axis=-1) * factor + shift, 0) ** 2
    expected = forecaster.next_steps().quantiles
    assert expected is not None
    np.testing.assert_allclose(values[0, 0, 0], expected[:, 0, 0, 0], rtol=1e-4)


def test_what_onnx_does_not_hold_and_a_place_in_use_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"--weights float16: onnxruntime computes in float32 or int8"):
        export(run, tmp_path / "bundle", "onnx", "float16")
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(RunError, match="exists already"):
        export(run, run, "onnx")


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_run(tmp_path / "run")

    def fail(*given: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("s2s.export.onnx.json_text", fail)
    with pytest.raises(OSError, match="no room"):
        export(run, tmp_path / "bundle", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
