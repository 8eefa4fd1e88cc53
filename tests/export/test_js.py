"""The module in Node gives what s2s gives, for every cell, attention, wiring and tokenizer."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import small_runs
import torch
from tokenizer_sweep import differing, hostile_lines, trained

from s2s.errors import DataError, RunError
from s2s.export import js
from s2s.export.card import card_of
from s2s.export.export import Weights, export
from s2s.export.js import bundle_of, quantized
from s2s.language.generator import Generator
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.recipe.load import check_table, recipe_toml
from s2s.run import RunFolder, load_tensors, save_tensors, weights_of
from s2s.tasks import TREES, load_recipe, recipe_of
from s2s.text.tokenizer import listed, save_tokenizers, train_tokenizers
from s2s.translation.translator import Translation, Translator

LINES = ["", " \u3000", "Zażółć 🎉 the", "a b a b a b a b", *[en for en, _ in small_runs.phrases("test")[::40]][:12]]
ASK = """
import { readFileSync } from "node:fs";
const { folder, calls } = JSON.parse(readFileSync(0, "utf8"));
const { load } = await import(`file://${folder}/s2s.js`);
const model = await load(folder);
const answers = calls.map(({ call, text, options }) => {
  try { return model[call](text, options); } catch (problem) { return { failure: problem.message }; }
});
console.log(JSON.stringify(answers, (_, value) => (value instanceof Float32Array ? Array.from(value) : value)));
"""
SEARCHES: list[dict[str, Any]] = [
    {"beam": 3, "length_normalization": "gnmt", "coverage_penalty": 0.3},
    {"beam": 4, "no_repeat_ngram": 2, "min_length_ratio": 0.5, "length_normalization": "none"},
]


def ask(node: str, folder: Path, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers of the module in a bundle's folder."""
    command = [node, "--input-type=module", "--eval", ASK]
    given = json.dumps({"folder": str(folder.resolve()), "calls": calls})
    ran = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    answers: list[dict[str, Any]] = json.loads(ran.stdout)
    return answers


def translated(node: str, run: Path, weights: Weights = "float32", **options: Any) -> list[dict[str, Any]]:
    place = run.with_name(f"{run.name}.{weights}")
    if not place.exists():
        export(run, place, "js", weights)
    return ask(node, place, [{"call": "translate", "text": line, "options": options} for line in LINES])


def assert_alike(found: dict[str, Any], expected: Translation, tolerance: float = 1e-4) -> None:
    assert found["text"] == expected.text
    assert tuple(found["flags"]) == expected.flags
    assert tuple(found["tokens"]) == expected.tokens
    assert tuple(found["sourceTokens"]) == expected.source_tokens
    assert found["score"] == pytest.approx(expected.score, abs=tolerance)
    assert found["logProbability"] == pytest.approx(expected.log_probability, abs=10 * tolerance)
    assert found["logProbabilities"] == pytest.approx(expected.log_probabilities, abs=tolerance)
    assert [each["text"] for each in found["nbest"]] == [each.text for each in expected.nbest]


@pytest.mark.parametrize("name", small_runs.MODELS)
def test_every_model_translates_alike(tmp_path: Path, node: str, name: str) -> None:
    run = small_runs.small_run(tmp_path / "run", small_runs.MODELS[name], small_runs.TOKENIZERS["characters"])
    translator = Translator.load(run, device="cpu")
    for beam, nbest in ((1, 1), (4, 3)):
        found = translated(node, run, beam=beam, nbest=nbest, attention=True)
        for each, expected in zip(
            found, translator.translate(LINES, beam=beam, nbest=nbest, attention=True), strict=True
        ):
            assert_alike(each, expected)
            if expected.attention is None:
                assert each["attention"] is None
            else:
                torch.testing.assert_close(
                    torch.tensor(each["attention"]), torch.from_numpy(expected.attention), atol=1e-4, rtol=0
                )


