"""The command line as a user meets it: what it prints, writes and refuses, and the code it ends with."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import s2s
from s2s.cli.commands import main
from s2s.cli.terminal import messages
from s2s.language import generator
from s2s.language.generator import Generator

RECIPE = """
task = "translation"
title = "Letters and their numbers"

[data]
source = "letters"
target = "numbers"
train.pairs = [
    ["a b c d", "one two three four"],
    ["b c d a", "two three four one"],
    ["c d a b", "three four one two"],
    ["d a b c", "four one two three"],
]
validation.pairs = [["a b c d", "one two three four"]]
test.pairs = [["b c d a", "two three four one"], ["c d a b", "three four one two"]]

[tokenizer]
kind = "words"

[model]
embedding_size = 16
hidden_size = 16

[training]
steps = 60
batch_tokens = 20
learning_rate = 0.02
warmup_steps = 5
precision = "float32"
log_every = 10
validate_every = 30
"""
RUN_FOLDER = {
    "best.safetensors",
    "environment.json",
    "format",
    "last",
    "lengths.json",
    "metrics.jsonl",
    "outputs.jsonl",
    "plots",
    "recipe.toml",
    "report.html",
    "scores.json",
    "tokenizer.json",
}


class Place:
    """A folder with a recipe, a trained run, and a way to call s2s in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = str(path / "letters.toml")
        self.run = str(path / "letters")

    def s2s(self, *arguments: str, input: bytes = b"", code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, input=input, catch_exceptions=False)
        assert result.exit_code == code, (result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        return result

    def translate(self, input: bytes, *options: str) -> list[str]:
        """The output lines of a translation by the trained run."""
        lines = self.s2s("translate", self.run, *options, input=input).stdout_bytes.decode().split("\n")
        assert lines.pop() == ""
        return lines

    def damaged(self, *parts: str) -> Path:
        """A file of a copy of the run, to be damaged."""
        copy = self.path / "damaged"
        subprocess.run(["rm", "-rf", copy], check=True)
        subprocess.run(["cp", "-r", self.run, copy], check=True)
        return copy.joinpath(*parts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("cli"))
    Path(place.recipe).write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(place.path / "cache"))
        place.s2s("train", place.recipe, "--out", place.run)
        yield place


@pytest.fixture
def place(trained: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The trained run, with an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return trained


# train


def test_a_run_folder_holds_what_the_contract_lists(place: Place) -> None:
    run = Path(place.run)
    assert {path.name for path in run.iterdir()} == RUN_FOLDER
    assert {path.name for path in (run / "plots").iterdir()} == {"attention.png", "curves.png"}
    assert {path.name for path in (run / "last").iterdir()} == {"checkpoint.json", "state-60.safetensors"}
    assert place.s2s("recipes", "check", str(run / "recipe.toml")).stdout.endswith("a valid recipe\n")
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"]
    assert environment["device"] == "cpu"
    assert "float32" in environment["precision"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [10, 20, 30, 40, 50, 60]
    assert [row["step"] for row in rows if "validation" in row] == [30, 60]


def test_train_prints_scores_to_stdout_and_all_else_to_stderr(place: Place) -> None:
    result = place.s2s("train", place.recipe, "training.steps=5")
    assert result.stdout.startswith("runs/letters on test, 2 examples, beam 5\n  bleu ")
    assert "nrefs:1|case:mixed" in result.stdout
    assert "step 5: nats_per_token" in result.stderr
    assert "float32 (as asked)" in result.stderr
    assert Path("runs/letters/scores.json").exists()


def test_an_existing_run_folder_is_refused_and_stays_as_it_was(place: Place) -> None:
    before = {path: path.read_bytes() for path in Path(place.run).rglob("*") if path.is_file()}
    result = place.s2s("train", place.recipe, "--out", place.run, code=1)
    assert "exists already; go on with --resume" in result.stderr
    assert before == {path: path.read_bytes() for path in Path(place.run).rglob("*") if path.is_file()}


def test_a_folder_that_is_no_run_is_neither_trained_into_nor_resumed(place: Place) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("text")
    assert "exists already" in place.s2s("train", place.recipe, "--out", "thesis", code=1).stderr
    resumed = place.s2s("train", place.recipe, "--out", "thesis", "--resume", code=1)
    assert "thesis: not a run folder (it has no recipe.toml)" in resumed.stderr
    assert os.listdir("thesis") == ["chapter.txt"]


def test_resuming_a_finished_run_says_that_there_is_nothing_to_do(place: Place) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(place.run).glob("*.safetensors")}
    result = place.s2s("train", place.recipe, "--out", place.run, "--resume")
    assert "nothing to do: step 60, the limit of 60 steps is reached" in result.stderr
    assert result.stdout.startswith(f"{place.run} on test")
    assert before == {path: path.stat().st_mtime_ns for path in Path(place.run).glob("*.safetensors")}


def test_dry_run_reads_the_data_prints_the_recipe_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    result = place.s2s("train", place.recipe, "model.hidden_size=64", "--dry-run")
    assert "hidden_size = 64" in result.stdout
    assert "data.train: the pairs in the recipe (train), 4 pairs" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "most"), [("words", 3), ("characters", 17)])
