"""Random command lines end in a result or in a readable message: a short form of what `tests/fuzz.py` runs by hand."""

from pathlib import Path

import pytest
from fuzz import ends


@pytest.mark.parametrize(("kind", "count"), [("recipes", 80), ("data", 80), ("trainings", 6)])
def test_every_command_line_ends_in_a_result_or_a_message(
    kind: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path))
    found = list(ends(kind, seed=0, indices=range(count), folder=tmp_path))
    assert [(index, end) for index, _, end in found if end.fault] == []
    assert any(end.code == 0 for _, _, end in found), "no case ends in a result, so little was run"
    assert any(end.code == 1 for _, _, end in found)