@pytest.mark.parametrize("name", [name for name in small_runs.TOKENIZERS if name != "characters"])
def test_every_tokenizer_translates_alike(tmp_path: Path, node: str, name: str) -> None:
    run = small_runs.small_run(tmp_path / "run", tokenizer=small_runs.TOKENIZERS[name])
    for each, expected in zip(translated(node, run), Translator.load(run, device="cpu").translate(LINES), strict=True):
        assert_alike(each, expected)


@pytest.mark.parametrize("decoding", SEARCHES)
def test_every_search_translates_alike(tmp_path: Path, node: str, decoding: dict[str, Any]) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, small_runs.TOKENIZERS["characters"], decoding)
    for each, expected in zip(translated(node, run), Translator.load(run, device="cpu").translate(LINES), strict=True):
        assert_alike(each, expected)


@pytest.mark.parametrize("weights", ["int8", "float16"])
def test_smaller_weights_are_those_of_a_rounded_run(tmp_path: Path, node: str, weights: Weights) -> None:
    model = {"attention": "concat", "cell": "lstm", "input_feeding": True, "decoder_layers": 2, "wiring": "gnmt"}
    run = small_runs.small_run(tmp_path / "run", model, small_runs.TOKENIZERS["characters"])
    found = translated(node, run, weights, beam=1)
    rounded = {}
    for name, weight in load_tensors(run / "best.safetensors").items():
        if weight.dim() == 2 and weights == "int8":
            rows, scales = quantized(weight.numpy())
            rounded[name] = torch.from_numpy(rows * scales[:, None])
        else:
            rounded[name] = weight.half().float() if weight.dim() == 2 else weight
    save_tensors(run / "best.safetensors", rounded)
    for each, expected in zip(found, Translator.load(run, device="cpu").translate(LINES, beam=1), strict=True):
        if weights == "float16":
            assert_alike(each, expected)
        else:  # what a layer reads is rounded too, to a thousandth
            assert each["logProbabilities"][:2] == pytest.approx(expected.log_probabilities[:2], abs=0.03)


@pytest.mark.parametrize("kind", small_runs.TOKENIZERS)
def test_tokens_and_texts_are_those_of_s2s_in_every_script(node: str, kind: str) -> None:
    real = [line for pair in small_runs.phrases()[:1500] for line in pair]
    assert differing(trained(kind, real), list(hostile_lines(150, real)), node) == []


LANGUAGE: dict[str, dict[str, Any]] = {
    "characters": {"tokenizer": {"kind": "characters"}, "data": {"cut": "stream"}},
    "lines": {"tokenizer": {"kind": "characters"}, "data": {"cut": "lines"}, "model": {"cell": "gru", "layers": 2}},
    "tied": {"tokenizer": {"kind": "words"}, "model": {"output": "tied", "embedding_size": 24}},
    "subwords": {"tokenizer": {"kind": "subword", "vocabulary_size": 120, "byte_fallback": False}},
    "closed": {
        "tokenizer": {"kind": "characters", "symbols": ["a", "b", "c", "d", " ", "e"]},
        "model": {"cell": "elman", "input": "one_hot", "output": "state", "hidden_size": 6},
    },
}
TEXT = "a bad cab\na dead bee\nabba fed a bad ace\n"


