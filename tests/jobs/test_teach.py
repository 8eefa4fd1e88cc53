"""Pairs that models make are the same bytes whether or not the work was killed, and never those of another job."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_runs import TOKENIZERS, phrases, small_run

import s2s
from s2s import Translator
from s2s.corpus.sources import Source
from s2s.errors import DataError, RecipeError, RunError
from s2s.files import locked_at_once, recorded
from s2s.jobs import teach
from s2s.jobs.teach import back_translate, distil, write_pairs
from s2s.recipe.load import parse_recipe, recipe_toml
from s2s.tasks import TREES
from s2s.translation import given
from s2s.translation.outputs import Alternative, Translation
from s2s.translation.recipe import TranslationRecipe

JOB = {"runs": ["x"], "columns": ["en", "de"]}
TOY = """
import os, signal, sys
from pathlib import Path
from s2s.jobs import teach

def make(first, numbers):
    for number in numbers:
        yield f"{first} {number}", "a\\tb", "blank" if number % 5 == 0 else None

def killed(call, times):
    def counted(*arguments):
        times.append(0)
        if len(times) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return counted

teach.BLOCK_LINES = 3
module, name = (os, sys.argv[2]) if sys.argv[2] in ("fsync", "replace") else (teach, sys.argv[2])
setattr(module, name, killed(getattr(module, name), []))
teach.write_pairs(Path(sys.argv[1]), {"runs": ["x"], "columns": ["en", "de"]}, lambda: iter(range(10)), make)
"""


def toy(first: int, numbers: Sequence[int]) -> Iterator[tuple[str, str, str | None]]:
    for number in numbers:
        yield f"{first} {number}", "a\tb", "blank" if number % 5 == 0 else None


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "BLOCK_LINES", 3)


@pytest.mark.parametrize(("call", "times"), [("fsync", 1), ("fsync", 3), ("write_json", 2), ("replace", 5)])
def test_after_a_kill_the_same_job_goes_on_to_the_same_bytes(call: str, times: int, tmp_path: Path) -> None:
    """Killed after lines are written and before it is recorded, in the recording, and before the last renaming."""
    place, other = tmp_path / "made.tsv", tmp_path / "other.tsv"
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    command = [sys.executable, "-c", TOY, str(place), call, str(times)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert not place.exists()
    begun = recorded(tmp_path / "made.tsv.json", "lines") or 0
    read: list[int] = []
    write_pairs(place, JOB, lambda: iter(range(10)), lambda first, block: read.extend(block) or toy(first, block))  # type: ignore[func-returns-value]
    assert read == list(range(begun, 10))
    write_pairs(other, JOB, lambda: iter(range(10)), toy)
    assert place.read_bytes() == other.read_bytes()
    assert (tmp_path / "made.tsv.json").read_bytes() == (tmp_path / "other.tsv.json").read_bytes()
    names = {"made.tsv", "made.tsv.json", "other.tsv", "other.tsv.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_table_has_the_columns_and_the_pairs_without_a_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "s2s")
    place = tmp_path / "made.tsv"
    write_pairs(place, JOB, lambda: iter(range(7)), toy)
    rows = ["en\tde", "0 1\ta b", "0 2\ta b", "3 3\ta b", "3 4\ta b", "6 6\ta b"]
    assert place.read_text().splitlines() == rows
    assert caplog.messages == [f"{place}: 5 pairs of 7 lines; left out: 2 blank"]
    assert recorded(tmp_path / "made.tsv.json", "faults") == {"blank": 2}


def test_a_finished_job_is_not_done_again_and_another_one_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "made.tsv"
    write_pairs(place, JOB, lambda: iter(range(7)), toy)

    def never(first: int, numbers: Sequence[int]) -> Iterator[Any]:
        raise AssertionError

    write_pairs(place, JOB, lambda: iter(range(7)), never)
    with pytest.raises(RunError, match=r"made.tsv: exists already, of a job with other runs, beam; name another"):
        write_pairs(place, {**JOB, "runs": ["y"], "beam": 3}, lambda: iter(range(7)), never)
    (tmp_path / "made.tsv.json").unlink()
    with pytest.raises(RunError, match=r"exists already, of unknown origin \(there is no made.tsv.json\)"):
        write_pairs(place, JOB, lambda: iter(range(7)), never)
    with pytest.raises(DataError, match=r"empty.tsv: not written, since there are no lines"):
        write_pairs(tmp_path / "empty.tsv", JOB, lambda: iter([]), toy)
    assert not (tmp_path / "empty.tsv").exists()


def test_two_processes_do_not_write_one_table(tmp_path: Path) -> None:
    place = tmp_path / "made.tsv"
    with locked_at_once(place), pytest.raises(RunError, match=r"made.tsv: another process is writing it"):
        write_pairs(place, JOB, lambda: iter(range(7)), toy)
    write_pairs(place, JOB, lambda: iter(range(7)), toy)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder in which nobody can make files")
def test_a_place_that_cannot_be_written_is_said_by_the_system() -> None:
    with pytest.raises(OSError, match=r"(No such file|denied).*'/proc/made\.tsv'"):
        write_pairs(Path("/proc/made.tsv"), JOB, lambda: iter(range(7)), toy)


LINES = ["good morning", "", "where is it\tnow?", "two", "good night", "  ", "one", "ten", "three cats"]


@pytest.mark.parametrize("ways", [{"beam": 2}, {"seed": 4, "temperature": 0.7}])
def test_back_translation_goes_on_to_the_same_bytes_with_its_columns_turned(
    ways: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"])
    translator, text = Translator.load(run), tmp_path / "mono.txt"
    text.write_text("\n".join(LINES) + "\n")
    translator.decoding = translator.decoding.model_copy(update={"max_length_ratio": 9.0})  # type: ignore[union-attr]
    back_translate(run, translator, text, tmp_path / "whole.tsv", **ways)
    place, name = (given, "sample") if "seed" in ways else (translator, "translate")
    calls, call = [], getattr(place, name)

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) in (2, 4):
            raise KeyboardInterrupt
        return call(*arguments, **options)

    monkeypatch.setattr(place, name, stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            back_translate(run, translator, text, tmp_path / "made.tsv", **ways)
    back_translate(run, translator, text, tmp_path / "made.tsv", **ways)
    assert len(calls) == 5
    assert (tmp_path / "made.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    header, *rows = (tmp_path / "made.tsv").read_text().splitlines()
    assert header == "ko\ten"
    faults = recorded(tmp_path / "made.tsv.json", "faults")
    assert faults["blank"] == 2
    assert len(rows) == len(LINES) - sum(faults.values())
    known = [" ".join(line.split("\t")) for line in LINES]
    assert all(row.split("\t")[1] in known for row in rows)
    with pytest.raises(RunError, match=r"of a job with other (beam|seed)"):
        back_translate(
            run, translator, text, tmp_path / "made.tsv", **ways | ({"seed": 5} if "seed" in ways else {"beam": 1})
        )


def recipe_of(train: str) -> TranslationRecipe:
    text = (
        f'task = "translation"\n[data]\nsource = "en"\ntarget = "ko"\ntrain = {train}\n'
        'validation.pairs = [["a", "b"]]\n[training]\nepochs = 1\n'
    )
    return parse_recipe(text, TREES, origin="test", folder=Path("/data"))  # type: ignore[return-value]


def test_of_the_n_best_translations_the_first_of_the_nearest_to_the_reference_is_learned(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"])
    translator, place = Translator.load(run), tmp_path / "made.tsv"
    best = tuple(
        Alternative(text, -score, -score) for score, text in enumerate(["far off", "good mornin", "good evening"])
    )
    made = Translation(*best[0], nbest=best)
    asked: list[dict[str, Any]] = []
    loop = made._replace(nbest=(*best, Alternative("no no no", -4.0, -4.0)))
    found = [made, made, made._replace(flags=("truncated",)), Translation("", 0.0, 0.0), made, loop]
    translator.translate = lambda lines, **ways: asked.append(ways) or [found.pop(0) for _ in lines]  # type: ignore[method-assign, func-returns-value]
    pairs = [("a", "good morning"), ("b", "zzz"), ("c", "good"), ("d", " "), ("e", "good evening!"), ("f", "no no no")]
    source = Source(lambda: iter(pairs), "identity", "pairs")
    distil([run], translator, recipe_of('"multi30k/train"'), source, place, beam=2, nbest=3)
    assert place.read_text() == "en\tko\na\tgood mornin\nb\tfar off\ne\tgood evening\n"
    assert recorded(tmp_path / "made.tsv.json", "faults") == {"truncated": 1, "blank": 1, "repeats": 1}
    assert asked == [{"beam": 2, "nbest": 3}] * 2


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ('"multi30k/train"', [{"from": "multi30k/train"}]),
        ('"own.tsv"', [{"from": {"table": "/data/own.tsv"}}]),
        (
            '[{from = "multi30k/train", share = 0.4}, {from = "own.tsv"}]',
            [{"from": "multi30k/train", "share": 0.2}, {"from": {"table": "/data/own.tsv"}}],
        ),
        (
            '[{from = "multi30k/train", share = 1.0}, {from = "own.tsv", share = 0.25}]',
            [{"from": "multi30k/train", "share": 0.4}, {"from": {"table": "/data/own.tsv"}, "share": 0.1}],
        ),
    ],
)
def test_the_student_learns_the_table_beside_the_references(
    train: str, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    run = small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"])
    source = Source(lambda: iter(phrases()[:2]), "identity", "pairs")
    place = tmp_path / "made.tsv"
    student = distil([run], Translator.load(run), recipe_of(train), source, place, beam=1, nbest=1)
    again = parse_recipe(recipe_toml(student), TREES, origin="test", folder=Path("/elsewhere"))
    assert again == student
    parts = [part.model_dump(exclude_none=True, exclude_defaults=True) for part in student.data.train]
    assert parts == [*expected, {"from": {"table": str(place)}}]


def test_tags_which_the_translations_would_lose_are_refused(tmp_path: Path) -> None:
    plain, tagged = small_run(tmp_path / "plain"), small_run(tmp_path / "tagged", tags=("own",))
    source = Source(lambda: iter(phrases()[:2]), "identity", "pairs")
    recipe = recipe_of('[{from = "a/b"}, {from = "own.tsv", tag = "own"}]')
    with pytest.raises(RecipeError, match=r"data\.train: has tags \(own\), without which the translations"):
        distil([plain], Translator.load(plain), recipe, source, tmp_path / "made.tsv", beam=1, nbest=1)
    with pytest.raises(RunError, match="tagged: translates with a tag only"):
        distil([tagged], Translator.load(tagged), recipe_of('"a/b"'), source, tmp_path / "made.tsv", beam=1, nbest=1)
    assert not (tmp_path / "made.tsv").exists()


def test_a_teacher_of_another_direction_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"])
    recipe = recipe_of('"multi30k/train"')
    turned = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": "ko", "target": "en"})})
    source = Source(lambda: iter(phrases()[:2]), "identity", "pairs")
    with pytest.raises(RunError, match=r"run: translates from en to ko, the recipe from ko to en"):
        distil([run], Translator.load(run), turned, source, tmp_path / "made.tsv", beam=1, nbest=1)
