"""Laws of strict reading."""

import bz2
import gzip
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s.errors import DataError
from s2s.text.conventions import quoted_cell
from s2s.text.lines import Lines, Table, read_lines, read_pairs, read_text

a_line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"))
in_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@in_a_folder
@given(st.lists(a_line), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_lines_come_back_as_written(
    tmp_path: Path, lines: list[str], end: str, has_mark: bool, is_packed: bool
) -> None:
    if lines and lines[0].startswith("\ufeff") and not has_mark:
        lines[0] = lines[0].lstrip("\ufeff")
    content = (b"\xef\xbb\xbf" if has_mark else b"") + "".join(f"{line}{end}" for line in lines).encode()
    path = tmp_path / ("text.gz" if is_packed else "text")
    path.write_bytes(gzip.compress(content) if is_packed else content)
    assert list(read_lines(path)) == lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\xef\xbb\xbf", []),
        (b"\n", [""]),
        (b"one\n\nthree", ["one", "", "three"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"a\rb\nc\r", ["a\rb", "c\r"]),
        ("a\u2028b\x0bc\x0cd\x1ce\x85f\ng".encode(), ["a\u2028b\x0bc\x0cd\x1ce\x85f", "g"]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", ["one", "\ufefftwo"]),
    ],
)
def test_only_newlines_end_a_line(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    assert list(read_lines(written(tmp_path / "text", content))) == lines


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"good\ngr\xfc\xdfe\n", "line 2: byte 0xfc at position 3"),
        (b"cut \xe2\x82", "line 1: byte 0xe2 at position 5"),
        (b"\n" * 1234 + b"\xed\xa0\x80", "line 1,235: byte 0xed at position 1"),
    ],
)
def test_an_invalid_byte_is_named_with_file_and_line(tmp_path: Path, content: bytes, place: str) -> None:
    path = written(tmp_path / "latin.txt", content)
    with pytest.raises(DataError) as raised:
        list(read_lines(path))
    assert f"{path}, {place} of the line is not valid UTF-8" in str(raised.value)
    assert "iconv" in str(raised.value)


def test_lines_before_an_invalid_byte_are_streamed(tmp_path: Path) -> None:
    lines = read_lines(written(tmp_path / "text", b"good\n\xff\n"))
    assert next(lines) == "good"
    with pytest.raises(DataError):
        next(lines)


@pytest.mark.parametrize("kept_bytes", [5, 25, -4])
def test_a_cut_off_gzip_file_is_an_error(tmp_path: Path, kept_bytes: int) -> None:
    path = written(tmp_path / "text.gz", gzip.compress(b"some text to be packed\n" * 9, mtime=0)[:kept_bytes])
    with pytest.raises(DataError, match=r"text\.gz: the gzip file is cut off"):
        list(read_lines(path))


def test_a_gz_that_is_not_gzip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"text\.gz: the name ends in \.gz, but it cannot be unpacked"):
        list(read_lines(written(tmp_path / "text.gz", b"plain text\n")))


