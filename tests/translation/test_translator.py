"""The translator: a line's translation does not depend on the lines around it."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.device import choose_compute
from s2s.errors import DataError, RunError
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe.load import recipe_toml
from s2s.text.special import SPECIAL_LABELS
from s2s.text.tokenizer import save_tokenizers
from s2s.text.wordlist import CharacterTokenizer
from s2s.translation.data import PairSplit, TranslationData
from s2s.translation.engine import TorchEngine, engine_of
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.nbest import different
from s2s.translation.outputs import Translation
from s2s.translation.recipe import Decoding, Seq2SeqModel, Training, TranslationRecipe
from s2s.translation.translator import Translator
from tests.small_runs import MODELS, small_run

LETTERS = "abcdefgh "
TOKENIZER = CharacterTokenizer(list(LETTERS))
CPU = choose_compute("cpu", "float32")


def small(**values: Any) -> Seq2SeqModel:
    return Seq2SeqModel(**{"embedding_size": 8, "hidden_size": 12, "location_positions": 6} | values)


def build(seed: int = 21, **values: Any) -> Seq2Seq:
    """Weights drawn so widely that outputs differ from line to line and end by themselves."""
    torch.manual_seed(seed)
    size = TOKENIZER.vocabulary_size
    model = build_seq2seq(small(**values), source_vocabulary=size, target_vocabulary=size)
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.8, 0.8)
    return model.eval()


def translator(*models: Seq2Seq, **decoding: Any) -> Translator:
    return Translator(TorchEngine(models or (build(),), CPU), TOKENIZER, TOKENIZER, Decoding(**decoding))


def lines(count: int, seed: int = 0) -> list[str]:
    """Lines of many lengths, some blank."""
    chooser = random.Random(seed)
    drawn = ["".join(chooser.choices(LETTERS, k=chooser.choice([1, 2, 5, 9, 14]))) for _ in range(count)]
    return ["" if chooser.random() < 0.1 else line for line in drawn]


def same(one: Translation, other: Translation) -> None:
    assert one.text == other.text
    assert one.tokens == other.tokens
    assert one.flags == other.flags
    assert one.score == pytest.approx(other.score, abs=1e-5)
    assert [each.text for each in one.nbest] == [each.text for each in other.nbest]
    assert [each.score for each in one.nbest] == pytest.approx([each.score for each in other.nbest], abs=1e-5)


SHAPES = [
    {"cell": "gru", "attention": "general"},
    {"cell": "lstm", "attention": "dot", "input_feeding": True, "encoder_layers": 3},
    {"cell": "elman", "attention": "concat", "decoder_layers": 2, "wiring": "gnmt"},
    {"cell": "lstm", "attention": "location", "decoder_layers": 2, "bidirectional": False},
    {"cell": "gru", "attention": "scaled_dot", "decoder_layers": 2, "wiring": "gnmt", "input_feeding": True},
    {"cell": "gru", "attention": "none", "bridge": "last"},
]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_a_translation_does_not_depend_on_its_batch(shape: dict[str, Any], beam: int) -> None:
    """Alone, together, shuffled, in batches of one, three or a hundred."""
    model, given_lines = build(**shape), lines(24)
    nbest = min(beam, 2)

    def translate(some: list[str], batch_lines: int) -> list[Translation]:
        return translator(model, batch_lines=batch_lines, max_length_ratio=1.0).translate(some, beam=beam, nbest=nbest)

    together = translate(given_lines, 100)
    assert len({each.text for each in together}) > 5, "the toy must say different things"
    shuffled = random.Random(1).sample(range(24), 24)
    for place, each in zip(shuffled, translate([given_lines[i] for i in shuffled], 100), strict=True):
        same(each, together[place])
    for batch_lines in (1, 3):
        for one, other in zip(translate(given_lines, batch_lines), together, strict=True):
            same(one, other)


def test_a_small_budget_of_tokens_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given_lines = lines(30)
    together = translator().translate(given_lines)
    monkeypatch.setattr("s2s.translation.translator.BATCH_TOKENS", 20)
    for one, other in zip(translator().translate(given_lines), together, strict=True):
        same(one, other)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=6))
def test_lines_out_are_lines_in_and_blank_stays_blank(given_lines: list[str]) -> None:
    """Unknown characters, tabs, control characters, line ends: one line in, one line out."""
    found = translator().translate(given_lines, beam=2)
    assert len(found) == len(given_lines)
    for line, each in zip(given_lines, found, strict=True):
        assert "\n" not in each.text
        if not line.strip():
            assert each.text == ""
            assert each.tokens == ()


def test_scores_are_what_the_tokens_add_up_to() -> None:
    for normalization, power in (("none", 0.0), ("average", 1.0)):
        for each in translator(length_normalization=normalization).translate(lines(20), nbest=3):
            if not each.tokens:
                continue
            assert each.log_probability == pytest.approx(sum(each.log_probabilities))
            assert each.score == pytest.approx(each.log_probability / len(each.tokens) ** power)
            assert len(each.log_probabilities) == len(each.tokens)
            assert [alternative.score for alternative in each.nbest] == sorted(
                (alternative.score for alternative in each.nbest), reverse=True
            )
            assert each.nbest[0].text == each.text
            assert len(each.nbest) == 3


def test_special_tokens_are_never_said_and_end_closes_what_was_not_cut_off() -> None:
    for each in translator(max_length_ratio=0.1).translate(lines(40)):
        said = each.tokens if "truncated" in each.flags else each.tokens[:-1]
        assert not set(said) & set(SPECIAL_LABELS)
        assert not each.tokens or (each.tokens[-1] == "</s>") == ("truncated" not in each.flags)


def test_lengths_stay_between_the_ratios() -> None:
    given_lines = [line for line in lines(40) if line.strip()]
    found = translator(min_length_ratio=1.0, max_length_ratio=1.5, beam=1).translate(given_lines)
    for line, each in zip(given_lines, found, strict=True):
        source = len(line) + 1
        said = len(each.tokens) - ("truncated" not in each.flags)
        assert source <= said <= int(1.5 * source) + 10
        assert ("truncated" in each.flags) == (said == int(1.5 * source) + 10 and each.tokens[-1] != "</s>")


def test_attention_has_a_row_for_each_target_token_and_sums_to_one_over_the_source() -> None:
    found = translator().translate(["abc", "", "hgfedcba"], attention=True)
    for line, each in zip(["abc", "", "hgfedcba"], found, strict=True):
        if not line:
            assert each.attention is None
            continue
        assert each.source_tokens == (*line, "</s>")
        assert each.attention is not None
        assert each.attention.shape == (len(each.tokens), len(line) + 1)
        np.testing.assert_allclose(each.attention.sum(axis=1), 1.0, rtol=1e-5)
    assert translator().translate(["abc"])[0].attention is None
    assert translator(build(attention="none")).translate(["abc"], attention=True)[0].attention is None


def test_a_text_instead_of_lines_and_a_beam_below_one_are_refused() -> None:
    made = translator(build())
    for wrong, said in (
        ("abc", r"lines: a list of texts is wanted \(given 'abc'\); put a single text in a list"),
        (b"abc", r"lines: a list of texts is wanted \(given b'abc'\)"),
        (None, r"lines: a list of texts is wanted \(given None\)"),
        (["a", b"x"], r"lines\[1\]: a text is wanted \(given b'x'\); decode it"),
        ([1], r"lines\[0\]: a text is wanted \(given 1\)"),
        ([None], r"lines\[0\]: a text is wanted \(given None\)"),
    ):
        with pytest.raises(TypeError, match=said):
            made.translate(wrong)  # type: ignore[arg-type]
    assert made.translate(line for line in ("abc", "")) == made.translate(["abc", ""])
    assert made.translate(["abc"], beam=np.int64(2)) == made.translate(["abc"], beam=2)  # type: ignore[arg-type]
    for options in ({"beam": 0}, {"beam": 1.5}, {"nbest": -1}):
        with pytest.raises(ValueError, match="at least 1"):
            made.translate(["abc"], **options)  # type: ignore[arg-type]


def test_repeats_are_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, flagged in (("no no no", True), ("no no yes", False)):
        monkeypatch.setattr(CharacterTokenizer, "decode", lambda self, tokens, text=text: text)
        assert ("repeats" in translator().translate(["abc"])[0].flags) == flagged


def test_a_line_with_what_the_vocabulary_lacks_is_flagged() -> None:
    found = translator().translate(["abc", "abz", "", "{a}"])
    assert ["unknown" in each.flags for each in found] == [False, True, False, True]


def test_a_line_longer_than_any_that_was_learned_is_flagged_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Translator(TorchEngine([build()], CPU), TOKENIZER, TOKENIZER, Decoding(), 5)
    for each in made, made.with_batch(2):
        caplog.clear()
        assert ["long" in found.flags for found in each.translate(["abcde", "abcdef", ""])] == [False, True, False]
        each.translate(["abcdefg"])
        (record,) = caplog.records
        assert "a line has 6 tokens ('abcdef'...), and training kept lines of at most 5" in record.getMessage()


def test_nbest_texts_differ_and_a_wider_beam_is_searched_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = CharacterTokenizer.decode
    merged = str.maketrans("bdfh", "aceg")
    monkeypatch.setattr(CharacterTokenizer, "decode", lambda self, tokens: decode(self, tokens).translate(merged))
    found = translator(beam=2).translate(lines(20), nbest=4)
    with monkeypatch.context() as patch:
        patch.setattr("s2s.translation.translator.different", partial(different, wider=0))
        once = translator(beam=2).translate(lines(20), nbest=4)
    assert sum(len(each.nbest) for each in found) > sum(len(each.nbest) for each in once)
    for each in found:
        texts = [other.text for other in each.nbest]
        assert len(texts) == len(set(texts))
        assert [other.score for other in each.nbest] == sorted((other.score for other in each.nbest), reverse=True)
    alone = translator(beam=2)
    for line, each in zip(lines(20), found, strict=True):
        same(alone.translate([line], nbest=4)[0], each)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_a_prefix_begins_every_translation(shape: dict[str, Any], beam: int) -> None:
    """Alone and together; also a long one, and one that the n-grams of the recipe would forbid."""
    each, given_lines = translator(build(**shape), no_repeat_ngram=2), [*lines(5), ""]
    for prefix in ("h", "bad bad bad", "abcdefgh" * 6):
        begun = each.with_prefix(prefix)
        found = begun.translate(given_lines, beam=beam, nbest=2)
        for line, translation in zip(given_lines, found, strict=True):
            same(begun.translate([line], beam=beam, nbest=2)[0], translation)
            assert all(other.text.startswith(prefix) for other in translation.nbest)
            assert bool(translation.text) == bool(line.strip())


def test_the_beginning_of_the_best_translation_as_prefix_changes_nothing() -> None:
    each = translator()
    for line, found in zip(lines(12), each.translate(lines(12), beam=1), strict=True):
        same(each.with_prefix(found.text[:2]).translate([line], beam=1)[0], found)


def test_a_prefix_that_the_vocabulary_cannot_spell_is_refused() -> None:
    with pytest.raises(DataError, match=r"^prefix 'ab☃': the vocabulary .* cannot spell it \(it would be 'ab⁇'\)"):
        translator().with_prefix("ab☃")


def test_an_ensemble_of_one_model_twice_is_that_model() -> None:
    model = build()
    for one, other in zip(
        translator(model, model).translate(lines(20)), translator(model).translate(lines(20)), strict=True
    ):
        same(one, other)


def test_an_ensemble_averages_probabilities() -> None:
    models = [build(1), build(2, cell="lstm", attention="dot")]
    together = translator(*models).translate(["abcd"], beam=1)[0]
    tokens = [TOKENIZER.encode(token)[0] if token != "</s>" else 3 for token in together.tokens]
    source = torch.tensor([[*TOKENIZER.encode("abcd"), 3]])
    inputs = torch.tensor([[2, *tokens[:-1]]])
    with torch.inference_mode():
        shares = [
            model.decoder.logits(model(source, torch.tensor([5]), inputs).readout)[0].softmax(dim=1) for model in models
        ]
    mean = (shares[0] + shares[1]) / 2
    wanted = [math.log(float(row[token])) for row, token in zip(mean, tokens, strict=True)]
    assert list(together.log_probabilities) == pytest.approx(wanted, abs=1e-4)


def save(folder: Path, seed: int = 21, letters: str = LETTERS) -> Path:
    """A run folder as training leaves it, as far as translating needs it."""
    folder.mkdir()
    tokenizer = CharacterTokenizer(list(letters))
    split = PairSplit(pairs=(("ab", "ba"),))
    recipe = TranslationRecipe(
        task="translation",
        data=TranslationData(source="x", target="y", train=split, validation=split),
        model=small(),
        training=Training(steps=1),
        decoding=Decoding(beam=2),
    )
    (folder / "recipe.toml").write_text(recipe_toml(recipe), encoding="utf-8")
    save_tokenizers(tokenizer, tokenizer, folder)
    save_tensors(folder / "best.safetensors", weights_of(build(seed)))
    return folder


def test_a_run_folder_translates_as_the_model_that_it_holds(tmp_path: Path) -> None:
    loaded = Translator.load(save(tmp_path / "a"), device="cpu")
    for one, other in zip(loaded.translate(lines(20)), translator(beam=2).translate(lines(20)), strict=True):
        same(one, other)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_in_int8_scores_are_near_for_few_lines_and_for_many(name: str, beam: int, tmp_path: Path) -> None:
    exact = Translator.load(small_run(tmp_path / "run", MODELS[name]), device="cpu")
    near = exact.in_precision("int8")
    assert engine_of(near).steppers[0].rounded
    lines = ["good morning", "thank you very much", "who are you?"] * 4
    for some in (lines[:1], lines):
        pairs = list(zip(near.translate(some, beam=beam), exact.translate(some, beam=beam), strict=True))
        assert any(found.score != expected.score for found, expected in pairs)
        for found, expected in pairs:
            assert found.score == pytest.approx(expected.score, rel=0.1)


def test_bfloat16_has_no_weights_in_int8(tmp_path: Path) -> None:
    exact = Translator.load(small_run(tmp_path / "run"), device="cpu")
    one, other = (each.translate(["good morning"], beam=2)[0] for each in (exact, exact.in_precision("bfloat16")))
    assert one.score == other.score  # one line is faster in float32


def test_a_translator_stays_as_it_is_when_its_models_are_trained_on() -> None:
    """Alone and in a batch; also in what is made at the first use."""
    model, given_lines = build(), lines(12)
    expected = translator(model).translate(given_lines)
    made = translator(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.neg_()
    changed = translator(model).translate(given_lines)
    assert [each.text for each in changed] != [each.text for each in expected]
    for one, other in zip(made.translate(given_lines), expected, strict=True):
        same(one, other)
    for line, other in zip(given_lines, expected, strict=True):
        same(made.translate([line])[0], other)
    assert not any(weight.requires_grad for each in engine_of(made).models for weight in each.parameters())
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_number_of_lines_changes_no_other_translator() -> None:
    made = translator(batch_lines=7)
    other = made.with_batch(2)
    assert (made.batch_lines, other.batch_lines) == (7, 2)
    assert other.engine is made.engine


def test_threads_search_one_after_the_other_where_graphs_fill_the_same_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU."""
    made, searching, most = translator(), [0], [0]
    engine = engine_of(made)
    search = engine._search

    def counted(*given: Any) -> Any:
        searching[0] += 1
        most[0] = max(most[0], searching[0])
        found = search(*given)
        searching[0] -= 1
        return found

    monkeypatch.setattr(engine, "_search", counted)
    engine.alone = Lock()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(made.translate, [lines(9)] * 8):
            assert len(found) == 9
    assert most == [1]


