"""`s2s translate` as a filter: one line in, one line out, whatever the lines hold."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import s2s as s2s_package
from s2s.cli.commands import main
from s2s.cli.filter import LINES_AT_ONCE, arriving, in_blocks
from s2s.errors import DataError
from s2s.text.lines import read_lines

RECIPE = """
task = "translation"

[data]
source = "letters"
target = "numbers"
train.pairs = [["a b c d", "one two three four"], ["b c d a", "two three four one"], ["c a", "three one"]]
validation.pairs = [["a b c d", "one two three four"]]

[tokenizer]
kind = "words"

[model]
embedding_size = 16
hidden_size = 16

[training]
steps = 50
batch_tokens = 20
learning_rate = 0.02
warmup_steps = 5
label_smoothing = 0
precision = "float32"
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(s2s_package.__file__).parents[1])}
FORWARD, ROTATED = "one two three four", "two three four one"


class Runs:
    """Folders of trained runs: two that share their tokenizer, one with another, one without attention.

    And a bundle of the first, which a process opens in a fraction of the time that importing torch takes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first, self.second, self.other, self.blind = (str(path / name) for name in ("a", "b", "c", "d"))
        self.bundle = str(path / "bundle")


def s2s(*arguments: str, input: bytes = b"", code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments, input=input, catch_exceptions=False)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def lines_of(result: Result) -> list[str]:
    lines = result.stdout_bytes.decode().split("\n")
    assert lines.pop() == ""
    return lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    runs = Runs(tmp_path_factory.mktemp("filter"))
    recipe = runs.path / "letters.toml"
    recipe.write_text(RECIPE)
    short = "training.steps=2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(runs.path / "cache"))
        s2s("train", str(recipe), "--out", runs.first)
        s2s("export", runs.first, runs.bundle, "--format", "onnx")
        s2s("train", str(recipe), "--out", runs.second, "seed=2", short)
        s2s("train", str(recipe), "--out", runs.other, "tokenizer.vocabulary_size=9", short)
        s2s("train", str(recipe), "--out", runs.blind, "model.attention=none", short)
        yield runs


@pytest.fixture
def runs(trained: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The runs, with an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return trained


# One line in, one line out


STRANGE = [
    "",
    "   ",
    "\t",
    "\u3000",
    "a b\tc d",
    "🙂👩‍👩‍👧 a",
    "مرحبا بالعالم",
    "a\x0bb\x0cc\x1cd\x1d\x1e\x85e\u2028f\u2029g",
    "a\rb",
    "\x00\x01\x7f",
    "\x0b\x0c\x1c",
    "\u200b\ufeff",
    "b c d a " * 500,
    "a b c d",
]


@pytest.mark.parametrize("beam", ["1", "5"])
def test_strange_lines_are_one_line_each_and_blank_for_blank(runs: Runs, beam: str) -> None:
    input = "\n".join(STRANGE).encode()  # without a final newline
    found = lines_of(s2s("translate", runs.first, "--beam", beam, input=input))
    assert len(found) == len(STRANGE)
    assert [not line for line, source in zip(found, STRANGE, strict=True) if not source.strip()] == [True] * 5
    assert found[-1] == FORWARD


@pytest.mark.parametrize(
    ("input", "output"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"\n\n", ["", ""]),
        (b"a b c d", [FORWARD]),
        (b"a b c d\r\n\r\nb c d a\r\n", [FORWARD, "", ROTATED]),
        (b"\xef\xbb\xbfa b c d\n", [FORWARD]),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_line_ends_and_marks_are_read_alike_from_a_stream_and_a_file(
    runs: Runs, input: bytes, output: list[str]
) -> None:
    assert lines_of(s2s("translate", runs.first, input=input)) == output
    Path("input").write_bytes(input)
    assert lines_of(s2s("translate", runs.first, "--input", "input")) == output


def test_a_line_that_is_not_utf8_is_named_after_those_before_it(runs: Runs) -> None:
    result = s2s("translate", runs.first, input=b"a b c d\n\xffa\na\n", code=1)
    assert result.stdout == f"{FORWARD}\n"
    assert "standard input, line 2: byte 0xff is not UTF-8" in result.stderr
    Path("input").write_bytes(b"a b c d\n\xffa\na\n")
    result = s2s("translate", runs.first, "--input", "input", code=1)
    assert result.stdout == f"{FORWARD}\n"
    assert "input, line 2: byte 0xff" in result.stderr


def test_stdout_holds_translations_only(runs: Runs) -> None:
    result = s2s("translate", runs.first, "--attention", "plot.png", input=b"\n")
    assert result.stdout == "\n"
    assert "--attention plot.png: no plot" in result.stderr


# Streams


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=8)),
    ends=st.lists(st.sampled_from(["\n", "\r\n"]), min_size=30, max_size=30),
    whole=st.booleans(),
    size=st.integers(1, 9),
)
def test_chunks_of_any_size_give_the_lines_of_a_file(
    lines: list[str], ends: list[str], whole: bool, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join(line + ends[number % 30] for number, line in enumerate(lines))
    data = text.encode()[: None if whole or not text else -1]
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)

    class Slow(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            return super().read(size)

    assert [line for block in arriving(Slow(data)) for line in block] == list(read_lines(path))


def test_another_encoding_of_a_stream_is_named() -> None:
    with pytest.raises(DataError, match="standard input: the text is in UTF-16LE"):
        list(arriving(io.BytesIO("\ufeffa b\n".encode("utf-16-le"))))
    with pytest.raises(DataError, match="standard input: the text is in UTF-32BE"):
        list(arriving(io.BytesIO("안녕 여러분\n".encode("utf-32-be"))))
    assert list(arriving(io.BytesIO(b"a\0b\n\0"))) == [["a\0b"], ["\0"]]


def test_blocks_are_bounded() -> None:
    data = b"a\n" * (2 * LINES_AT_ONCE + 1)
    assert max(map(len, arriving(io.BytesIO(data)))) == LINES_AT_ONCE
    assert [len(block) for block in in_blocks("a" for _ in range(LINES_AT_ONCE + 1))] == [LINES_AT_ONCE, 1]


def test_a_stream_that_fails_or_does_not_wait_is_an_error_and_not_an_end() -> None:
    class Failing(io.RawIOBase):
        def __init__(self, answers: list[bytes | None]) -> None:
            self.answers = answers

        def read(self, size: int = -1) -> bytes | None:
            if not self.answers:
                raise OSError(errno.EIO, "Input/output error")
            return self.answers.pop(0)

    blocks = arriving(Failing([b"a\n"]))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="Input/output error"):
        list(blocks)
    with pytest.raises(BlockingIOError, match="non-blocking"):
        list(arriving(Failing([None])))  # type: ignore[arg-type]


def test_an_error_in_a_file_comes_after_the_block_before_it() -> None:
    def lines() -> Iterator[str]:
        yield "a"
        raise DataError("broken")

    blocks = in_blocks(lines())
    assert next(blocks) == ["a"]
    with pytest.raises(DataError, match="broken"):
        next(blocks)


def test_a_line_is_answered_before_the_next_comes_and_a_closed_pipe_is_silent(runs: Runs) -> None:
    command = [sys.executable, "-m", "s2s", "translate", runs.bundle]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=ENVIRONMENT) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for source, target in ((b"a b c d\n", FORWARD), (b"\n", ""), (b"b c d a\n", ROTATED)):
            process.stdin.write(source)
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{target}\n"
        process.stdout.close()
        process.stdin.write(b"a b c d\n" * 10)
        process.stdin.flush()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_one_message_and_is_still_a_device(runs: Runs) -> None:
    result = s2s("translate", runs.first, "--output", "/dev/full", input=b"a\n", code=1)
    assert "s2s: /dev/full: No space left on device" in result.stderr
    assert not Path("/dev/full").is_file()
    program = f"from s2s.cli.commands import main; main({['recipes']!r})"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=PIPE, env=ENVIRONMENT, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith("s2s: No space left on device")
    assert ended.stderr.count(b"\n") == 1


def test_the_standard_output_by_another_name_is_not_replaced(runs: Runs) -> None:
    program = f"from s2s.cli.commands import main; main(['translate', {runs.bundle!r}, '--output', '/dev/stdout'])"
    with open("log", "wb") as log:
        log.write(b"before\n")
        log.flush()
        command = [sys.executable, "-c", program]
        subprocess.run(command, input=b"a b c d\n", stdout=log, stderr=PIPE, env=ENVIRONMENT, check=True)
        log.write(b"after\n")
    assert Path("log").read_text() == f"before\n{FORWARD}\nafter\n"


def test_a_closed_standard_output_is_not_asked_for_where_a_file_is_written(runs: Runs) -> None:
    Path("out").write_text("before")
    command = ["translate", runs.bundle, "--output", "out"]
    program = f"import sys; sys.stdout = None; from s2s.cli.commands import main; main({command!r})"
    subprocess.run([sys.executable, "-c", program], input=b"a b c d\n", stderr=PIPE, env=ENVIRONMENT, check=True)
    assert Path("out").read_text() == f"{FORWARD}\n"


def test_a_closed_input_is_one_message(runs: Runs) -> None:
    program = f"import sys; sys.stdin = None; from s2s.cli.commands import main; main(['translate', {runs.bundle!r}])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=ENVIRONMENT, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode() == "s2s: the standard input is closed; give --input FILE, or lines\n"


def test_a_closed_output_is_one_message(runs: Runs) -> None:
    program = f"import sys; sys.stdout = None; from s2s.cli.commands import main; main(['translate', {runs.bundle!r}])"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=b"a b\n", capture_output=True, env=ENVIRONMENT, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode() == "s2s: the standard output is closed; give --output FILE\n"


# Options


def test_output_is_whole_or_absent(runs: Runs) -> None:
    Path("out").write_text("before")
    s2s("translate", runs.first, "--output", "out", input=b"a b c d\n\xff\n", code=1)
    assert Path("out").read_text() == "before"
    assert s2s("translate", runs.first, "--output", "out", input=b"a b c d\n").stdout == ""
    assert Path("out").read_text() == f"{FORWARD}\n"
    assert os.listdir() == ["out"]


def test_output_may_not_be_the_input(runs: Runs) -> None:
    Path("lines").write_text("a b c d\n")
    os.symlink("lines", "link")
    for output in ("lines", "./lines", "link"):
        result = s2s("translate", runs.first, "--input", "lines", "--output", output, code=2)
        assert "is the --input file, which would be lost" in result.stderr
    assert Path("lines").read_text() == "a b c d\n"


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_a_limit_that_cuts_most_outputs_is_told_once(runs: Runs, form: str) -> None:
    shutil.copytree(runs.first, "run")
    recipe = Path("run/recipe.toml")
    recipe.write_text(recipe.read_text().replace("[decoding]", "[decoding]\nmax_length_ratio = 0.01"))
    said = s2s("translate", "run", "--format", form, "--beam", "1", input=b"a b c d\n\n" * 3).stderr
    assert "warning" not in said  # ten tokens are enough
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s2s.translation.lengths.EXTRA_TOKENS", 2)
        said = s2s("translate", "run", "--format", form, "--beam", "1", input=b"a b c d\n\n" * 3).stderr
    assert said.count("\n") == 1
    assert "3 of 3 outputs (100%) were cut off" in said
    assert "raise decoding.max_length_ratio in run/recipe.toml (0.01)" in said


def test_nbest_text_gives_so_many_scored_lines_for_each(runs: Runs) -> None:
    found = lines_of(s2s("translate", runs.first, "--nbest", "3", input=b"a b c d\n\n"))
    assert len(found) == 6
    scores = [float(line.split("\t")[0]) for line in found[:3]]
    assert scores == sorted(scores, reverse=True)
    assert found[0].split("\t")[1] == FORWARD
    assert found[3:] == ["", "", ""]


def test_split_translates_sentences_one_by_one_and_leaves_the_rest(runs: Runs) -> None:
    input = f"a b c d\tb c d a\n \n[X1X] 5!\na b c d {{x}}  b c d a\n{'. '.join('abc')}".encode()
    found = lines_of(s2s("translate", runs.first, "--split", input=input))
    assert found[:4] == [f"{FORWARD}\t{ROTATED}", "", "[X1X] 5!", f"{FORWARD} {{x}}  {ROTATED}"]
    assert len(found) == 5
    assert lines_of(s2s("translate", runs.first, input=b"a b c d\tb c d a")) != found[:1]


def test_a_line_that_was_split_unites_what_its_sentences_have(runs: Runs) -> None:
    options = ("--split", "--format", "jsonl", "--nbest", "2", "--tokens")
    input = b"a b c d\tb" + b" c d a b" * 30 + b"\n\n"
    whole, blank = map(json.loads, lines_of(s2s("translate", runs.first, *options, input=input)))
    sentences = whole["sentences"]
    assert [each["source"] for each in sentences] == ["a b c d", "b" + " c d a b" * 30]
    assert whole["text"] == "\t".join(each["text"] for each in sentences)
    assert whole["log_probability"] == pytest.approx(sum(each["log_probability"] for each in sentences))
    assert whole["score"] == pytest.approx(sum(each["score"] for each in sentences) / 2)
    assert whole["tokens"] == [token for each in sentences for token in each["tokens"]]
    assert set(whole["flags"]) == {flag for each in sentences for flag in each["flags"]}
    assert [each["text"] for each in whole["nbest"]] == [
        "\t".join(each["nbest"][rank]["text"] for each in sentences) for rank in range(2)
    ]
    assert all(each["attention"] for each in sentences)
    assert blank == {
        "text": "", "score": 0.0, "log_probability": 0.0, "flags": [], "nbest": [], "tokens": [],
        "token_log_probabilities": [], "source_tokens": [], "attention": None, "sentences": [], "unknown": [],
        "invented": [],
    }  # fmt: skip


def test_split_plots_the_attention_of_the_first_sentence(runs: Runs) -> None:
    s2s("translate", runs.first, "--split", "--attention", "a.png", input=b"5\na b c d\tb c d a\n")
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_jsonl_has_the_keys_of_the_contract(runs: Runs) -> None:
    plain, blank = map(json.loads, lines_of(s2s("translate", runs.first, "--format", "jsonl", input=b"a b c d\n\n")))
    assert plain.keys() == blank.keys() == {"text", "score", "log_probability", "flags", "unknown", "invented", "nbest"}
    assert (plain["text"], plain["flags"], len(plain["nbest"])) == (FORWARD, [], 1)
    assert plain["nbest"][0].keys() == {"text", "score", "log_probability"}
    assert (blank["text"], blank["nbest"]) == ("", [])
    options = ("--format", "jsonl", "--nbest", "2", "--tokens")
    full = json.loads(s2s("translate", runs.first, *options, input=b"a b c d\n").stdout)
    assert full["tokens"] == [*FORWARD.split(), "</s>"]
    assert full["source_tokens"] == ["a", "b", "c", "d", "</s>"]
    assert len(full["nbest"]) == 2
    assert full["nbest"][0]["text"] == full["text"]
    assert sum(full["token_log_probabilities"]) == pytest.approx(full["log_probability"])
    assert [len(row) for row in full["attention"]] == [5] * 5
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in full["attention"])


def test_a_batch_of_lines_is_the_lines_alone(runs: Runs) -> None:
    input = b"a b c d\n\nb\nb c d a\nc a\n" * 5
    assert lines_of(s2s("translate", runs.first, "--batch", "1", input=input)) == lines_of(
        s2s("translate", runs.first, "--batch", "64", input=input)
    )


def test_attention_is_plotted_for_the_first_line_with_words(runs: Runs) -> None:
    assert lines_of(s2s("translate", runs.first, "--attention", "a.png", input=b"\na b c d\nb\n"))[1] == FORWARD
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    blind = s2s("translate", runs.blind, "--attention", "b.png", input=b"a\n", code=1)
    assert "--attention b.png: the model has no attention to plot" in blind.stderr
    assert os.listdir() == ["a.png"]


def test_an_ensemble_shares_its_tokenizers(runs: Runs) -> None:
    assert len(lines_of(s2s("translate", runs.first, runs.second, input=b"a b c d\n"))) == 1
    alone, twice = (
        json.loads(s2s("translate", *names, "--format", "jsonl", input=b"a b c d\n").stdout)
        for names in ([runs.first], [runs.first, runs.first])
    )
    assert twice["text"] == alone["text"]
    assert twice["score"] == pytest.approx(alone["score"], abs=1e-5)
    refused = s2s("translate", runs.first, runs.other, input=b"a\n", code=1)
    assert f"{runs.other}: its tokenizer is not that of {runs.first}" in refused.stderr