def language_run(folder: Path, table: dict[str, Any]) -> Path:
    """Run folder of a language model with sampled weights."""
    whole = {
        "task": "language",
        "data": {"train": {"text": TEXT, "repeat": 30}, **table.get("data", {})},
        "tokenizer": table["tokenizer"],
        "model": {"hidden_size": 24, "embedding_size": 12, **table.get("model", {})},
        "training": {"epochs": 1},
    }
    recipe = check_table(whole, TREES, origin="language_run", folder=folder)
    assert isinstance(recipe, LanguageRecipe)
    run = RunFolder(folder)
    folder.mkdir()
    run.recipe.write_text(recipe_toml(recipe), encoding="utf-8")
    if recipe.tokenizer.symbols:
        tokenizer: Any = listed(recipe.tokenizer)(recipe.tokenizer.symbols, closed=True)
    else:
        lines = TEXT.splitlines() if recipe.data.cut == "lines" or recipe.tokenizer.kind != "characters" else [TEXT]
        tokenizer, _ = train_tokenizers(recipe.tokenizer, True, lambda: ((line, line) for line in lines))
    save_tokenizers(tokenizer, tokenizer, folder)
    torch.manual_seed(2)
    model = build_language_model(recipe.model, tokenizer.vocabulary_size)
    save_tensors(run.best, {name: 3 * weight for name, weight in weights_of(model).items()})
    return folder


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_models_continue_a_text_alike(tmp_path: Path, node: str, name: str) -> None:
    run = language_run(tmp_path / "run", LANGUAGE[name])
    export(run, tmp_path / "bundle", "js", "float32")
    prompts = ["a bad", "dead", "a bad cab", "z", ""]
    options = {"length": 30, "temperature": 0}
    found = ask(node, tmp_path / "bundle", [{"call": "generate", "text": each, "options": options} for each in prompts])
    generator = Generator.load(run, device="cpu")
    for prompt, each in zip(prompts, found, strict=True):
        try:
            (expected,) = generator.generate(prompt, length=30, temperature=0)
        except DataError:
            assert "the prompt" in each["failure"]
            continue
        assert each["text"] == expected.text
        assert tuple(each["tokens"]) == expected.tokens
        assert each["logProbability"] == pytest.approx(expected.log_probability, abs=1e-3)


def test_sampling_repeats_with_its_seed_and_keeps_to_its_limits(tmp_path: Path, node: str) -> None:
    run = language_run(tmp_path / "run", LANGUAGE["characters"])
    export(run, tmp_path / "bundle", "js", "float32")
    options: list[dict[str, Any]] = [
        {"seed": 1}, {"seed": 1}, {"seed": 2}, {"topK": 1}, {"temperature": 0}, {"topP": 1e-9}, {"temperature": -1},
    ]  # fmt: skip
    calls = [{"call": "generate", "text": "a bad", "options": {"length": 40, **each}} for each in options]
    first, again, other, narrow, greedy, least, wrong = ask(node, tmp_path / "bundle", calls)
    assert first == again
    assert first["text"] != other["text"]
    assert narrow["text"] == greedy["text"] == least["text"]
    assert "temperature" in wrong["failure"]


def test_a_bundle_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, small_runs.TOKENIZERS["characters"])
    place = tmp_path / "exports" / "bundle"
    export(run, place, "js")
    names = {"bundle.json", "weights.bin", "tokenizer.json", "s2s.js", "s2s.d.ts"}
    assert {path.name for path in place.iterdir()} == names
    assert list(place.parent.iterdir()) == [place]
    bundle = json.loads((place / "bundle.json").read_text(encoding="utf-8"))
    assert bundle["card"] == card_of(RunFolder(run), recipe_of(RunFolder(run)))
    monkeypatch.setattr(js, "WEB", tmp_path)  # where no s2s.js is
    with pytest.raises(FileNotFoundError):
        export(run, tmp_path / "other", "js")
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]


def test_a_forecaster_is_refused_by_name(tmp_path: Path) -> None:
    recipe = load_recipe("air-passengers")
    with pytest.raises(RunError, match=r"forecaster.*--format onnx"):
        bundle_of(RunFolder(tmp_path), recipe, {}, "int8")


def test_a_damaged_bundle_says_so(tmp_path: Path, node: str) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, small_runs.TOKENIZERS["characters"])
    export(run, tmp_path / "bundle", "js")
    (tmp_path / "bundle" / "weights.bin").write_bytes(b"\0" * 8)
    with pytest.raises(AssertionError, match=r"weights\.bin: has 8 bytes"):
        ask(node, tmp_path / "bundle", [])