def test_runs_with_other_tokenizers_make_no_ensemble(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a"), save(tmp_path / "b", letters=LETTERS[::-1])
    third = save(tmp_path / "c", seed=3)
    with pytest.raises(RunError, match=r"b: its tokenizer is not that of .*a; an ensemble must share tokenizers"):
        Translator.load(first, second, device="cpu")
    assert len(engine_of(Translator.load(first, third, device="cpu")).models) == 2


def test_runs_of_other_languages_make_no_ensemble(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a"), save(tmp_path / "b")
    recipe = second / "recipe.toml"
    text = recipe.read_text()
    swapped = text.replace('source = "x"', 'source = "y"', 1).replace('target = "y"', 'target = "x"', 1)
    assert swapped != text
    recipe.write_text(swapped)
    with pytest.raises(RunError, match=r"b: translates from y to x, but .*a from x to y; an ensemble needs the same"):
        Translator.load(first, second, device="cpu")


@pytest.mark.parametrize("missing", ["recipe.toml", "best.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = save(tmp_path / "a")
    (folder / missing).unlink()
    with pytest.raises(RunError, match=str(folder)):
        Translator.load(folder, device="cpu")


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    best = save(tmp_path / "a") / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-10])
    with pytest.raises(RunError, match=r"a/best\.safetensors: damaged"):
        Translator.load(tmp_path / "a", device="cpu")


def test_the_longest_output_is_the_recipes_or_what_training_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save(tmp_path / "a")
    (folder / "lengths.json").write_text('{"max_length_ratio": 7.5}')
    assert Translator.load(folder, device="cpu").decoding.longest_output(2) == 25
    assert not caplog.records
    wrong = [f'{{"max_length_ratio": {value}}}' for value in ("null", "NaN", "-1", "0", '"2"', "true", "[2]", "1e300")]
    for damaged in ("{", "{}", "[7.5]", "7.5", '{"ratio": 7.5}', "\x00", *wrong):
        (folder / "lengths.json").write_text(damaged)
        caplog.clear()
        assert Translator.load(folder, device="cpu").decoding.longest_output(2) == 14
        assert len(caplog.records) == 1
        assert "lengths.json: missing or damaged, so an output has at most 2 tokens for each" in caplog.text
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[decoding]", "[decoding]\nmax_length_ratio = 3.0"))
    caplog.clear()
    assert Translator.load(folder, device="cpu").decoding.longest_output(2) == 16
    assert not caplog.records


def test_no_run_folder_is_a_readable_error() -> None:
    with pytest.raises(RunError, match="no run folder is given; name one"):
        Translator.load()
    with pytest.raises(TypeError, match=r"a run folder is a str or a Path \(given \['base'\]\); .*load\(\*folders\)"):
        Translator.load(["base"])  # type: ignore[arg-type]
