"""Tables as spreadsheets write them: separators, decimal commas, byte-order marks, and clocks of a time zone."""

from pathlib import Path

import numpy as np
import pytest

from s2s.errors import DataError
from s2s.forecast.rows import read_rows
from s2s.forecast.times import read_times
from s2s.language.recipe import TextFile
from s2s.language.text import open_text

TABLE = [["Zeit", "Wert, kWh"], ["01.02.2024 00:00", "1.5"], ["01.02.2024 01:00", "-2"], ["01.02.2024 02:00", "0.25"]]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("text", [
    'Zeit;"Wert, kWh"\n01.02.2024 00:00;1,5\n01.02.2024 01:00;-2\n01.02.2024 02:00;,25\n',
    'sep=;\r\nZeit;Wert, kWh\r\n"01.02.2024 00:00";1,5\r\n01.02.2024 01:00;-2\r\n01.02.2024 02:00;"0,25"\r\n',
    "Zeit\tWert, kWh\n01.02.2024 00:00\t1.5\n01.02.2024 01:00\t-2\n01.02.2024 02:00\t0.25\n",
    'Zeit,"Wert, kWh"\n01.02.2024 00:00,1.5\n01.02.2024 01:00,-2\n01.02.2024 02:00,0.25\n',
])  # fmt: skip
def test_a_table_is_read_by_its_separator(tmp_path: Path, mark: str, text: str) -> None:
    (tmp_path / "a.csv").write_text(mark + text, encoding="utf-8", newline="")
    header, rows = read_rows(tmp_path / "a.csv")
    found = [header, *([row.cell(0), row.cell(1).replace("+", "")] for row in rows)]
    assert [[*row[:1], row[1].replace(".25", "0.25").replace("00.25", "0.25")] for row in found] == TABLE


def test_a_table_of_too_many_columns_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.forecast.rows.MOST_COLUMNS", 2)
    (tmp_path / "a.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match=r"a\.csv, line 2: there are 3 columns, and at most 2 are read"):
        read_rows(tmp_path / "a.csv")


def moments(tmp_path: Path, cells: list[str], zone: str | None) -> list[float]:
    """Hours between times."""
    (tmp_path / "a.csv").write_text("time\n" + "".join(f"{cell}\n" for cell in cells))
    times = read_times(read_rows(tmp_path / "a.csv")[1], 0, "time", None, zone)
    return np.round(np.diff(times.moments) * 24, 6).tolist()


def test_stated_zones_are_kept(tmp_path: Path) -> None:
    cells = ["2024-01-01 00:00 UTC", "2024-01-01 01:00 GMT", "2024-01-01 03:00 UTC+01:00", "2024-01-01 05:00 +0200"]
    assert moments(tmp_path, cells, None) == moments(tmp_path, cells, "Asia/Seoul") == [1, 1, 1]


def test_clocks_of_a_zone_are_set_forth_and_back(tmp_path: Path) -> None:
    spring = ["2024-03-31 01:00", "2024-03-31 03:00", "2024-03-31 04:00"]
    autumn = ["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 03:00"]
    assert moments(tmp_path, spring, "Europe/Berlin") == [1, 1]
    assert moments(tmp_path, autumn, "Europe/Berlin") == [1, 1, 1]
    assert moments(tmp_path, autumn, None) == [1, 0, 1]


def test_texts_of_folders_and_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "b.txt").write_text("three\n")
    (tmp_path / "t" / "a.txt").write_text("one\ntwo")
    (tmp_path / "t" / "c.md").write_text("no")
    (tmp_path / "a.jsonl").write_text('{"text": "one\\ntwo", "id": 1}\n{"text": "three"}\n')
    for name in ("t", "a.jsonl"):
        text = open_text(TextFile(file=str(tmp_path / name)), None, exact=False)
        assert "".join(text.read()) == "".join(text.read()) == "one\ntwo\nthree\n"
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: has no key body; it has text, id"):
        list(open_text(TextFile(file=str(tmp_path / "a.jsonl"), column="body"), None, exact=False).read())
    (tmp_path / "u").mkdir()
    with pytest.raises(DataError, match=r"u: has no files whose names end in \.txt"):
        open_text(TextFile(file=str(tmp_path / "u")), None, exact=False)