def test_a_dry_run_tells_of_the_pairs_that_limits_leave_out(place: Place, kind: str, most: int) -> None:
    pairs = 'data.train.pairs=[["a b c d", "one two three four"], ["a", "one"]]'
    limits = [f"tokenizer.kind={kind}", f"data.max_tokens={most}", pairs]
    said = place.s2s("train", place.recipe, *limits, "--dry-run").stderr
    assert f"1 pairs dropped, longer than {most} tokens (50.0% of 2); raise data.max_tokens" in said
    assert place.s2s("train", place.recipe, *limits, "training.steps=1", "--out", "out").stderr.count(
        f"1 pairs dropped, longer than {most} tokens (50.0% of 2); raise data.max_tokens"
    ) == 1  # fmt: skip
    said = place.s2s("train", place.recipe, "tokenizer.kind=subword", "--dry-run").stderr
    assert "what they leave out is counted in training, in learned subwords" in said


@pytest.mark.parametrize("options", [["--dry-run"], ["training.steps=1"]])
def test_html_in_the_training_pairs_is_told_once(place: Place, options: list[str]) -> None:
    Path("x.de").write_text("Salz &amp; Pfeffer\n" * 6)
    Path("x.en").write_text("salt and pepper\n" * 6)
    said = place.s2s("train", place.recipe, *options, "data.train={source='x.de', target='x.en'}").stderr
    assert said.count("100.0% of 6 lines have HTML entities, first line 1 (&amp;)") == 1


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_data_that_is_missing_or_unequal_stops_before_a_run_begins(place: Place, dry: list[str]) -> None:
    missing = place.s2s("train", place.recipe, *dry, "data.train.source=no.de", "data.train.target=no.en", code=1)
    assert "data.train: " in missing.stderr
    assert "no.de: cannot be read: No such file or directory" in missing.stderr
    Path("three.de").write_text("a\nb\nc\n")
    Path("two.en").write_text("A\nB\n")
    unequal = place.s2s(
        "train", place.recipe, *dry, "data.train.source=three.de", "data.train.target=two.en", code=1
    )  # fmt: skip
    assert re.search(r"three\.de.* 3 .*two\.en.* 2", unequal.stderr.replace("\n", " "))
    corpus = place.s2s("train", place.recipe, *dry, "data.train=multi30k/train", "--corpora", "empty", code=1)
    assert "data.train: corpus multi30k is not on this machine" in corpus.stderr
    assert "s2s corpora fetch multi30k --corpora empty" in corpus.stderr
    assert not Path("runs/letters").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: there is no recipe of this name"),
        (["nowhere.toml"], "nowhere.toml: there is no such file"),
        (["RECIPE", "model.hiden_size=3"], "model.hiden_size: unknown key; did you mean hidden_size?"),
        (["RECIPE", "model.hidden_size=large"], 'model.hidden_size: must be a whole number (given "large")'),
        (["RECIPE", "model.attention=sideways"], "model.attention: must be one of dot, "),
        (["RECIPE", "model.hidden_size"], "an override has the form KEY=VALUE"),
        (["RECIPE", "data.test=multi30k/tset"], "data.test: corpus multi30k has no split 'tset'"),
    ],
)
def test_a_wrong_recipe_is_one_clear_message(place: Place, arguments: list[str], said: str) -> None:
    result = place.s2s("train", *[place.recipe if word == "RECIPE" else word for word in arguments], code=1)
    assert said in result.stderr
    assert result.stdout == ""
    assert os.listdir() == []


