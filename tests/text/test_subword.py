"""SentencePiece tokenizers: training at its limits, and sampled segmentations."""

import io
import subprocess
import sys
from random import Random

import pytest
import sentencepiece

from s2s.errors import DataError, RecipeError
from s2s.text.special import UNKNOWN
from s2s.text.subword import SubwordTokenizer

SUBJECTS = ["the baker", "a tall neighbour", "my sister", "der Gärtner", "eine Lehrerin", "the night train"]
VERBS = ["carries", "paints", "remembers", "bringt", "zeichnet", "forgets"]
OBJECTS = ["the blue ladder", "two warm loaves", "a letter", "einen Apfel", "das Fenster", "every lantern"]
PLACES = ["by the river", "at noon", "in der Küche", "auf dem Markt", "behind the station"]
LINES = [f"{s} {v} {o} {p}." for s in SUBJECTS for v in VERBS for o in OBJECTS for p in PLACES]
MODELS = ["unigram", "bpe"]


@pytest.fixture(scope="module", params=MODELS)
def tokenizer(request: pytest.FixtureRequest) -> SubwordTokenizer:
    return SubwordTokenizer.train(LINES, model=request.param, vocabulary_size=600, byte_fallback=False)


def test_the_same_seed_samples_the_same_whatever_was_sampled_before(tokenizer: SubwordTokenizer) -> None:
    first = tokenizer.encode_sampled(LINES[:50], 0.3, seed=5)
    other = tokenizer.encode_sampled(LINES[:50], 0.3, seed=6)
    assert tokenizer.encode_sampled(LINES[:50], 0.3, seed=5) == first
    assert other != first
    assert first != [tokenizer.encode(line) for line in LINES[:50]]


def test_sampled_tokens_spell_the_line(tokenizer: SubwordTokenizer) -> None:
    for line, sampled in zip(LINES[:200], tokenizer.encode_sampled(LINES[:200], 0.3, seed=1), strict=True):
        assert tokenizer.decode(sampled) == line


def test_alpha_zero_samples_nothing(tokenizer: SubwordTokenizer) -> None:
    assert tokenizer.encode_sampled(LINES[:20], 0.0, seed=1) == [tokenizer.encode(line) for line in LINES[:20]]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("byte_fallback", [True, False])
def test_without_randomness_sampling_agrees_with_sentencepiece(model: str, byte_fallback: bool) -> None:
    tokenizer = SubwordTokenizer.train(LINES, model=model, vocabulary_size=600, byte_fallback=byte_fallback)
    greedy = 1e4 if model == "unigram" else 0.0
    for line in [*LINES[:200], "", "  \t ", "日本 a 語b", "zzzz qq😀x", "\u0301", "a\x00b"]:
        assert tokenizer._sampled(line, greedy, Random(0)) == tokenizer.encode(line)


def test_another_process_trains_and_samples_the_same() -> None:
    lines = LINES[:400]
    program = (
        "import sys; from s2s.text.subword import SubwordTokenizer as S; lines = sys.stdin.read().split('\\n')\n"
        "for model in ('unigram', 'bpe'):\n"
        "    tokenizer = S.train(lines, model=model, vocabulary_size=600, byte_fallback=True)\n"
        "    print(tokenizer.fingerprint, tokenizer.encode_sampled(lines[:20], 0.2, seed=9))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input="\n".join(lines), capture_output=True, encoding="utf-8", check=True
    )
    here = [SubwordTokenizer.train(lines, model=model, vocabulary_size=600, byte_fallback=True) for model in MODELS]
    expected = [f"{each.fingerprint} {each.encode_sampled(lines[:20], 0.2, seed=9)}" for each in here]
    assert run.stdout.splitlines() == expected


def test_training_says_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    SubwordTokenizer.train(LINES[:200], model="unigram", vocabulary_size=600, byte_fallback=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("model", MODELS)
def test_a_vocabulary_beyond_the_text_is_made_smaller_with_a_warning(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = SubwordTokenizer.train(LINES, model=model, vocabulary_size=30_000, byte_fallback=True)
    assert tokenizer.vocabulary_size < 30_000
    assert f"{tokenizer.vocabulary_size:,} pieces only, not 30,000" in caplog.text


@pytest.mark.parametrize("model", MODELS)
def test_a_vocabulary_too_small_for_the_characters_is_refused_with_the_number_needed(model: str) -> None:
    needed = 4 + len({character for line in LINES for character in line})
    with pytest.raises(RecipeError, match=rf"tokenizer.vocabulary_size: 20 pieces .* need {needed}; choose"):
        SubwordTokenizer.train(LINES, model=model, vocabulary_size=20, byte_fallback=False)


def test_bytes_need_room_and_are_turned_off_without_it(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = SubwordTokenizer.train(LINES, model="unigram", vocabulary_size=300, byte_fallback=True)
    assert "at least 600 (given 300); turned off" in caplog.text
    assert UNKNOWN in tokenizer.encode("日本")


def test_characters_leave_half_of_the_vocabulary_to_longer_pieces_when_bytes_can_spell_the_rest() -> None:
    generator = Random(1)
    common = [chr(0x4E00 + generator.randrange(150)) for _ in range(20_000)]
    text = common + [chr(0x5E00 + number) for number in range(300)]
    generator.shuffle(text)
    lines = ["".join(text[start : start + 20]) for start in range(0, len(text), 20)]
    tokenizer = SubwordTokenizer.train(lines, model="unigram", vocabulary_size=700, byte_fallback=True)
    single = [token for token in range(260, tokenizer.vocabulary_size) if len(tokenizer.token(token)) == 1]
    assert len(single) <= (700 - 256) / 2
    assert all(tokenizer.decode(tokenizer.encode(line)) == line for line in lines[:100])


@pytest.mark.parametrize("lines", [[], [""], ["  ", "\t"]])
def test_a_text_without_text_is_refused(lines: list[str]) -> None:
    with pytest.raises(DataError, match="the training text is empty"):
        SubwordTokenizer.train(lines, model="unigram", vocabulary_size=600, byte_fallback=True)


def test_lines_of_any_length_are_learnt_from() -> None:
    lines = [" ".join(LINES[start : start + 150]) for start in range(0, 900, 30)]
    assert min(map(len, lines)) > 4192
    tokenizer = SubwordTokenizer.train(lines, model="bpe", vocabulary_size=600, byte_fallback=True)
    assert any(tokenizer.token(token) == "▁baker" for token in range(tokenizer.vocabulary_size))


def test_a_model_with_other_special_ids_is_refused() -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES[:100]), model_writer=written, vocab_size=40, minloglevel=2
    )
    with pytest.raises(ValueError, match=r"its ids of padding, unknown, start and end are \(-1, 0, 1, 2\)"):
        SubwordTokenizer(written.getvalue())