def test_a_gz_whose_bytes_changed_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"some text to be packed\n" * 9))
    packed[-8] ^= 1  # the checksum
    with pytest.raises(DataError, match="cannot be unpacked"):
        list(read_lines(written(tmp_path / "text.gz", bytes(packed))))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.en: no such file"):
        list(read_lines(tmp_path / "absent.en"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        list(read_lines(tmp_path))


@in_a_folder
@given(st.lists(st.tuples(a_line, a_line)))
def test_aligned_files_give_their_pairs(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    files = Lines(tmp_path / "a", tmp_path / "b")
    for side, path in enumerate(files):
        path.write_bytes("".join(f"{pair[side].lstrip(chr(0xFEFF))}\n" for pair in pairs).encode())
    assert list(read_pairs(files)) == [(source.lstrip("\ufeff"), target.lstrip("\ufeff")) for source, target in pairs]


@pytest.mark.parametrize(("source_lines", "target_lines"), [(2900, 2899), (1, 1234), (0, 3), (3, 0)])
def test_unequal_files_are_an_error_with_both_counts(tmp_path: Path, source_lines: int, target_lines: int) -> None:
    source = written(tmp_path / "train.de", b"ein\n" * source_lines)
    target = written(tmp_path / "train.en", b"one\n" * target_lines)
    with pytest.raises(DataError) as raised:
        list(read_pairs(Lines(source, target)))
    assert f"source {source} has {source_lines:,} lines, target {target} {target_lines:,}:" in str(raised.value)


def test_a_table_is_read_by_its_header(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.tsv", b"id\ten\tko\r\n1\tGo.\t\xea\xb0\x80.\r\n2\t\tx")
    assert list(read_pairs(Table(path, "en", "ko"))) == [("Go.", "가."), ("", "x")]
    assert list(read_pairs(Table(path, "ko", "id"))) == [("가.", "1"), ("x", "2")]


def test_a_table_without_header_is_read_by_the_given_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.tsv", b'"Go.\tVa !\tby me\nRun!\tCours !\tby you\n')
    table = Table(path, "fr", "en", ("en", "fr", "attribution"))
    assert list(read_pairs(table)) == [("Va !", '"Go.'), ("Cours !", "Run!")]


@pytest.mark.parametrize(
    ("content", "number", "found"),
    [(b"en\tko\na\tb\nalone\n", 3, 1), (b"en\tko\na\tb\tc\n", 2, 3), (b"en\tko\na\tb\n\n", 3, 1)],
)
def test_a_row_of_another_width_is_named(tmp_path: Path, content: bytes, number: int, found: int) -> None:
    path = written(tmp_path / "pairs.tsv", content)
    with pytest.raises(DataError) as raised:
        list(read_pairs(Table(path, "en", "ko")))
    assert f"{path}, line {number}: expected 2 columns (en, ko), found {found};" in str(raised.value)


def test_columns_must_name_all_columns_of_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.tsv", b"Go.\tVa !\tby me\n")
    with pytest.raises(DataError, match=r"line 1: expected 2 columns \(en, fr\), found 3"):
        list(read_pairs(Table(path, "en", "fr", ("en", "fr"))))


def test_an_unknown_column_lists_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.tsv", b"Go.\tVa !\tby me\n")
    with pytest.raises(DataError) as raised:
        list(read_pairs(Table(path, "en", "fr")))
    assert "no column is named en; there are: Go., Va !, by me" in str(raised.value)
    assert 'columns = ["en", "fr", "column3"]' in str(raised.value)
    with pytest.raises(DataError) as raised:
        list(read_pairs(Table(path, "en", "de", ("en", "fr", "by"))))
    assert str(raised.value).endswith("no column is named de; there are: en, fr, by")


def test_a_column_name_given_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 columns are named en"):
        list(read_pairs(Table(written(tmp_path / "pairs.tsv", b"en\ten\tko\n"), "en", "ko")))


def test_an_empty_table_has_no_header(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.tsv", b"")
    with pytest.raises(DataError, match="the file is empty"):
        list(read_pairs(Table(path, "en", "ko")))
    assert list(read_pairs(Table(path, "en", "ko", ("en", "ko")))) == []


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
@pytest.mark.parametrize("text", ["Hello, world.\nBye.\n", "안녕하세요 여러분\n잘 가요\n", "你好，世界！\n再见\n"])
@pytest.mark.parametrize("has_mark", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
def test_utf16_and_utf32_are_named_as_what_they_are(
    tmp_path: Path, encoding: str, text: str, has_mark: bool, is_packed: bool
) -> None:
    content = (f"\ufeff{text}" if has_mark else text).encode(encoding)
    path = written(tmp_path / ("text.gz" if is_packed else "text"), gzip.compress(content) if is_packed else content)
    for read in (read_lines, read_text):
        with pytest.raises(DataError, match=rf"text(\.gz)?: the text is in {encoding}.*iconv -f {encoding} -t UTF-8"):
            list(read(path))


@pytest.mark.parametrize("content", [b"one\0\ntwo\n", b"\0\none\ntwo\n", "안녕\0\n그래요\n".encode()])
def test_nul_bytes_are_told_once_with_their_line(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "text", b"good\n" + content + b"\0\n")
    for read in (read_lines, read_text):
        caplog.clear()
        assert "\0" in "".join(read(path))
        (record,) = caplog.records
        assert f"{path}, line 2: has NUL bytes" in record.getMessage()


def escaped(*cells: str) -> str:
    return "\t".join('"' + cell.replace('"', '""') + '"' if '"' in cell else cell for cell in cells)


def test_a_spreadsheets_quotation_marks_are_told_once_with_line_and_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [("fine", "gut"), ('He said "hi".', 'Er sagte "hallo".'), ('A "b".', "c")]
    path = written(tmp_path / "x.tsv", "\n".join(["en\tde", *(escaped(*pair) for pair in pairs)]).encode())
    assert list(read_pairs(Table(path, "en", "de")))[1] == ('"He said ""hi""."', '"Er sagte ""hallo""."')
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert f'{path}, line 3: "He said ""hi""." has the quotation marks that a spreadsheet puts' in message
    program = message.partition("python3 -c '")[2].partition("'")[0]
    run = subprocess.run([sys.executable, "-c", program], input=path.read_bytes(), capture_output=True, check=True)
    path.write_bytes(run.stdout)
    caplog.clear()
    assert list(read_pairs(Table(path, "en", "de"))) == pairs
    assert not caplog.records


@pytest.mark.parametrize("line", ['"Yes," she said.', '"Yes."\tno', 'the "" of', '"a" and ""b""', '5"" long "'])
def test_quotation_marks_of_people_are_none_of_a_spreadsheet(line: str) -> None:
    assert quoted_cell(line) is None


@pytest.mark.parametrize(("separator", "called"), [(",", "commas"), (";", "semicolons"), ("|", "vertical bars")])
@pytest.mark.parametrize("columns", [(), ("en", "de")])
def test_another_separator_than_tabs_is_named(
    tmp_path: Path, separator: str, called: str, columns: tuple[str, ...]
) -> None:
    rows = [[] if columns else ["en", "de"], ["one", "eins"]]
    path = written(tmp_path / "x.tsv", "\n".join(separator.join(row) for row in rows if row).encode())
    with pytest.raises(DataError, match=rf"x\.tsv, line 1: the columns are separated by {called}.* delimiter="):
        list(read_pairs(Table(path, "en", "de", columns)))


def test_a_cell_with_a_line_break_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tsv", b'en\tde\n"one\ntwo"\tzwei\n')
    with pytest.raises(DataError, match=r"line 2: expected 2 columns.*goes on in the next line"):
        list(read_pairs(Table(path, "en", "de")))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "x.txt",
            gzip.compress(b"one\n", mtime=0),
            r"x.txt: this is no text, but packed (gzip); give it a name that ends in .gz",
        ),
        (
            "x.gz",
            gzip.compress(gzip.compress(b"one\n", mtime=0), mtime=0),
            "x.gz: this is no text, but packed (gzip); unpack it",
        ),
        ("x.csv", b"PK\x03\x04\x14\0", "packed (zip, as of a spreadsheet such as .xlsx); unpack it"),
        ("x.txt", bz2.compress(b"one\n"), "packed (bzip2); unpack it"),
        ("x.txt", lzma.compress(b"one\n"), "packed (xz); give it a name that ends in .xz"),
        ("x.txt", b"one\rtwo\r", "lone carriage return, as on an old Mac, and s2s reads"),
        ("x.txt", b"one\rtwo\rthree", "convert it (tr"),
    ],
)
def test_what_is_no_lines_of_text_is_said_with_what_to_do(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = written(tmp_path / name, content)
    for read in (read_lines, read_text):
        with pytest.raises(DataError, match=re.escape(said)):
            list(read(path))


def test_a_header_that_the_recipe_names_too_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "x.tsv", b"EN\tko\na\tb\n")
    assert list(read_pairs(Table(path, "en", "ko", ("en", "ko")))) == [("EN", "ko"), ("a", "b")]
    assert "x.tsv, line 1: holds the names of the columns, and is read as a pair" in caplog.text
    caplog.clear()
    assert list(read_pairs(Table(path, "EN", "ko"))) == [("a", "b")]
    assert caplog.text == ""


@in_a_folder
@given(st.binary(max_size=60), st.integers(1, 9))
def test_exact_text_has_all_bytes_of_a_file(tmp_path: Path, content: bytes, most: int) -> None:
    path = written(tmp_path / "log", b"\xef\xbb\xbf" + content)
    pieces = list(read_text(path, longest=most, exact=True))
    assert "".join(pieces).encode("utf-8", "surrogateescape") == path.read_bytes()
    whole = path.read_bytes().removesuffix(b"\n").split(b"\n")
    lines = list(read_lines(path, exact=True))
    assert [line.encode("utf-8", "surrogateescape") for line in lines] == whole