WRONG = ["", "nothing", "train", "train a --resum", "translate a --beam 0", "translate a --device tpu",
         "translate a --tokens", "generate", "generate a --temperature -1", "generate a --temperature 1e-50",
         "generate a --temperature nan", "generate a --temperature inf", "generate a --temperature x",
         "train a --out=", "train a --dry-run --corpora=", "translate a --input=",
         "evaluate a --reference b", "generate a --top-p 0", "evaluate a --on b --source c --reference d"]  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_ends_with_2(place: Place, words: str) -> None:
    result = place.s2s(*words.split(), code=2)
    assert result.stdout == ""
    assert "Usage: " in result.stderr


def test_a_device_that_is_not_there_is_named(place: Place) -> None:
    result = place.s2s("translate", place.run, "--device", "cuda:99", code=1)
    assert "--device cuda:99: this machine has" in result.stderr


def test_debug_shows_where_an_error_comes_from(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_DEBUG", "1")
    result = CliRunner().invoke(main, ["recipes", "show", "nowhere"])
    assert type(result.exception).__name__ == "RecipeError"


def test_a_full_disk_is_one_message_and_the_checkpoint_before_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, flushed = os.fsync, 0

    def fill(descriptor: int) -> None:
        nonlocal flushed
        flushed += 1
        if flushed > 24:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        full = place.s2s("train", place.recipe, "training.save_every=1", code=1)
    assert re.search(r"s2s: runs/letters/\S+: No space left on device; free some space .*--resume", full.stderr)
    assert not list(Path("runs").rglob("*.tmp"))
    assert Path("runs/letters/last/checkpoint.json").exists()
    place.s2s("train", place.recipe, "training.save_every=1", "--resume")
    assert Path("runs/letters/best.safetensors").read_bytes() == Path(place.run, "best.safetensors").read_bytes()


def test_a_disk_that_is_full_from_the_start_leaves_no_run_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    full = place.s2s("train", place.recipe, code=1)
    assert "runs/letters/recipe.toml: No space left on device" in full.stderr
    assert not Path("runs").exists()


# damaged run folders


def test_a_missing_or_strange_run_folder_is_named(place: Place) -> None:
    assert "nowhere: no such run folder" in place.s2s("translate", "nowhere", code=1).stderr
    Path("folder").mkdir()
    assert "folder: not a run folder" in place.s2s("evaluate", "folder", code=1).stderr


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\xff" * 100])
def test_damaged_weights_are_named(place: Place, content: bytes) -> None:
    weights = place.damaged("best.safetensors")
    weights.write_bytes(content)
    result = place.s2s("translate", str(weights.parent), code=1)
    assert f"{weights}: damaged, it cannot be read as safetensors" in result.stderr


def test_weights_of_another_model_are_named(place: Place) -> None:
    recipe = place.damaged("recipe.toml")
    recipe.write_text(recipe.read_text().replace("hidden_size = 16", "hidden_size = 32"))
    result = place.s2s("translate", str(recipe.parent), code=1)
    assert f"{recipe.parent / 'best.safetensors'}: " in result.stderr


def test_a_missing_tokenizer_is_named(place: Place) -> None:
    tokenizer = place.damaged("tokenizer.json")
    tokenizer.unlink()
    assert (
        "copy the file back into the folder, or train or export again"
        in place.s2s("translate", str(tokenizer.parent), code=1).stderr
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("checkpoint.json", '{"format": 1', "checkpoint.json: damaged"),
        ("checkpoint.json", '{"format": 99, "state": "x", "averaged": [], "progress": {}}', "has format 99"),
        ("state-60.safetensors", "", "state-60.safetensors: damaged"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_left_alone(place: Place, name: str, content: str, said: str) -> None:
    file = place.damaged("last", name)
    file.write_text(content)
    run = file.parent.parent
    result = place.s2s("train", place.recipe, "training.steps=90", "--out", str(run), "--resume", code=1)
    assert said in result.stderr
    assert file.read_text() == content
    assert {path.name for path in run.iterdir()} == RUN_FOLDER


# evaluate


def test_evaluate_prints_signed_scores_with_intervals(place: Place) -> None:
    shown = place.s2s("evaluate", place.run).stdout
    assert re.search(r"bleu +100\.00 \[100\.00, 100\.00\]  nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp", shown)
    assert re.search(r"chrf +100\.00 \[100\.00, 100\.00\]  nrefs:1", shown)
    assert "loops 0.00%, empty 0.00%, copied 0.00%, truncated 0.00%" in shown


def test_a_pipe_that_would_be_read_twice_is_refused(place: Place) -> None:
    os.mkfifo("pipe")
    said = place.s2s("evaluate", place.run, "--source", "pipe", "--reference", "pipe", code=1).stderr
    assert "pipe: is a pipe, which can be read only once" in said
    assert "give a file" in said


def test_evaluate_json_has_the_keys_of_the_contract_and_is_what_training_kept(place: Place) -> None:
    result = json.loads(place.s2s("evaluate", place.run, "--json").stdout)
    assert result.keys() == {"task", "run", "split", "examples", "beam", "scores", "by_length", "rates", "data"}
    assert (result["task"], result["run"], result["split"], result["examples"]) == ("translation", place.run, "test", 2)
    assert result["scores"].keys() == {"bleu", "chrf", "exact_match"}
    assert result["scores"].pop("exact_match").keys() == {"value"}
    assert all(score.keys() == {"value", "low", "high", "signature"} for score in result["scores"].values())
    assert result["rates"].keys() == {"loops", "empty", "copied", "truncated"}
    assert result["data"].keys() == {"blank", "short_references", "several_answers", "in_training"}
    kept = json.loads(Path(place.run, "scores.json").read_text())
    assert kept["scores"].pop("exact_match") == {"value": 1}
    assert {**result, "step": kept["step"]} == kept


def test_two_runs_are_compared_by_paired_bootstrap(place: Place) -> None:
    shown = place.s2s("evaluate", place.run, place.run, "--on", "validation").stdout
    assert f"{place.run} against {place.run}: +0.00 BLEU [+0.00, +0.00], p = 1.0000 (paired bootstrap)" in shown
    both = json.loads(place.s2s("evaluate", place.run, place.run, "--json").stdout)
    assert len(both["runs"]) == 2
    assert both["comparisons"][0].keys() == {"run", "against", "metric", "p_value", "difference", "low", "high"}


def test_runs_on_other_pairs_are_scored_each_and_a_warning_stands_for_the_comparison(place: Place) -> None:
    recipe = place.damaged("recipe.toml")
    recipe.write_text(recipe.read_text().replace("three four one two", "three four one one"))
    other = recipe.parent
    shown = place.s2s("evaluate", place.run, str(other))
    assert shown.stdout.count("\n  chrf ") == 2
    assert "paired bootstrap" not in shown.stdout
    assert f"{other} and {place.run}: scored on different pairs, so they are not compared" in shown.stderr
    both = json.loads(place.s2s("evaluate", place.run, str(other), "--json").stdout)
    assert (len(both["runs"]), both["comparisons"]) == (2, [])


def test_training_data_that_are_gone_are_said_not_to_be_checked(place: Place) -> None:
    recipe = place.damaged("recipe.toml")
    begin, rest = recipe.read_text().split("[data.train]")
    rest = rest[rest.index("[data.") :]
    recipe.write_text(f'{begin}[data.train]\nsource = "gone.x"\ntarget = "gone.y"\n\n{rest}')
    result = place.s2s("evaluate", str(recipe.parent), "--json")
    assert json.loads(result.stdout)["data"]["in_training"] is None
    assert "whether sources were trained on cannot be checked: data.train: " in result.stderr
    assert json.loads(place.s2s("evaluate", place.run, "--json").stdout)["data"]["in_training"] == 1


def test_blank_references_are_left_out_in_each_split_alike_and_told_of(place: Place) -> None:
    Path("source").write_text("a b c d\nb c d a\n\n")
    Path("reference").write_text("one two three four\n\nfour\n")
    shown = place.s2s("evaluate", place.run, "--source", "source", "--reference", "reference").stdout
    assert "on files, 1 examples" in shown
    assert "\n  pairs left out since a side is blank: 2\n  100.0% of the sources are sources of data.train" in shown
    Path("reference").write_text("\n\nfour\n")
    none = place.s2s("evaluate", place.run, "--source", "source", "--reference", "reference", code=1)
    assert "files: has no pairs to score (3 have a blank side)" in none.stderr


def test_evaluate_takes_files(place: Place) -> None:
    Path("source").write_text("a b c d\nb c d a\n")
    Path("reference").write_text("one two three four\none one one one\n")
    result = json.loads(
        place.s2s("evaluate", place.run, "--source", "source", "--reference", "reference", "--json").stdout
    )
    assert (result["split"], result["examples"]) == ("files", 2)
    assert 0 < result["scores"]["bleu"]["value"] < 100
    Path("reference").write_text("one two three four\n")
    unequal = place.s2s("evaluate", place.run, "--source", "source", "--reference", "reference", code=1)
    assert re.search(r"source.* 2 .*reference.* 1", unequal.stderr.replace("\n", " "))


def test_evaluate_on_a_split_that_is_not_there_says_what_there_is(place: Place) -> None:
    result = place.s2s("evaluate", place.run, "--on", "tset", code=1)
    assert "--on tset: give train, validation, test, or CORPUS/SPLIT" in result.stderr


# recipes and corpora


def test_recipes_are_listed_shown_copied_and_checked(place: Place, tmp_path: Path) -> None:
    listed = place.s2s("recipes").stdout
    assert re.search(r"^multi30k-de-en +German to English", listed, re.MULTILINE)
    shown = place.s2s("recipes", "show", "multi30k-de-en").stdout
    assert place.s2s("recipes", "copy", "multi30k-de-en", str(tmp_path)).stdout == f"{tmp_path}/multi30k-de-en.toml\n"
    assert (tmp_path / "multi30k-de-en.toml").read_text() == shown
    again = place.s2s("recipes", "copy", "multi30k-de-en", "multi30k-de-en.toml", code=1)
    assert "multi30k-de-en.toml: exists already" in again.stderr
    place.s2s("recipes", "check", "multi30k-de-en.toml")
    wrong = place.s2s("recipes", "check", "multi30k-de-en.toml", "model.cell=gruu", "seed=x", code=1)
    assert "2 errors" in wrong.stderr
    assert "did you mean gru?" in wrong.stderr


def test_output_is_utf8_whatever_the_terminals_letters_are() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1]), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "s2s", "recipes", "show", "tiny-en-ko"]
    shown = subprocess.run(command, capture_output=True, check=True, env=environment).stdout.decode("utf-8")
    assert "좋은 아침이에요" in shown


