"""Texts in batches are those written alone, a stream is the text in pieces, and stops end it."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from s2s import Generator
from s2s.errors import DataError
from s2s.language import generator as module
from tests.small_language_runs import KINDS, small_language_run

PROMPTS = {
    "closed": ["abcab", "a", "cc", "cc"],
    "closed stream": ["a b c a b", "a", "c c", "c c"],
}
DEFAULT = ["the cat sat", "a", "dog ran and ran", "the cat sat", "ran and a dog"]


@pytest.fixture(params=[*KINDS, "words gru"])
def generator(request: pytest.FixtureRequest, tmp_path: Path) -> Generator:
    kind = request.param.removesuffix(" gru")
    run = small_language_run(tmp_path / "run", kind, "gru" if request.param.endswith(" gru") else "lstm")
    return Generator.load(run, device="cpu")


def prompts_of(generator: Generator) -> list[str]:
    if not generator.closed:
        return DEFAULT
    return PROMPTS["closed stream" if generator.recipe.data.cut == "stream" else "closed"]


def test_texts_together_are_those_written_one_by_one(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt and the seed decide, not what stands beside them, nor how many are written at a time."""
    prompts, ways = prompts_of(generator)[:4], {"length": 12, "temperature": 0.8, "top_p": 0.95, "min_p": 0.01}
    together = generator.generate(prompts, samples=2, seed=5, **ways)
    alone = [generator.generate(prompt, seed=seed, **ways)[0] for prompt in prompts for seed in (5, 6)]
    assert [(each.prompt, each.seed) for each in together] == [(p, seed) for p in prompts for seed in (5, 6)]
    for one, other in zip(together, alone, strict=True):
        assert one._replace(log_probability=0) == other._replace(log_probability=0)
        assert one.log_probability == pytest.approx(other.log_probability, rel=1e-4)
    assert len({each.text for each in together}) > len(prompts)
    monkeypatch.setattr(module, "ROWS", 3)
    monkeypatch.setattr(module, "READ_TOKENS", 12)
    assert [each.text for each in generator.generate(prompts, samples=2, seed=5, **ways)] == [
        each.text for each in together
    ]


def test_texts_are_sampled_a_few_at_a_time_where_the_vocabulary_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 300,000 words a number for each and each of 128 texts takes 300 MB in the float64 of a cumulative sum."""
    generator = Generator.load(small_language_run(tmp_path / "run", "words"), device="cpu")
    together = generator.generate("a", samples=5, length=6)
    logits, held = generator.model.logits, list[int]()
    monkeypatch.setattr(generator.model, "logits", lambda readout: held.append(len(readout)) or logits(readout))
    monkeypatch.setattr(module, "CHUNK_LOGITS", 2 * generator.tokenizer.vocabulary_size)
    apart = generator.generate("a", samples=5, length=6)
    assert max(held) == 2
    assert [each.text for each in apart] == [each.text for each in together]


def test_a_stream_is_the_text_in_pieces_with_and_without_stops(generator: Generator) -> None:
    for prompt in prompts_of(generator)[:2]:
        (plain,) = generator.generate(prompt, length=25, seed=3)
        pieces = list(generator.stream(prompt, length=25, seed=3))
        assert "".join(pieces) == plain.text
        assert all(pieces)
        begin = next(generator.stream(prompt, length=0))
        written = plain.text[len(begin) :]
        for stop in {written[place : place + size] for place, size in ((0, 1), (3, 2), (9, 7))} - {""}:
            (stopped,) = generator.generate(prompt, length=25, seed=3, stop=["nowhere at all", stop])
            assert stopped.text == begin + written[: written.index(stop)]
            assert stopped.stopped == "stop"
            assert plain.tokens[: len(stopped.tokens)] == stopped.tokens
            assert "".join(generator.stream(prompt, length=25, seed=3, stop=[stop])) == stopped.text
        assert generator.generate(prompt, length=25, seed=3, stop=["nowhere at all"])[0] == plain


def test_a_longer_text_begins_with_a_shorter_one(generator: Generator) -> None:
    (prompt, *_) = prompts_of(generator)
    short, long = (generator.generate(prompt, length=length, seed=2)[0] for length in (7, 260))
    assert long.tokens[:7] == short.tokens[:7]
    assert short.stopped in ("length", "end")
    assert (short.stopped == "end") == (len(short.tokens) < 7)


def test_a_stream_comes_piece_by_piece_and_leaves_no_mode_behind(tmp_path: Path) -> None:
    generator = Generator.load(small_language_run(tmp_path / "run", "characters"), device="cpu")
    calls = []
    generator.model.register_forward_hook(lambda *_: calls.append(1))
    pieces = generator.stream("the", length=1000)
    assert next(pieces) == "the"
    assert not calls
    assert len(list(islice(pieces, 3))) == len(calls) == 3
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_the_end_of_a_line_ends_a_text_and_is_told(tmp_path: Path) -> None:
    generator = Generator.load(small_language_run(tmp_path / "run", "bytes of lines"), device="cpu")
    found = generator.generate("the", length=3000, samples=4)
    assert {each.stopped for each in found} <= {"end", "length"}
    assert "end" in {each.stopped for each in found}


def test_what_is_wrong_is_said_before_a_piece_is_written(tmp_path: Path) -> None:
    generator = Generator.load(small_language_run(tmp_path / "run", "characters"), device="cpu")
    for wrong, said in (
        ({"stop": "a"}, r"stop: must be a list of texts that are not empty \(given 'a'\)"),
        ({"stop": ["a", ""]}, "stop: must be a list of texts that are not empty"),
        ({"min_p": -0.1}, r"min_p: must be from 0, which is off, to 1 \(given -0.1\)"),
        ({"min_p": float("nan")}, "min_p: must be from 0"),
        ({"length": -1}, "length: must be a whole number"),
    ):
        with pytest.raises(ValueError, match=said):
            generator.stream("the", **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prompt: a text is wanted"):
        generator.generate(["the", None])  # type: ignore[list-item]
    assert generator.generate([]) == []


@pytest.mark.parametrize("kind", ["characters", "words", "bytes"])
def test_a_prompt_that_cannot_be_read_is_quoted(kind: str, tmp_path: Path) -> None:
    generator = Generator.load(small_language_run(tmp_path / "run", kind), device="cpu")
    with pytest.raises(DataError, match=r"^the prompt 'a \\udcff' is not valid UTF-8; give it in UTF-8$"):
        generator.generate(["the cat", "a \udcff"])
    if kind != "bytes":
        with pytest.raises(
            DataError, match=r"^the prompt 'a Qat' has the (character 'Q'|word 'Qat'), which the training"
        ):
            generator.generate(["the cat", "a Qat"])
