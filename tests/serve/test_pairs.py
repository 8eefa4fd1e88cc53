"""The translators of a server: whole texts, several pairs, languages told apart."""

import asyncio
import shutil
from collections.abc import Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from capitals import LIMITS, Capitals, Found, capitals_service, finished
from small_runs import phrases, small_run

from s2s.errors import RunError
from s2s.serve.pairs import Detected, Pairs, Text, load_pairs
from s2s.text.documents import plain
from s2s.translation.translator import Translator


def run(pairs: Pairs, work: Coroutine[Any, Any, Found]) -> Found:
    async def running() -> Found:
        for pair in pairs:
            pair.queue.start()
        try:
            return await work
        finally:
            for pair in pairs:
                pair.queue.stop()

    return finished(running())


def test_texts_are_those_of_the_translator_however_they_are_batched(run_folder: Path) -> None:
    lines = [source for source, _ in phrases("test")[:6]]
    translator = Translator.load(run_folder, device="cpu")
    pairs = load_pairs([run_folder], LIMITS, device="cpu")
    [pair] = pairs
    assert (pair.source, pair.target, pair.card["source"]) == ("en", "ko", "en")
    expected = [
        document.joined([each.text if each.text.strip() else sentence for sentence, each in
                         zip(document.sentences, translator.translate(document.sentences), strict=True)])
        for document in (plain(line, "en", target="ko") for line in lines)
    ]  # fmt: skip

    async def one_by_one_and_together() -> list[list[str]]:
        alone = [pair.translate([Text(line)]) for line in reversed(lines)]
        found = await asyncio.gather(pair.translate([*map(Text, lines)]), *alone)
        return [[text for [text] in found[0]], [text for [[text]] in reversed(found[1:])]]

    assert run(pairs, one_by_one_and_together()) == [expected, expected]


def test_two_runs_of_a_pair_are_an_ensemble(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, ...]] = []
    monkeypatch.setattr(Translator, "load", lambda *runs, **options: loaded.append(runs) or Capitals())
    first, second, german, bundle = run_folder, tmp_path / "second", tmp_path / "german", tmp_path / "bundle"
    for copy in (second, german):
        shutil.copytree(first, copy)
    recipe = german / "recipe.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace('source = "en"', 'source = "German"'), "utf-8")
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"card": {"source": "ko_KR", "target": "en"}}')
    pairs = load_pairs([first, german, second, bundle], LIMITS)
    assert str(pairs) == "en → ko, de → ko, ko-KR → en"
    assert loaded == [(first, second), (german,), (bundle,)]
    assert (pairs.sources, pairs.targets, pairs.targets_of("de")) == (["en", "de", "ko-KR"], ["ko", "en"], ["ko"])
    recipe.write_text(recipe.read_text(encoding="utf-8").replace('"German"', '"kor"'), "utf-8")
    with pytest.raises(RunError, match="german: translates from kor to itself"):
        load_pairs([first, german], LIMITS)
    for content, said in (("{}", r"bundle\.json: damaged"), ('{"task": "language"}', "no translator .* is language")):
        (bundle / "bundle.json").write_text(content)
        with pytest.raises(RunError, match=said):
            load_pairs([bundle], LIMITS)


def test_a_run_that_always_needs_a_tag_is_not_served(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", tags=("x", "y"))
    with pytest.raises(RunError, match=r"run: each source .* had a tag, and a server gives none; .* translate --tag"):
        load_pairs([run], LIMITS, device="cpu")


def test_a_sentence_longer_than_any_that_was_learned_is_translated_in_parts() -> None:
    pairs = capitals_service().pairs
    for text in ("word " * 500 + "end", " ".join(["one two"] * 30)):
        assert run(pairs, pairs[0].translate([Text(text)])) == [[text.upper()]]
        pairs = capitals_service().pairs
    translator = pairs[0].translator
    translator.source.encode = list  # type: ignore[method-assign]
    assert run(pairs, pairs[0].translate([Text("x" * 175)])) == [[" ".join(["X" * 43, *["X" * 44] * 3])]]


@pytest.mark.parametrize(
    ("text", "language"),
    [("안녕하세요", "ko"), ("こんにちは", "ja"), ("the cat", "en"), ("die Katze", "de"), ("12 + 3", "en"), ("", "en")],
)
def test_a_language_is_told_by_its_script_then_by_the_surest_model(text: str, language: str) -> None:
    pairs = capitals_service(("en", "fr", "the"), ("de", "fr", "die"), ("ko", "fr", ""), ("ja", "fr", "")).pairs
    found = run(pairs, pairs.detect(text))
    assert found[0].language == language
    assert sum(each.confidence for each in found) <= 100.1
    assert all(first.confidence >= second.confidence for first, second in pairwise(found))


def test_what_no_source_is_written_in_has_no_confidence() -> None:
    pairs = capitals_service(("en", "fr", ""), ("ko", "fr", "")).pairs
    assert run(pairs, pairs.detect("привет")) == [Detected("en", 0.0), Detected("ko", 0.0)]