@pytest.mark.parametrize("words", [["recipes"], ["corpora"], ["recipes", "keys"], ["evaluate", "x"], ["forecast", "x"]])
def test_a_closed_standard_output_is_one_message(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    program = f"import sys; sys.stdout = None; from s2s.cli.commands import main; main({words!r})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode() == (
        f"s2s: the standard output is closed, and s2s {words[0]} has nowhere to write to\n"
    )


def test_a_closed_standard_error_leaves_the_results_alone() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    program = (
        "import sys, logging; sys.stderr = None; from s2s.cli.terminal import messages\n"
        "with messages():\n"
        "    logging.getLogger('s2s').warning('lost')\n"
        "print('kept')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert ended.stdout.decode() == "kept\n"


def test_a_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with messages():
        for text in ("one", "two", "one"):
            logging.getLogger("s2s").warning(text)
            logging.getLogger("s2s").info(text)
    assert capsys.readouterr().err == "warning: one\none\nwarning: two\ntwo\none\n"


def test_recipes_table_prints_markdown(place: Place) -> None:
    assert place.s2s("recipes", "table", place.run).stdout.startswith("| run |")


def test_corpora_are_listed_and_their_place_is_printed(place: Place) -> None:
    assert re.search(r"^multi30k +.+\(.+\)$", place.s2s("corpora").stdout, re.MULTILINE)
    missing = place.s2s("corpora", "where", "multi30k", "--corpora", "here", code=1)
    assert "multi30k is not on this machine (looked in here/multi30k for" in missing.stderr
    assert missing.stdout == ""
    for name in ("phrasebook-en-ko", "sunspots"):  # which ship with s2s
        for command in ("where", "fetch"):
            assert Path(place.s2s("corpora", command, name).stdout.removesuffix("\n"), "corpus.toml").is_file()
    for command in ("where", "fetch"):
        assert "did you mean multi30k?" in place.s2s("corpora", command, "multi30", code=1).stderr


# help


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate", "errors of a forecaster"),
        ("forecast", "its time column too. Default: continue the run's own file."),
    ],
)
def test_help_says_what_becomes_of_a_forecaster(command: str, said: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"]).stdout
    assert said in " ".join(shown.split())


# start-up


def test_help_and_recipe_errors_do_not_import_torch() -> None:
    program = (
        "import sys; from s2s.cli.commands import main\n"
        "words = ['--help'], ['train', '--help'], ['recipes'], ['recipes', 'keys'], ['corpora'], ['train', 'nowhere']\n"
        "for command in words:\n"
        "    try: main(command)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)


LANGUAGE = """
task = "language"

[data]
train = {text = "to be or not to be\\n", repeat = 8}

[model]
hidden_size = 16
embedding_size = 8

[training]
steps = 30
learning_rate = 0.02
warmup_steps = 3
precision = "float32"
"""


@pytest.fixture(scope="module")
def language_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("language")
    (path / "small.toml").write_text(LANGUAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(path / "cache"))
        result = call("train", str(path / "small.toml"), "--out", str(path / "run"))
    assert "nats per token" in result.stdout
    return path / "run"


class TestLanguage:
    @pytest.fixture
    def run(self, language_run: Path) -> Path:
        return language_run

    def test_generate_prints_samples_or_json(self, run: Path) -> None:
        result = call("generate", str(run), "--prompt", "to ", "--length", "9", "--n", "2", "--temperature", "0")
        assert len(result.stdout.replace("\n", "")) <= 24
        assert result.stdout.startswith("to ")
        found = json.loads(call("generate", str(run), "--prompt", "to", "--greedy", "--json").stdout)
        assert found[0]["text"].startswith("to")
        assert len(found[0]["tokens"]) == 200
        assert found[0]["log_probability"] <= 0

    def test_generate_writes_a_stream_and_ends_before_a_stop(self, run: Path) -> None:
        asked = "generate", str(run), "--prompt", "to ", "--length", "30"
        (found,) = json.loads(call(*asked, "--json").stdout)
        assert call(*asked).stdout == found["text"] + "\n"
        stop = found["text"][5:7]
        stopped = call(*asked, "--stop", stop, "--stop", "Ü", "--format", "jsonl").stdout
        row = json.loads(stopped)
        assert row["text"] == "to " + found["text"][3:].partition(stop)[0]
        assert (row["prompt"], row["seed"], row["stopped"]) == ("to ", 1, "stop")

    def test_generate_takes_a_prompt_a_line_each_as_if_alone(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "prompts").write_text("to be\n\nnot\n")
        asked = "generate", str(run), "--length", "9", "--samples", "2", "--seed", "4", "--format", "jsonl"
        rows = [json.loads(line) for line in call(*asked, "--input", str(tmp_path / "prompts")).stdout.splitlines()]
        alone = [call(*asked, "--prompt", prompt).stdout.splitlines() for prompt in ("to be", "", "not")]
        assert [row["text"] for row in rows] == [json.loads(line)["text"] for lines in alone for line in lines]
        assert [(row["prompt"], row["seed"]) for row in rows[:3]] == [("to be", 4), ("to be", 5), ("", 4)]
        texts = call(*asked[:-2], "--input", str(tmp_path / "prompts")).stdout
        assert texts == "".join(row["text"] + "\n" for row in rows)

    def test_generate_writes_many_samples_a_few_at_a_time(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that the first of a million are there at once, and take no memory."""
        asked = "generate", str(run), "--length", "3", "--n", "5", "--seed", "7", "--format", "jsonl"
        whole, counts, write = call(*asked).stdout, list[int](), Generator.generate
        monkeypatch.setattr(generator, "ROWS", 2)
        monkeypatch.setattr(
            Generator, "generate", lambda *given, **ways: counts.append(ways["samples"]) or write(*given, **ways)
        )
        found = [[json.loads(line) for line in text.splitlines()] for text in (call(*asked).stdout, whole)]
        likely = [[each.pop("log_probability") for each in texts] for texts in found]
        assert found[0] == found[1]
        assert likely[0] == pytest.approx(likely[1], abs=1e-5)
        assert counts == [2, 2, 1]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("generate r --prompt a --input b", "--prompt and --input exclude each other"),
            ("generate r --json --format text", "--json and --format exclude each other"),
            ("generate r --min-p nan", "--top-p and --min-p must be numbers"),
            ("generate r --min-p 2", "2.0 is not in the range"),
            ("evaluate r --rate 1", "--rate and --window are of --dynamic; give it too, or leave them out"),
            ("evaluate r --dynamic --rate nan", "--rate must be a number"),
        ],
    )
    def test_options_that_do_not_go_together_are_said(self, options: str, message: str) -> None:
        assert message in call(*options.split(), code=2).stderr

    def test_an_empty_stop_is_refused(self) -> None:
        assert "--stop: the text is empty" in call("generate", "r", "--stop", "", code=2).stderr

    def test_dynamic_evaluation_is_asked_for_and_said(self, run: Path) -> None:
        asked = "evaluate", str(run), "--on", "validation"
        assert "dynamic" not in call(*asked).stdout
        assert "dynamic evaluation: " in call(*asked, "--dynamic", "--window", "7").stdout
        found = json.loads(call(*asked, "--dynamic", "--rate", "0.01", "--json").stdout)
        assert found["dynamic"]["rate"] == 0.01

    def test_an_unknown_character_is_one_clear_message(self, run: Path) -> None:
        result = call("generate", str(run), "--prompt", "Ü", code=1)
        assert result.stderr.strip().endswith(
            "the prompt 'Ü' has the character 'Ü', which the training text lacks; leave it out"
        )

    def test_evaluate_takes_a_text_and_says_the_contract(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "other.txt").write_text("not to be\n")
        found = json.loads(call("evaluate", str(run), "--source", str(tmp_path / "other.txt"), "--json").stdout)
        assert found["task"] == "language"
        assert set(found["scores"]) == {
            "nats_per_token",
            "perplexity",
            "bits_per_character",
            "bits_per_byte",
            "accuracy",
        }
        assert found["examples"] == 9
        result = call("evaluate", str(run), "--source", "a", "--reference", "b", code=1)
        assert "a language model is scored on one text" in result.stderr

    def test_a_language_model_does_not_translate(self, run: Path) -> None:
        assert (
            "holds no translator but a language model; use s2s generate" in call("translate", str(run), code=1).stderr
        )

    def test_marks_of_other_programs_in_its_text_are_told(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_text("one<br>two\n" * 20)
        result = call("train", str(run.parent / "small.toml"), f"data.train.file={tmp_path / 'x.txt'}", "--dry-run")
        assert "100.0% of 18 lines have HTML tags, first line 1 (<br>)" in result.stderr

    def test_a_dry_run_counts_characters(self, run: Path) -> None:
        result = call("train", str(run.parent / "small.toml"), "--dry-run")
        assert "data.train: the first 90% of the text in the recipe, 8 times (train), 136 characters" in result.stderr
        assert 'task = "language"' in result.stdout


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result
