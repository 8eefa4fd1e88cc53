"""A bundle translates as its run does, without torch."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from s2s import Translator
from s2s.errors import DataError, RunError
from s2s.export.export import export
from tests.small_runs import MODELS, TOKENIZERS, phrases, small_run

RUN = Path(__file__).parents[1] / "runs" / "tiny-en-ko"
LINES = [line for line, _ in phrases("test")[:6]] + ["", "   ", "zebra \N{GRINNING FACE} 12", "좋은 아침"]
WITHOUT_TORCH = """
import sys
class Refused:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refused())
"""


def bundle_of(run: Path, weights: Any = "float32") -> Path:
    """The bundle of a run, beside it."""
    place = run.with_name(f"{run.name}-bundle")
    export(run, place, "onnx", weights)
    return place


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_gives_the_texts_of_its_run(name: str, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", MODELS[name])
    ways = [Translator.load(run, device="cpu"), Translator.load(bundle_of(run))]
    for options in ({"beam": 1}, {"beam": 4, "nbest": 3, "attention": True}):
        for one, other in zip(*(each.translate(LINES, **options) for each in ways), strict=True):  # type: ignore[arg-type]
            assert (one.text, one.tokens, one.flags) == (other.text, other.tokens, other.flags)
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)
            assert [each.text for each in one.nbest] == [each.text for each in other.nbest]
            assert [each.score for each in one.nbest] == pytest.approx([each.score for each in other.nbest], abs=1e-4)
            if one.attention is None:
                assert other.attention is None
            else:
                assert other.attention == pytest.approx(one.attention, abs=1e-4)


def test_a_prefix_begins_the_translations_of_a_bundle_as_those_of_its_run(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    ways = [Translator.load(path).with_prefix("오늘 날씨") for path in (run, bundle_of(run))]
    for options in ({"beam": 1}, {"beam": 4, "nbest": 3}):
        one, other = (each.translate(LINES, **options) for each in ways)
        texts = [[each.text for each in line.nbest] for line in one]
        assert texts == [[each.text for each in line.nbest] for line in other]
        assert all(text.startswith("오늘 날씨") for line in texts for text in line)


@pytest.mark.parametrize("name", ["unigram-separate", "words-punctuation"])
def test_a_bundle_has_the_tokenizers_of_its_run(name: str, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", tokenizer=TOKENIZERS[name])
    one, other = (each.translate(LINES, beam=1) for each in (Translator.load(run), Translator.load(bundle_of(run))))
    assert [(each.text, each.source_tokens) for each in one] == [(each.text, each.source_tokens) for each in other]


@pytest.mark.parametrize("name", ["unigram", "bpe", "words", "characters-to-words"])
def test_a_bundle_takes_the_tags_of_its_run(name: str, tmp_path: Path) -> None:
    kinds = TOKENIZERS | {"characters-to-words": {"kind": "characters", "target_kind": "words", "joint": False}}
    run = small_run(tmp_path / "run", tokenizer=kinds[name], tags=("one", "two"))
    ways = Translator.load(run, device="cpu"), Translator.load(bundle_of(run))
    texts = []
    for tag, given in (("one", "one"), ("two", ["two"] * len(LINES))):
        one, other = (each.translate(LINES, beam=2, tag=given) for each in ways)
        texts.append([each.text for each in one])
        assert texts[-1] == [each.text for each in other]
        assert {each.source_tokens[0] for each in one if each.source_tokens} == {f"<tag:{tag}>"}
    assert texts[0] != texts[1]
    for way in ways:
        with pytest.raises(DataError, match=r"tag: three is none of the training's tags \(one, two\)"):
            way.translate(LINES, tag="three")
        with pytest.raises(DataError, match="tag: each source of the training had one"):
            way.translate(LINES)


@pytest.mark.parametrize(
    "decoding",
    [
        {"length_normalization": "gnmt", "coverage_penalty": 0.3, "beam": 3},
        {"no_repeat_ngram": 1, "length_normalization": "none"},
        {"no_repeat_ngram": 2, "coverage_penalty": 0.2, "beam": 1},
        {"min_length_ratio": 1.5, "max_length_ratio": 1.8, "batch_lines": 3},
    ],
    ids=str,
)
def test_a_bundle_searches_as_the_recipe_says(decoding: dict[str, Any], tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", decoding=decoding)
    ways = Translator.load(run, device="cpu"), Translator.load(bundle_of(run))
    assert ways[0].batch_lines == ways[1].batch_lines
    lengths = [[each.decoding.longest_output(count) for count in range(9)] for each in ways]
    assert lengths[0] == lengths[1]
    one, other = (each.translate(LINES) for each in ways)
    assert [each.text for each in one] == [each.text for each in other]
    assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-4)


def test_a_bundle_in_int8_says_what_it_has_learned(tmp_path: Path) -> None:
    made = Translator.load(bundle_of(shutil.copytree(RUN, tmp_path / "run"), "int8"))
    assert made.translate(["good morning"])[0].text == "좋은 아침이에요"
    assert made.in_precision("auto").with_batch(3).translate(["good morning"])[0].text == "좋은 아침이에요"


def run_program(script: str, *words: str, missing: tuple[str, ...] = ("torch",), line: str = "") -> tuple[str, str]:
    """What a program in which some packages cannot be imported prints to stdout and stderr."""
    command = [sys.executable, "-c", WITHOUT_TORCH.format(missing=set(missing)) + script, *words]
    found = subprocess.run(command, capture_output=True, text=True, input=line, check=False, env=dict(os.environ))
    return found.stdout, found.stderr


COMMAND = "from s2s.__main__ import run\nrun()"


def test_a_bundle_is_read_with_numpy_sentencepiece_and_onnxruntime_alone(tmp_path: Path) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    heavy = ("torch", "pydantic", "tqdm", "sacrebleu", "matplotlib", "safetensors", "onnx", "tomli_w", "filelock")
    load = "from s2s import Translator\nprint(Translator.load(sys.argv[1]).translate(['good morning'])[0].text)"
    assert run_program(load, str(bundle), missing=(*heavy, "click")) == ("좋은 아침이에요\n", "")
    out = run_program(COMMAND, "translate", str(bundle), "--beam", "1", line="good morning\n\n", missing=heavy)
    assert out == ("좋은 아침이에요\n\n", "")


def test_a_bundle_is_served_without_torch(tmp_path: Path) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    serve = (
        "from pathlib import Path\nfrom s2s.serve.app import App\nfrom s2s.serve.limits import Limits\n"
        "from s2s.serve.pairs import load_pairs\nfrom s2s.serve.service import Service\n"
        "App(Service(load_pairs([Path(sys.argv[1])], Limits())))\nprint('served')"
    )
    assert run_program(serve, str(bundle)) == ("served\n", "")


def test_what_is_not_installed_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    _, told = run_program(COMMAND, "translate", str(bundle), missing=("onnxruntime",))
    assert told == f"s2s: {bundle}: a bundle is run by onnxruntime, which is not installed: pip install 's2s[onnx]'\n"
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "s2s.export.onnx")
    with pytest.raises(RunError, match=r"--format onnx needs onnx, which is not installed: pip install 's2s\[onnx\]'"):
        export(RUN, tmp_path / "b", "onnx")


def test_threads_find_in_a_bundle_what_one_finds(tmp_path: Path) -> None:
    made = Translator.load(bundle_of(shutil.copytree(RUN, tmp_path / "run")))
    expected = made.translate(LINES, beam=3)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: made.translate(LINES, beam=3), range(8)):
            assert found == expected


def test_what_a_bundle_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    run = shutil.copytree(RUN, tmp_path / "run")
    bundle = bundle_of(run)
    for folders in ((bundle, run), (run, bundle), (bundle, bundle)):
        with pytest.raises(RunError, match="run-bundle: is a bundle, which is no part of an ensemble"):
            Translator.load(*folders)
    with pytest.raises(RunError, match=r"run-bundle: a bundle runs on the CPU \(given cuda\)"):
        Translator.load(bundle, device="cuda")
    with pytest.raises(RunError, match="precision bfloat16: a bundle has none but that of its export"):
        Translator.load(bundle, precision="bfloat16")
    with pytest.raises(RunError, match="precision bfloat16"):
        Translator.load(bundle).in_precision("bfloat16")


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    path = bundle / "bundle.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for wrong, told in (
        ("{", r"bundle\.json: damaged"),
        ("[]", r"bundle\.json: damaged"),
        (json.dumps({**content, "format": 3}), r"written by a newer s2s \(format 3; this version reads 2\)"),
        (json.dumps({**content, "task": "language"}), r"holds no translator \(its task is language\)"),
        (json.dumps({**content, "decoding": {}}), "lacks what a translator needs"),
        *(
            (json.dumps({**content, "decoding": {**content["decoding"], name: value}}), f"decoding.{name} is {value!r}")
            for name, value in (
                ("beam", "x"),
                ("beam", 0),
                ("beam", True),
                ("length_normalization", "y"),
                ("length_alpha", None),
            )
        ),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(RunError, match=told):
            Translator.load(bundle)
    path.write_text(json.dumps(content), encoding="utf-8")
    step = bundle / "step.onnx"
    step.write_bytes(step.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"step\.onnx: cannot be read by onnxruntime"):
        Translator.load(bundle)
    step.unlink()
    with pytest.raises(RunError, match=r"has no step\.onnx; s2s translate reads what s2s export --format onnx writes"):
        Translator.load(bundle)


def test_graphs_and_tokenizers_of_two_exports_are_told(tmp_path: Path) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    other = bundle_of(small_run(tmp_path / "other"))
    step, tokenizer = bundle / "step.onnx", bundle / "tokenizer.target.json"
    held = tokenizer.read_text(encoding="utf-8")
    entries = json.loads(held)["entries"]
    tokenizer.write_text(json.dumps({**json.loads(held), "entries": entries[:-1]}), encoding="utf-8")
    with pytest.raises(RunError, match=r"run-bundle: its target tokenizer has \d+ tokens, its step.onnx \d+, so they"):
        Translator.load(bundle)
    tokenizer.write_text(held, encoding="utf-8")
    for source in (bundle / "encoder.onnx", other / "step.onnx"):
        shutil.copyfile(source, step)
        with pytest.raises(RunError, match=r"run-bundle.*; export (the run )?again"):
            Translator.load(bundle)


def test_a_bundle_json_that_is_no_text_is_told_in_a_line(tmp_path: Path) -> None:
    bundle = bundle_of(shutil.copytree(RUN, tmp_path / "run"))
    (bundle / "bundle.json").write_bytes(b"\xff" * 500)
    with pytest.raises(RunError, match=r"bundle.json: damaged, it cannot be read \(UnicodeDecodeError: .{1,90}\); exp"):
        Translator.load(bundle)
