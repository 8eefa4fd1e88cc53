"""The module gives what s2s gives, for every cell, attention, wiring and tokenizer: in Node, and in Chromium."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import small_runs
import torch
from click.testing import CliRunner
from javascript import RUNTIME, Module
from playwright.sync_api import Browser
from tokenizer_sweep import differing, hostile_lines

from s2s.cli.commands import main
from s2s.errors import DataError, RunError
from s2s.export import js
from s2s.export.card import card_of
from s2s.export.export import export
from s2s.export.js import bundle_of, word_characters
from s2s.export.packed import Weights, quantized
from s2s.language.generator import Generator
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.nn.weights import load_tensors, save_tensors, weights_of
from s2s.recipe.load import check_table, recipe_toml
from s2s.run import RunFolder
from s2s.tasks import TREES, load_recipe, recipe_of
from s2s.text.normalization import RULES
from s2s.text.tokenizer import listed, save_tokenizers, train_tokenizers
from s2s.translation.outputs import Translation
from s2s.translation.recipe import PairTokenizer
from s2s.translation.translator import Translator

LINES = ["", " \u3000", "Zażółć 🎉 the", "a b a b a b a b", *[en for en, _ in small_runs.phrases("test")[::160]][:4]]
CHARACTERS = small_runs.TOKENIZERS["characters"]
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{name: (model, CHARACTERS) for name, model in small_runs.MODELS.items()},
    **{name: ({}, tokenizer) for name, tokenizer in small_runs.TOKENIZERS.items() if name != "characters"},
}
"""Models, each with characters, and tokenizers."""
ASKED: list[dict[str, Any]] = [{"beam": 1}, {"beam": 4, "nbest": 3, "attention": True}]
"""Options of a translator."""
SEARCHES: list[dict[str, Any]] = [
    {"beam": 3, "length_normalization": "gnmt", "coverage_penalty": 0.3},
    {"beam": 4, "no_repeat_ngram": 2, "min_length_ratio": 0.5, "length_normalization": "none"},
]
IN_CHROMIUM = """async ({ bundle, weights, files, calls }) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const tokenizers = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, bytes(text)]));
  const model = await load({ bundle, weights: bytes(weights).buffer, files: tokenizers });
  return calls.map(({ call, text, options }) => ({ ...model[call](text, options), attention: null }));
}"""


class Made(NamedTuple):
    """A run, its bundle in float32, and what its translator gives for `LINES` and each of `ASKED`."""

    run: Path
    bundle: Path
    expected: list[Translation]


FLAGS = ("truncated", "repeats", "long", "unknown")
"""What JavaScript's runtime flags."""


