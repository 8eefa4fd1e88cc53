"""Random command lines: each must end in a result, or in readable lines and exit code 1 or 2.

    python tests/fuzz.py recipes --seed 1 --count 10000     overrides of shipped recipes, valid and not, by --dry-run
    python tests/fuzz.py data --seed 1 --count 10000        damaged data files, by --dry-run
    python tests/fuzz.py trainings --seed 1 --count 100     tiny models of every kind, trained for a few steps and used

A case depends on kind, seed and index alone: `--only INDEX` runs one again. Run by hand; the suite runs a short form.
"""

import contextlib
import gzip
import os
import random
import re
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import click
from click.testing import CliRunner

from s2s.cli.commands import main
from s2s.recipe.messages import sections_of
from s2s.recipe.sections import Section, Tree
from s2s.tasks import TREES

BASES = {
    "translation": ("tiny-en-ko",),
    "language": ("words-one-to-five", "five-sentences", "char-therefore", "numbers-to-hundred"),
    "forecast": ("sunspots", "sines"),
}
"""Shipped recipes whose data ships too."""
RAW = re.compile(r"Traceback|pydantic|validation error|Errno|NoneType|<class|\bobject at 0x|RuntimeError|\bTensor\b")
"""What a library or Python would say."""
LONGEST_LINE, MOST_LINES = 700, 60


class Case(NamedTuple):
    """Command lines, each run if the one before has ended in a result, and what must be written first."""

    commands: list[list[str]]
    files: Mapping[str, bytes]


class End(NamedTuple):
    """How a command ended."""

    code: int
    said: str
    fault: str
    """what is wrong with it; empty where nothing is"""


def end_of(case: Case) -> End:
    """Run the commands of a case; how the last one ended that was run, or the first whose end is bad."""
    for name, content in case.files.items():
        Path(name).write_bytes(content)
    end = End(0, "", "")
    for command in case.commands:
        if not end.code and not end.fault:
            end = _end_of(command)
    return end


def _end_of(arguments: list[str]) -> End:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner().invoke(main, arguments)
    lines, fault = result.stderr.splitlines(), ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        fault = "".join(traceback.format_exception(result.exception)[-3:])
    elif result.exit_code not in (0, 1, 2):
        fault = f"exit code {result.exit_code}"
    elif result.exit_code and not lines:
        fault = f"exit code {result.exit_code} without a message"
    elif len(lines) > MOST_LINES or max(map(len, lines), default=0) > LONGEST_LINE:
        fault = f"{len(lines)} lines, the longest of {max(map(len, lines))} characters"
    elif found := RAW.search(result.stderr):
        fault = f"says {found[0]!r}"
    return End(result.exit_code, f"s2s {shlex.join(arguments)}\n{result.stderr}", fault)


def recipe_case(chance: random.Random, _: Path) -> Case:
    """A shipped recipe with some overrides, most of them odd."""
    task = chance.choice(list(BASES))
    keys = list(_keys(TREES[task], TREES[task], ""))
    overrides = [_override(chance, *chance.choice(keys)) for _ in range(chance.randint(1, 4))]
    return Case([["train", chance.choice(BASES[task]), *overrides, "--dry-run"]], {})


def _keys(tree: type[Tree], section: type[Section], parent: str) -> Iterator[tuple[str, Any, list[Any]]]:
    """Key, type and rules of every value of a tree."""
    for name, field in section.model_fields.items():
        inner = next(sections_of(field.annotation), None)
        yield parent + name, field.annotation, field.metadata
        if inner is not None and inner not in tree.forms:
            yield from _keys(tree, inner, f"{parent}{name}.")


def _override(chance: random.Random, key: str, annotation: Any, rules: list[Any]) -> str:
    if chance.random() < 0.05:
        return chance.choice(["", "=", key, f"={key}", f"{key}.x=1", f"{key}..=1", "a b=1", f"{key}={key}=1"])
    if chance.random() < 0.1:  # a slip of the pen
        at = chance.randrange(len(key))
        key = key[:at] + chance.choice(["", "x", ".", "_", "é"]) + key[at + 1 :]
    return f"{key}={_value(chance, annotation, rules)}"


def _value(chance: random.Random, annotation: Any, rules: list[Any]) -> str:
    """A value in TOML or not, of the right type more often than of any other."""
    if chance.random() < 0.25:
        return chance.choice(_ODD)
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    while get_origin(annotation) not in (Literal, dict, tuple) and get_args(annotation):
        annotation = chance.choice(kinds)
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    if get_origin(annotation) is Literal:
        return str(chance.choice(get_args(annotation)))
    if annotation is bool:
        return chance.choice(["true", "false", "True", "0"])
    edges = [limit for rule in rules for name in ("ge", "gt", "le", "lt") if (limit := getattr(rule, name, None))]
    near = chance.choice([*edges, 0, 1]) + chance.choice([-1, 0, 1, 0.5, -1e-9])
    if annotation is int:
        return str(chance.choice([int(near), near, chance.randint(-3, 20)]))
    if annotation is float:
        return str(chance.choice([near, chance.random(), chance.uniform(-2, 20), 1e300]))
    return chance.choice(_ODD)


