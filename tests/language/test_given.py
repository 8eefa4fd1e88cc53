"""Given lines are scored as a whole text is, whatever stands beside them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from s2s import Generator, load_recipe
from s2s.errors import DataError
from s2s.jobs.evaluate import evaluate
from s2s.language import given
from s2s.language.given import LineScorer
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe, TextFile
from s2s.nn.loss import LineScore
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe.load import recipe_toml
from s2s.run import RunFolder
from s2s.text.tokenizer import listed, save_tokenizers, train_tokenizer

LINES = ["the cat sat", "a dog ran and ran", "", "the the the", "dog", "a cat and a dog sat", "a snake", "ran"]
KINDS = {
    "characters": ("stream", 'kind = "characters"'),
    "words": ("chunks", 'kind = "words"'),
    "lines": ("lines", 'kind = "words"'),
    "characters of lines": ("lines", 'kind = "characters"'),
    "closed": ("lines", 'kind = "characters"\nsymbols = ["a", "b", "c"]'),
    "closed stream": ("stream", 'kind = "words"\nsymbols = ["a", "b", "c"]'),
}


def a_run(path: Path, kind: str, cell: str = "lstm") -> Path:
    """Run folder of a language model with sampled weights."""
    cut, tokenizer = KINDS[kind]
    path.mkdir()
    toml = path / "recipe.toml"
    toml.write_text(
        f'task = "language"\n[data]\ncut = "{cut}"\ntrain.text = "a b"\nvalidation.text = "a b"\n'
        f"[tokenizer]\n{tokenizer}\n"
        f'[model]\ncell = "{cell}"\nhidden_size = 12\nlayers = 2\nembedding_size = 6\n[training]\nepochs = 1\n'
    )
    recipe = load_recipe(toml)
    assert isinstance(recipe, LanguageRecipe)
    toml.write_text(recipe_toml(recipe))
    ends = "\n" if kind == "characters" else ""
    symbols = recipe.tokenizer.symbols
    learned = (
        listed(recipe.tokenizer)(symbols, closed=True)
        if symbols
        else train_tokenizer(recipe.tokenizer, [line + ends for line in LINES if "snake" not in line])
    )
    save_tokenizers(learned, learned, path)
    torch.manual_seed(3)
    model = build_language_model(recipe.model, learned.vocabulary_size)
    save_tensors(RunFolder(path).best, {name: 2 * weight for name, weight in weights_of(model).items()})
    return path


def nats(scores: list[LineScore]) -> Any:
    return pytest.approx([each.nats for each in scores], rel=1e-5, abs=1e-6)


def lines_of(kind: str) -> list[str]:
    """Some lines, with what the vocabulary lacks unless it is closed."""
    if "closed" not in kind:
        return LINES
    return ["abcab", "ccb", "a", "ba"] if kind == "closed" else ["a b c a b", "c c b", "a", "b a"]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_line_has_the_same_score_in_any_order_and_batch(
    kind: str, cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, lines = LineScorer(Generator.load(a_run(tmp_path / "run", kind, cell))), lines_of(kind)
    together = score(lines)
    assert [score([line])[0].nats for line in lines] == nats(together)
    assert [each.nats for each in score(lines[::-1])] == nats(together[::-1])
    monkeypatch.setattr(given, "SCORED_WINDOW", 2)
    monkeypatch.setattr(given, "BATCH_TOKENS", 7)
    assert [each.nats for each in score(lines)] == nats(together)


@pytest.mark.parametrize("kind", ["lines", "characters of lines", "closed"])
def test_lines_together_have_the_score_of_their_text(kind: str, tmp_path: Path) -> None:
    run, lines = a_run(tmp_path / "run", kind), lines_of(kind)
    scores = LineScorer(Generator.load(run))(lines)
    assert as_evaluated(run, "\n".join(lines) + "\n", tmp_path) == nats([totals(scores)])
    assert sum(each.unknown_tokens for each in scores) == {"lines": 1, "characters of lines": 1, "closed": 0}[kind]


@pytest.mark.parametrize("kind", ["characters", "words", "closed stream"])
def test_a_carried_state_gives_the_score_of_one_text(kind: str, tmp_path: Path) -> None:
    """Which begins with the end of a line, where the model knows ends."""
    run, lines = a_run(tmp_path / "run", kind), lines_of(kind)
    score = LineScorer(Generator.load(run), carried=True)
    scores = [*score(lines[:3]), *score(lines[3:])]
    text = ("" if kind == "closed stream" else "\n") + "\n".join(lines) + "\n"
    assert as_evaluated(run, text, tmp_path) == nats([totals(scores)])
    fresh = LineScorer(Generator.load(run))(lines)
    assert scores[0].nats == pytest.approx(fresh[0].nats, rel=1e-5)
    assert scores[3].nats != pytest.approx(fresh[3].nats, rel=1e-5)


def totals(scores: list[LineScore]) -> LineScore:
    return LineScore(*(sum(parts) for parts in zip(*scores, strict=True)))


def as_evaluated(run: Path, text: str, folder: Path) -> list[float]:
    (folder / "text.txt").write_text(text)
    (result,) = evaluate([run], files=TextFile(file=str(folder / "text.txt")))
    return [result["scores"]["nats_per_token"]["value"] * result["examples"]]


def test_a_state_is_not_carried_by_a_model_of_single_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--carried: the model was trained line by line"):
        LineScorer(Generator.load(a_run(tmp_path / "run", "lines")), carried=True)
