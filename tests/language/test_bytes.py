"""A language model of bytes: a log of any encoding is read, scored and written byte for byte."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from s2s.cli.commands import main
from s2s.errors import RecipeError, RunError
from s2s.export.export import export
from s2s.jobs.evaluate import evaluate
from s2s.jobs.train import train
from s2s.language.generator import Generator
from s2s.language.given import LineScorer
from s2s.language.recipe import TextFile
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES

RECIPE = """
task = "language"
[data]
train = {file = "app.log"}
window = 8
rows = 4
[tokenizer]
kind = "bytes"
[model]
hidden_size = 8
embedding_size = 4
[training]
steps = 4
precision = "float32"
warmup_steps = 0
"""
LOG = b"\xef\xbb\xbf" + b"".join(
    b"%02d caf\xe9 \xff\x00 \xc3\xa9\xe7\x8c\xab\r\n" % number for number in range(40)
)  # two encodings, a mark at the beginning, NUL and carriage returns


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    for place in ("s2s.jobs.train.write_report", "s2s.jobs.train.plot_curves"):
        monkeypatch.setattr(place, lambda *_, **__: None)
    (tmp_path / "app.log").write_bytes(LOG)
    return train(parse_recipe(RECIPE, TREES, origin="test", folder=tmp_path), tmp_path / "run", device="cpu")


def test_every_byte_of_a_log_is_learned_scored_and_counted(run: RunFolder, tmp_path: Path) -> None:
    learned = json.loads(run.environment.read_text())["data"]
    assert set(learned) == {"train", "validation"}
    (found,) = evaluate([run.path], files=TextFile(file=str(tmp_path / "app.log")), device="cpu")
    assert found["bytes"] == found["examples"] == len(LOG) - 1  # the first is given
    assert found["unknown_tokens"] == 0
    assert found["scores"]["bits_per_byte"]["value"] == pytest.approx(found["nats"] / math.log(2) / (len(LOG) - 1))
    lines = LOG.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
    scores = LineScorer(Generator.load(run.path, device="cpu"))(lines)
    assert sum(each.bytes for each in scores) == sum(each.tokens for each in scores) == len(LOG)


def test_what_is_generated_is_written_byte_for_byte(run: RunFolder) -> None:
    prompt = b"07 caf\xe9 \xe7".decode("utf-8", "surrogateescape")
    (found,) = Generator.load(run.path, device="cpu").generate(prompt, length=60)
    content = found.text.encode("utf-8", "surrogateescape")
    assert content.startswith(b"07 caf\xe9 \xe7")
    assert len(content) == 10 + 60 - 1
    command = ["generate", str(run.path), "--prompt", prompt, "--length", "60"]
    assert CliRunner().invoke(main, command).stdout_bytes == content + b"\n"
    row = json.loads(CliRunner().invoke(main, [*command, "--format", "jsonl"]).stdout_bytes)
    assert row["text"] == found.text
    prompts = run.path.parent / "prompts"
    prompts.write_bytes(b"07 caf\xe9 \xe7\n")
    given = ["generate", str(run.path), "--input", str(prompts), "--length", "60"]
    assert CliRunner().invoke(main, given).stdout_bytes == content + b"\n"


def test_javascript_refuses_bytes_by_name(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="its tokens are bytes, which JavaScript's runtime has not"):
        export(run.path, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("tokenizer.normalization=nfc", "bytes stay as they are"),
        ('tokenizer.symbols=["a", "b"]', r"symbols: are for characters and words \(kind is bytes\)"),
    ],
)
def test_what_bytes_have_not_is_refused(override: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=fault):
        parse_recipe(RECIPE, TREES, origin="test", folder=tmp_path, overrides=[override])