_ODD = [
    "", " ", "x", "é", "日本", '""', "''", "[]", "{}", "[1, 2]", '["a", "b"]', "{a = 1}", "true", "nan", "-inf", "inf",
    "0", "-1", "1", "2.5", "1e400", "99999999999999999999", "1979-05-27", "12:00:00", "1_000", "0x10", '"a\\nb"', '"a',
    "[", "{", "}", "tiny/train", "a/b/c", "x.tsv", "missing.tsv", "../x.csv", "/", ".", '{pairs = []}',
    '{pairs = [["a"]]}', '{pairs = [["a", "b", "c"]]}', '{pairs = [["a", "b"]], table = "x"}', '{text = ""}',
    '{source = "a"}', "{x = 1}", '{text = "a b", repeat = 0}', "a" * 300, "\t", "a=b", "#", "None", "null",
]  # fmt: skip


def data_case(chance: random.Random, folder: Path) -> Case:
    """A recipe on data files of some form, damaged."""
    recipe, overrides, files = _with_data(chance, folder, chance.choice(list(_CONTENT)))
    return Case([["train", recipe, *overrides, "--dry-run"]], files)


def _with_data(chance: random.Random, folder: Path, form: str) -> tuple[str, list[str], dict[str, bytes]]:
    """A recipe, the overrides that make it read files of a form, and their content."""
    names = ("a", "b") if form == "lines" else ("a",)
    ending = {"table": ".tsv", "series": ".csv"}.get(form, ".txt") + (".gz" if chance.random() < 0.1 else "")
    files = {}
    for name in names:
        data = _damaged(chance, _CONTENT[form](chance))
        packed = ending.endswith(".gz") and chance.random() < 0.8
        files[str(folder / f"{name}{ending}")] = gzip.compress(data, mtime=0) if packed else data
    first, last = min(files), max(files)
    if form == "text":
        kind = chance.choice(["characters", "words"])
        return "shakespeare-char-small", [f"data.train={first}", f"tokenizer.kind={kind}"], files
    if form == "series":
        return "sunspots", [f"data.series={first}", "data.time=date", 'data.targets=["price"]', "data.window=3"], files
    split = f"{{source = {first!r}, target = {last!r}}}" if form == "lines" else first
    return "tiny-en-ko", [f"data.train={split}", f"data.validation={split}", "data.test="], files


def training_case(chance: random.Random, folder: Path) -> Case:
    """A tiny model of some kind, trained for three steps on whole or damaged data, evaluated and used."""
    out = str(folder / f"run-{chance.getrandbits(64):x}")
    task = chance.choice(list(BASES))
    recipe, overrides, files = chance.choice(BASES[task]), list[str](), dict[str, bytes]()
    if chance.random() < 0.5:
        forms = {"translation": ["lines", "table"], "language": ["text"], "forecast": ["series"]}
        recipe, overrides, files = _with_data(chance, folder, chance.choice(forms[task]))
    keys = [each for each in _keys(TREES[task], TREES[task], "") if not each[0].startswith(("data", "training.steps"))]
    right = [(key, value) for key, annotation, rules in keys if (value := _right(chance, annotation, rules))]
    overrides += [f"{key}={value}" for key, value in chance.sample(right, chance.randint(0, 5))]
    limits = ["training.steps=3", "training.epochs=", "training.minutes=", "training.validate_every=2"]
    size = [] if any("hidden_size" in each for each in overrides) else ["model.hidden_size=8"]
    text = str(folder / "input.txt")
    use = {
        "translation": ["translate", out, "--input", text, "--nbest", "2", "--beam", str(chance.randint(1, 3))],
        "language": ["generate", out, "--length", "5"],
        "forecast": ["forecast", out, "--json"],
    }
    train = ["train", recipe, *overrides, *limits, *size, "--out", out]
    return Case(
        [train, use[task], ["evaluate", out, "--json", "--on", "validation"]], {**files, text: b"good a\n\nb\n"}
    )


