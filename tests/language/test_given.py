"""Given lines are scored as a whole text is, whatever stands beside them."""

from pathlib import Path
from typing import Any

import pytest

from s2s import Generator
from s2s.errors import DataError
from s2s.jobs.evaluate import evaluate
from s2s.language import given, model
from s2s.language.given import LineScorer, ScoredLine
from s2s.language.recipe import TextFile
from s2s.language.scores import SPELLED
from tests.small_language_runs import LINES, small_language_run

KINDS = ["characters", "words", "bytes", "lines", "characters of lines", "closed", "closed stream"]


def nats(scores: list[ScoredLine]) -> Any:
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
    score, lines = LineScorer(Generator.load(small_language_run(tmp_path / "run", kind, cell))), lines_of(kind)
    together = score(lines)
    assert [score([line])[0].nats for line in lines] == nats(together)
    assert [each.nats for each in score(lines[::-1])] == nats(together[::-1])
    monkeypatch.setattr(given, "SCORED_WINDOW", 2)
    monkeypatch.setattr(given, "BATCH_TOKENS", 7)
    assert [each.nats for each in score(lines)] == nats(together)


def test_no_more_logits_are_held_than_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a vocabulary of 300,000 those of 256 positions would take 300 MB, and several times."""
    generator = Generator.load(small_language_run(tmp_path / "run", "words"))
    logits, held = generator.model.logits, list[int]()
    monkeypatch.setattr(generator.model, "logits", lambda readout: held.append(len(readout)) or logits(readout))
    monkeypatch.setattr(model, "FEWEST_POSITIONS", 3)
    monkeypatch.setattr(model, "CHUNK_LOGITS", 1)
    LineScorer(generator)(LINES)
    assert max(held) == 3


@pytest.mark.parametrize("kind", ["lines", "characters of lines", "closed"])
def test_lines_together_have_the_score_of_their_text(kind: str, tmp_path: Path) -> None:
    run, lines = small_language_run(tmp_path / "run", kind), lines_of(kind)
    scores = LineScorer(Generator.load(run))(lines)
    require_same(totals(scores), as_evaluated(run, "\n".join(lines) + "\n", tmp_path))
    assert sum(each.unknown_tokens for each in scores) == {"lines": 1, "characters of lines": 1, "closed": 0}[kind]


@pytest.mark.parametrize("kind", ["characters", "words", "bytes", "closed stream"])
def test_a_carried_state_gives_the_score_of_one_text(kind: str, tmp_path: Path) -> None:
    """Which begins with the end of a line, where the model knows ends."""
    run, lines = small_language_run(tmp_path / "run", kind), lines_of(kind)
    score = LineScorer(Generator.load(run), carried=True)
    scores = [*score(lines[:3]), *score(lines[3:])]
    text = "\n" + "\n".join(lines) + "\n"
    if kind == "closed stream":  # which has no ends, and spaces that the lines alone have not
        result = as_evaluated(run, text[1:], tmp_path)
        assert result["nats"] == pytest.approx(totals(scores).nats, rel=1e-5)
    else:
        require_same(totals(scores), as_evaluated(run, text, tmp_path))
    fresh = LineScorer(Generator.load(run))(lines)
    assert scores[0].nats == pytest.approx(fresh[0].nats, rel=1e-5)
    assert scores[3].nats != pytest.approx(fresh[3].nats, rel=1e-5)


def totals(scores: list[ScoredLine]) -> ScoredLine:
    return ScoredLine(*(sum(parts) for parts in zip(*scores, strict=True)))


def as_evaluated(run: Path, text: str, folder: Path) -> dict[str, Any]:
    (folder / "text.txt").write_text(text)
    (result,) = evaluate([run], files=TextFile(file=str(folder / "text.txt")))
    return result


def require_same(whole: ScoredLine, result: dict[str, Any]) -> None:
    """Every count and score of lines together is that of their text."""
    assert result["nats"] == pytest.approx(whole.nats, rel=1e-5)
    assert result["unknown"]["nats"] == pytest.approx(whole.unknown_nats, rel=1e-5)
    counts = result["examples"], result["unknown"]["tokens"], result["characters"], result["bytes"]
    assert counts == (whole.tokens, whole.unknown_tokens, whole.characters, whole.bytes)
    row = whole.row()
    assert (SPELLED in row) == (SPELLED in result["scores"]) == bool(whole.unknown_tokens)
    for name in result["scores"].keys() - {"perplexity", "accuracy"}:
        assert row[name] == pytest.approx(result["scores"][name]["value"], rel=1e-5)


def test_a_state_is_not_carried_by_a_model_of_single_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--carried: the model was trained line by line"):
        LineScorer(Generator.load(small_language_run(tmp_path / "run", "lines")), carried=True)
