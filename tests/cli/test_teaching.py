"""Scores of given text on the command line, its pipe that filters a corpus, and a student that learns from a run."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_runs import TOKENIZERS, phrases, small_run

from s2s import Generator, Translator
from s2s.cli.commands import main
from s2s.files import recorded
from s2s.jobs import teach
from s2s.language.given import LineScorer
from s2s.recipe.load import read_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES
from s2s.training.stopping import Interrupted
from s2s.training.trainer import Trainer
from s2s.translation.given import score_given

RUNS = Path(__file__).parents[1] / "runs"
TINY = ("good morning", "thank you very much", "one coffee please")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


def s2s(*words: str | Path, line: str = "", code: int = 0) -> Result:
    result = CliRunner().invoke(main, [*map(str, words)], input=line, catch_exceptions=False)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def test_pairs_are_scored_from_files_and_as_they_arrive() -> None:
    pairs = [*phrases()[:3], ("good morning", "")]
    for name, lines in zip(("a.en", "a.ko"), zip(*pairs, strict=True), strict=True):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    run = small_run(Path("run"), tokenizer=TOKENIZERS["characters"])
    scores = score_given(Translator.load(run), pairs)
    text = "".join(f"{nats:.4f}\t{tokens}\t{unknown}\n" for nats, tokens, unknown in scores)
    assert s2s("score", run, "--source", "a.en", "--target", "a.ko").stdout == text
    joined = "".join(f"{source}\t{target}\n" for source, target in pairs)
    assert s2s("score", run, line=joined).stdout == text
    rows = [json.loads(row) for row in s2s("score", run, "--json", line=joined).stdout.splitlines()]
    assert [row["nats"] for row in rows] == pytest.approx([each.nats for each in scores])
    assert rows[0]["nats_per_token"] == pytest.approx(scores[0].nats / scores[0].tokens)
    assert rows[3] == {"nats": 0.0, "tokens": 0, "unknown_tokens": 0, "nats_per_token": None}
    refused = s2s("score", run, line="no tab\n", code=1).stderr
    assert (
        refused == "s2s: standard input: 'no tab' has 0 tabs, and one is wanted, as of: paste source.txt target.txt\n"
    )
    Path("a.ko").write_text("1\n")
    assert "a.en has 4 lines, target a.ko 1" in s2s("score", run, "--source", "a.en", "--target", "a.ko", code=1).stderr


def test_lines_are_scored_by_a_language_model() -> None:
    run, lines = RUNS / "words-one-to-five", ["one , two", "", "three"]
    scores = LineScorer(Generator.load(run))(lines)
    text = "".join(f"{each.nats:.4f}\t{each.tokens}\t{each.unknown_tokens}\n" for each in scores)
    Path("text.txt").write_text("\n".join(lines))
    assert s2s("score", run, "--source", "text.txt").stdout == s2s("score", run, line="\n".join(lines)).stdout == text
    carried = s2s("score", run, "--carried", line="\n".join(lines)).stdout
    assert carried.splitlines()[0] == text.splitlines()[0]
    assert carried != text


def interrupted(self: object) -> None:
    raise Interrupted("stopped")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([RUNS / "words-one-to-five", "--target", "x"], "a language model scores lines of text"),
        ([RUNS / "words-one-to-five", RUNS / "words-one-to-five"], "give one RUN"),
        ([RUNS / "tiny-en-ko", "--source", "x"], "give --source with --target"),
        ([RUNS / "tiny-en-ko", "--carried"], "and no --carried"),
    ],
)
def test_what_a_model_cannot_score_is_a_wrong_command_line(words: list[str | Path], said: str) -> None:
    assert said in s2s("score", *words, code=2).stderr


def test_a_forecaster_scores_no_text() -> None:
    assert (
        "a forecaster has no scores of given text; use s2s evaluate" in s2s("score", RUNS / "sunspots", code=1).stderr
    )


def test_the_documented_pipe_keeps_the_pairs_that_both_directions_like() -> None:
    """With the runs of the help in their place: pairs in the order of |a - b| + (a + b) / 2."""
    documented = s2s("score", "--help").stdout
    script = documented[documented.index("    s2s score runs/de-en") : documented.index("Options:")]
    for name, seed in (("de-en", 1), ("en-de", 2)):
        small_run(Path("runs") / name, tokenizer=TOKENIZERS["characters"], seed=seed)
    pairs = [*phrases()[:12], ("blank", ""), ("", "empty")]
    for name, lines in zip(("raw.de", "raw.en"), zip(*pairs, strict=True), strict=True):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    one, other, pipe = script.strip().split("\n", 2)
    for command in (one, other):  # here, since a process of its own takes seconds to import torch
        words, _, made = command.partition(" > ")
        Path(made).write_text(s2s(*words.split()[1:]).stdout)
    subprocess.run(["bash", "-euc", pipe.replace("100000", "5")], check=True)
    sides = pairs, [pair[::-1] for pair in pairs]
    scores = [
        score_given(Translator.load(f"runs/{run}"), side) for run, side in zip(("de-en", "en-de"), sides, strict=True)
    ]
    ranked = []
    for pair, one, other in zip(pairs, *scores, strict=True):
        if all(pair):
            a, b = one.nats / one.tokens, other.nats / other.tokens
            ranked.append((abs(a - b) + (a + b) / 2, pair))
    assert Path("best.tsv").read_text() == "".join("\t".join(pair) + "\n" for _, pair in sorted(ranked)[:5])


def test_a_distilled_student_is_the_same_after_stops_in_translating_and_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teach, "BLOCK_LINES", 2)
    command = ["distil", RUNS / "tiny-en-ko", "tiny-en-ko", "training.steps=6", "data.test=", "--nbest", "2"]
    s2s(*command, "--out", "whole", "--beam", "3")
    assert Path("whole.tsv").read_text().splitlines()[:2] == ["en\tko", "good morning\t좋은 아침이에요"]
    recipe = read_recipe(Path("whole/recipe.toml"), TREES)
    assert [str(getattr(part, "from"))[:5] for part in recipe.data.train] == ["pairs", "table"]  # type: ignore[union-attr]
    seen: list[int] = []

    def stopped(self: Translator, *arguments: object, call: object = Translator.translate, **options: object) -> object:
        seen.append(len(seen))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return call(self, *arguments, **options)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "translate", stopped)
        s2s(*command, "--out", "made", "--beam", "3", code=130)
    assert recorded(Path("made.tsv.json"), "lines") == 2
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", interrupted)
        assert "go on by the same command" in s2s(*command, "--out", "made", "--beam", "3", code=130).stderr
    s2s(*command, "--out", "made", "--beam", "3")
    assert Path("made.tsv").read_bytes() == Path("whole.tsv").read_bytes()
    assert RunFolder(Path("made")).best.read_bytes() == RunFolder(Path("whole")).best.read_bytes()
    times = {
        path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file() and "cache" not in path.parts
    }
    s2s(*command, "--out", "made", "--beam", "3")
    refused = s2s(*command, "decoding.beam=2", "--out", "made", "--beam", "3", code=1).stderr
    assert "made: exists already, of another training (decoding.beam: 5 -> 2); name another with --out" in refused
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_student_in_a_folder_that_is_in_use_is_refused_before_the_work() -> None:
    Path("taken").mkdir()
    Path("taken/file").write_text("x")
    found = s2s("distil", RUNS / "tiny-en-ko", "tiny-en-ko", "--out", "taken", code=1).stderr
    assert (
        found == "s2s: taken: exists already, and not taken.tsv, which it would have learned; name another with --out\n"
    )
    assert "give the RUNs to learn from" in s2s("distil", "tiny-en-ko", "seed=2", code=2).stderr
    assert "is no recipe of one translator" in s2s("distil", RUNS / "tiny-en-ko", "sines", code=1).stderr


def test_back_translation_writes_pairs_that_a_recipe_reads() -> None:
    Path("mono.txt").write_text("\n".join(TINY) + "\n")
    s2s("backtranslate", RUNS / "tiny-en-ko", "--input", "mono.txt", "--output", "made.tsv")
    assert Path("made.tsv").read_text().splitlines()[1] == "좋은 아침이에요\tgood morning"
    documented = re.search(r"data.train=(\[.*\])", s2s("backtranslate", "--help").stdout)
    assert documented
    Path("train.tsv").write_text("ko\ten\n역\tstation\n")
    change = [
        "data.source=ko",
        "data.target=en",
        f"data.train={documented[1]}",
        "data.validation=train.tsv",
        "data.test=",
    ]
    said = s2s("train", "tiny-en-ko", *change, "--dry-run")
    assert "data.train: train.tsv and made.tsv, 4 pairs" in said.stderr
    assert 'tag = "back"' in said.stdout
    sampled = ["backtranslate", RUNS / "tiny-en-ko", "--input", "mono.txt", "--output", "sampled.tsv", "--sampled"]
    s2s(*sampled, "--temperature", "0.5")
    assert "of a job with other temperature" in s2s(*sampled, code=1).stderr
    assert "--sampled takes no --beam" in s2s(*sampled, "--beam", "2", code=2).stderr
    for option in ("--seed", "--temperature"):
        assert "are of --sampled; give it too" in s2s(*sampled[:-1], option, "1", code=2).stderr
    same = s2s("backtranslate", RUNS / "tiny-en-ko", "--input", "mono.txt", "--output", "./mono.txt", code=2).stderr
    assert "input and output are the same file" in same


def test_a_prefix_begins_each_translation_but_not_those_of_sentences() -> None:
    found = s2s("translate", RUNS / "tiny-en-ko", "--prefix", "정말", line="good morning\n\n").stdout.splitlines()
    assert found[0].startswith("정말 ")
    assert found[1] == ""
    assert "--split makes several" in s2s("translate", RUNS / "tiny-en-ko", "--prefix", "x", "--split", code=2).stderr