def _right(chance: random.Random, annotation: Any, rules: list[Any]) -> str:
    """A small value that its rules allow; empty for what is neither a choice nor a number."""
    if get_origin(annotation) is not Literal:
        annotation = next((kind for kind in get_args(annotation) if kind is not NoneType), annotation)
    low = max((getattr(rule, name) for rule in rules for name in ("ge", "gt") if hasattr(rule, name)), default=0)
    high = min((getattr(rule, name) for rule in rules for name in ("le", "lt") if hasattr(rule, name)), default=8)
    if annotation is bool or get_origin(annotation) is Literal:
        return str(chance.choice(get_args(annotation) or ["true", "false"]))
    if annotation in (int, float):
        return str(chance.randint(low, min(high, 8)) if annotation is int else chance.uniform(low, high * 0.99))
    return ""


_WORDS = ["good", "morning", "the", "station", "é", "日本", "좋은", "?", "", '"', '""', "a", "1,5", "'", "﻿", "\u2028"]
_CELLS = ["1", "2.5", "-9999", "", "1_000", "nan", "inf", "1,5", "x", "１", "0x1", "1e400", " 3 ", '"4"', "1e-400"]


def _text(chance: random.Random) -> str:
    lines = (" ".join(chance.choice(_WORDS) for _ in range(chance.randint(0, 6))) for _ in range(chance.randint(0, 12)))
    return chance.choice(["\n", "\r\n", "\n"]).join(lines) + chance.choice(["", "\n"])


def _table(chance: random.Random) -> str:
    columns = chance.choice([["en", "ko"]] * 5 + [["en", "ko", "x"], ["ko"], ["en", "en"], []])
    separator = chance.choice(["\t"] * 8 + [",", ";"])
    rows = [[chance.choice(_WORDS) + " b" for _ in columns] for _ in range(chance.randint(0, 8))]
    return "\n".join(separator.join(row) for row in [columns, *rows])


def _series(chance: random.Random) -> str:
    date = chance.choice(
        ["2009-01-{:02}", "{:02}.01.2009 00:10:00", "01/{:02}/2009 00:10", "2009/01/{:02} 00:10", "{}", "1 Jan {:04}"]
    )
    separator = chance.choice([","] * 8 + [";", "\t"])
    odd = chance.choice([0.0, 0.0, 0.1, 0.5])
    rows = [["date", "price"]]
    days = chance.choices(range(1, 32), k=chance.randint(0, 60))
    for day in sorted(days if chance.random() < 0.3 else set(days)):
        price = chance.choice(_CELLS) if chance.random() < odd else f"{chance.uniform(-5, 90):.2f}"
        rows.append([date.format(day), price])
    return "\n".join(separator.join(row) for row in rows)


_CONTENT: dict[str, Callable[[random.Random], str]] = {
    "lines": _text, "text": lambda chance: _text(chance) * chance.choice([1, 20]), "table": _table, "series": _series,
}  # fmt: skip


def _damaged(chance: random.Random, text: str) -> bytes:
    """The text in some encoding, with some bytes changed."""
    encoding = chance.choice(["utf-8"] * 30 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
    data = bytearray(text.encode(encoding, errors="replace"))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 5])):
        at = chance.randint(0, len(data))
        data[at : at + chance.randint(0, 2)] = chance.choice(
            [
                b"",
                b"\0",
                b"\xff",
                b"\n",
                b"\r",
                b"\t",
                b"\xe2\x80\xa8",
                b"\x1c",
                b'"',
                b",",
                b"\xc3",
                b"\x1f\x8b",
                b"9" * 40,
            ]
        )
    return bytes(data)


KINDS: dict[str, Callable[[random.Random, Path], Case]] = {
    "recipes": recipe_case,
    "data": data_case,
    "trainings": training_case,
}


def ends(kind: str, *, seed: int, indices: Sequence[int], folder: Path) -> Iterator[tuple[int, Case, End]]:
    """The cases, and how each ends."""
    for index in indices:
        case = KINDS[kind](random.Random(f"{kind} {seed} {index}"), folder)
        yield index, case, end_of(case)


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--seed", default=1, show_default=True)
@click.option("--count", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--only", type=click.IntRange(min=0), help="Run this case alone, and show what it says.")
def run(kind: str, seed: int, count: int, only: int | None) -> None:
    """Run COUNT cases, and print those that end in something else than a result or a readable message."""
    results = bad = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["S2S_CACHE"] = folder
        indices = range(count) if only is None else [only]
        for index, case, end in ends(kind, seed=seed, indices=indices, folder=Path(folder)):
            results += not end.code
            bad += bool(end.fault)
            if end.fault or only is not None:
                files = "".join(f"  {Path(name).name}: {data[:500]!r}\n" for name, data in case.files.items())
                print(f"case {index}: {end.said[:2000]}{files}{end.fault}\n", flush=True)
    print(f"{kind}, seed {seed}: {len(indices):,} cases, {results:,} end in a result, {bad:,} end badly")
    sys.exit(bad > 0)


if __name__ == "__main__":
    run()
