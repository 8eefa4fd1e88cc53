"""Of a long text, pieces are learned from a part."""

import pytest

from s2s.text import pieces


def test_of_a_long_text_both_sides_are_kept_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_TRAINING_CHARACTERS", 1000)
    kept, complete = pieces._training_text(f"{'st'[number % 2]}{number:05}" for number in range(20_000))
    assert not complete
    assert 500 / 6 * 0.8 < len(kept) <= 1000 / 6
    sources = [line for line in kept if line[0] == "s"]
    assert abs(len(sources) / len(kept) - 0.5) < 0.1
    assert max(map(int, (line[1:] for line in kept))) > 19_000
    monkeypatch.undo()
    assert pieces._training_text(["s", "", "t"]) == (["s", "t"], True)