@pytest.fixture(scope="module")
def module(node: str) -> Iterator[Module]:
    with Module(node) as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Makes one of `KINDS`, once."""

    @cache
    def make(name: str) -> Made:
        folder = tmp_path_factory.mktemp(name)
        run = small_runs.small_run(folder / "run", *KINDS[name])
        export(run, folder / "bundle", "js", "float32")
        translator = Translator.load(run, device="cpu")
        return Made(run, folder / "bundle", [each for asked in ASKED for each in translator.translate(LINES, **asked)])

    return make


def calls_of(*asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"call": "translate", "text": line, "options": options} for options in asked for line in LINES]


def translated(module: Module, run: Path, weights: Weights = "float32", **options: Any) -> list[dict[str, Any]]:
    place = run.with_name(f"{run.name}.{weights}")
    export(run, place, "js", weights)
    found: list[dict[str, Any]] = module.ask("model", folder=str(place), calls=calls_of(options))
    return found


def assert_alike(found: dict[str, Any], expected: Translation, tolerance: float = 1e-4) -> None:
    assert found["text"] == expected.text
    assert tuple(found["flags"]) == tuple(flag for flag in expected.flags if flag in FLAGS)
    assert tuple(found["tokens"]) == expected.tokens
    assert tuple(found["sourceTokens"]) == expected.source_tokens
    assert found["score"] == pytest.approx(expected.score, abs=tolerance)
    assert found["logProbability"] == pytest.approx(expected.log_probability, abs=10 * tolerance)
    assert found["logProbabilities"] == pytest.approx(expected.log_probabilities, abs=tolerance)
    assert [each["text"] for each in found["nbest"]] == [each.text for each in expected.nbest]


@pytest.mark.parametrize("name", KINDS)
def test_every_model_and_tokenizer_translates_alike(made: Callable[[str], Made], module: Module, name: str) -> None:
    found = module.ask("model", folder=str(made(name).bundle), calls=calls_of(*ASKED))
    for each, expected in zip(found, made(name).expected, strict=True):
        assert_alike(each, expected)
        if expected.attention is None:
            assert each["attention"] is None
        else:
            weights = torch.tensor(each["attention"])
            torch.testing.assert_close(weights, torch.from_numpy(expected.attention), atol=1e-4, rtol=0)


def test_chromium_gives_the_same(made: Callable[[str], Made], browser: Browser) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_script_tag(type="module", content=f"{RUNTIME.read_text(encoding='utf-8')}\nwindow.load = load;")
    page.wait_for_function("() => window.load")
    for name in KINDS:
        files = {path.name: path.read_bytes() for path in made(name).bundle.iterdir()}
        given = {
            "bundle": json.loads(files["bundle.json"]),
            "weights": b64encode(files["weights.bin"]).decode(),
            "files": {key: b64encode(each).decode() for key, each in files.items() if key.startswith("tokenizer")},
            "calls": calls_of(*ASKED),
        }
        for each, expected in zip(page.evaluate(IN_CHROMIUM, given), made(name).expected, strict=True):
            assert_alike(each, expected)
    context.close()


@pytest.mark.parametrize("decoding", SEARCHES)
def test_every_search_translates_alike(tmp_path: Path, module: Module, decoding: dict[str, Any]) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, CHARACTERS, decoding)
    wanted = Translator.load(run, device="cpu").translate(LINES)
    for each, expected in zip(translated(module, run), wanted, strict=True):
        assert_alike(each, expected)


@pytest.mark.parametrize("weights", ["int8", "float16"])
def test_smaller_weights_are_those_of_a_rounded_run(tmp_path: Path, module: Module, weights: Weights) -> None:
    model = {"attention": "concat", "cell": "lstm", "input_feeding": True, "decoder_layers": 2, "wiring": "gnmt"}
    run = small_runs.small_run(tmp_path / "run", model, CHARACTERS)
    found = translated(module, run, weights, beam=1)
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
def test_tokens_and_texts_are_those_of_s2s_in_every_script(module: Module, kind: str) -> None:
    real = [line for pair in small_runs.phrases()[:1500] for line in pair]
    _, tokenizer = small_runs.trained_tokenizers(PairTokenizer(**small_runs.TOKENIZERS[kind]))
    composed = ["a\u0302\u0323 \u1e9b\u0323 ½ ﬁ ５０％ \u3000 \u200c", "\t a\u00a0 b", "각 \u1100\u1161"]
    for rule in RULES[kind in ("words", "words-punctuation", "characters") :]:  # whose nmt_nfkc is refused
        lines = [*hostile_lines(40, real, seed=RULES.index(rule)), *composed]
        assert differing(tokenizer.under(rule), lines, module) == [], rule


LANGUAGE: dict[str, dict[str, Any]] = {
    "characters": {"tokenizer": {"kind": "characters"}, "data": {"cut": "stream"}},
    "lines": {"tokenizer": {"kind": "characters"}, "data": {"cut": "lines"}, "model": {"cell": "gru", "layers": 2}},
    "tied": {"tokenizer": {"kind": "words"}, "model": {"output": "tied", "embedding_size": 24}},
    "subwords": {"tokenizer": {"kind": "subword", "vocabulary_size": 120, "byte_fallback": False}},
    "normalized": {"tokenizer": {"kind": "words", "normalization": "nfkc"}},
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
        rules = (recipe.tokenizer.normalization,) * 2
        tokenizer, _ = train_tokenizers(recipe.tokenizer, True, lambda: ((line, line) for line in lines), rules)
    save_tokenizers(tokenizer, tokenizer, folder)
    torch.manual_seed(2)
    model = build_language_model(recipe.model, tokenizer.vocabulary_size)
    save_tensors(run.best, {name: 3 * weight for name, weight in weights_of(model).items()})
    return folder


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_models_continue_a_text_alike(tmp_path: Path, module: Module, name: str) -> None:
    run = language_run(tmp_path / "run", LANGUAGE[name])
    export(run, tmp_path / "bundle", "js", "float32")
    prompts = ["a bad", "dead", "a\u3000ｂad cab", "z", ""]
    options = {"length": 30, "temperature": 0}
    calls = [{"call": "generate", "text": each, "options": options} for each in prompts]
    found = module.ask("model", folder=str(tmp_path / "bundle"), calls=calls)
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


def test_sampling_repeats_with_its_seed_and_keeps_to_its_limits(tmp_path: Path, module: Module) -> None:
    run = language_run(tmp_path / "run", LANGUAGE["characters"])
    export(run, tmp_path / "bundle", "js", "float32")
    options: list[dict[str, Any]] = [
        {"seed": 1}, {"seed": 1}, {"seed": 2}, {"topK": 1}, {"temperature": 0}, {"topP": 1e-9}, {"temperature": -1},
    ]  # fmt: skip
    calls = [{"call": "generate", "text": "a bad", "options": {"length": 40, **each}} for each in options]
    first, again, other, narrow, greedy, least, wrong = module.ask(
        "model", folder=str(tmp_path / "bundle"), calls=calls
    )
    assert first == again
    assert first["text"] != other["text"]
    assert narrow["text"] == greedy["text"] == least["text"]
    assert "temperature" in wrong["failure"]


def test_a_bundle_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, CHARACTERS)
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


@pytest.mark.parametrize(
    ("tokenizer", "ways"),
    [("unigram", {"data": {"protect": True}}), ("words", {"decoding": {"copy_unknown": True}})],
)
def test_masks_and_copies_are_refused_by_name(tokenizer: str, ways: dict[str, Any], tmp_path: Path) -> None:
    run = small_runs.small_run(tmp_path / "run", None, small_runs.TOKENIZERS[tokenizer], **ways)
    for form in ("js", "html"):
        with pytest.raises(RunError, match=r"(data.protect|decoding.copy_unknown), which JavaScript's.*--format onnx"):
            export(run, tmp_path / f"out.{form}", form, "float32")


def test_tags_are_refused_by_name(tmp_path: Path) -> None:
    run = small_runs.small_run(tmp_path / "run", tags=("fre", None))
    for form, place in (("js", "folder"), ("html", "page.html")):
        with pytest.raises(RunError, match=r"its sources have tags \(fre\).*--format onnx"):
            export(run, tmp_path / place, form)
    told = CliRunner().invoke(main, ["export", "--help"]).stdout
    assert re.search(r"tags, data\.protect or decoding\.copy_unknown, .* export\s+to onnx only", told, re.DOTALL)


def test_words_under_a_map_that_is_not_in_a_model_are_refused_by_name(tmp_path: Path) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, {**CHARACTERS, "source_normalization": "nmt_nfkc"})
    with pytest.raises(RunError, match=r"characters are under nmt_nfkc, .* or train with nfkc"):
        export(run, tmp_path / "folder", "js")


def test_a_damaged_bundle_says_so(tmp_path: Path, module: Module) -> None:
    run = small_runs.small_run(tmp_path / "run", {}, CHARACTERS)
    export(run, tmp_path / "bundle", "js")
    (tmp_path / "bundle" / "weights.bin").write_bytes(b"\0" * 8)
    answer = module.ask("model", folder=str(tmp_path / "bundle"), calls=[])
    assert "weights.bin: has 8 bytes" in answer["failure"]


def test_what_is_no_bundle_says_what_makes_one(tmp_path: Path, module: Module) -> None:
    answer = module.ask("model", folder=str(tmp_path), calls=[])
    assert "bundle.json: cannot be read (ENOENT); s2s export --format js writes it" in answer["failure"]


def test_word_characters_are_those_of_python() -> None:
    lengths = word_characters()
    assert sum(lengths) == 0x110000
    ends = np.cumsum(lengths)
    for character in "a_0é한字٣²½-' .\u00a0🎉\u0300":
        inside = int(np.searchsorted(ends, ord(character), side="right")) % 2 == 1
        assert inside == bool(re.match(r"\w", character)), character
