"""Files of pairs of every format: which units are pairs, how the others are counted, and what is refused."""

import gzip
import json
import logging
import lzma
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s2s.formats.tmx as tmx
import s2s.formats.xml as xml
import s2s.text.lines as lines
import s2s.text.packed as packed
from s2s.errors import DataError
from s2s.formats.codes import match
from s2s.formats.plain import PlainUnits
from s2s.formats.read import read_units
from s2s.text.lines import read_lines

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><header srclang="de"/><body>\n'


def read(path: Path, content: str | bytes, wanted: Sequence[str] = ("de", "en"), **ways: Any) -> list[tuple[str, str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_units(path, wanted, **ways)())


def unit(*variants: tuple[str, str]) -> str:
    return "<tu>" + "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in variants) + "</tu>\n"


GOOD = unit(("de", "a"), ("en", "b"))


def memory(*units: str) -> str:
    return f"{HEADER}{''.join(units)}</body></tmx>\n"


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.records[-1].getMessage()


def test_a_memory_gives_one_text_of_each_language_and_counts_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = memory(
        unit(("de", "eins"), ("en", "one"), ("fr", "un")),
        unit(("en", "two"), ("de", "zwei")),
        unit(("de", "drei"), ("fr", "trois")),
        unit(("de", " "), ("en", "four")),
        unit(("de", "fünf"), ("de", "funf"), ("en", "five")),
        unit(("de", "A <bpt i='1'>&lt;b></bpt>b<ept i='1'>&lt;/b></ept><ph>x<sub>C</sub></ph>"), ("en", "<hi>D</hi>")),
        unit(("de", "A &amp; B\n   C"), ("en", "A & B".replace("&", "&#38;"))),
        unit(("de", "{n, plural, one {eins}}"), ("en", "{n, plural, one {one}}")),
    )  # fmt: skip
    expected = [
        ("eins", "one"), ("zwei", "two"), ("fünf", "five"), ("A bC", "D"), ("A & B C", "A & B"),
    ]  # fmt: skip
    assert read(tmp_path / "m.tmx", text) == expected
    counts = "8 units: 5 pairs, 1 ICU messages, 1 empty, 1 without en (1 other variants, 1 with code)"
    assert logged(caplog) == f"m.tmx: {counts}"
    assert read(tmp_path / "m.tmx", text, ("EN", "deu")) == [pair[::-1] for pair in expected]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "iso-8859-1"])
def test_a_memory_of_any_encoding_and_version_is_read(tmp_path: Path, encoding: str) -> None:
    named = "UTF-16" if encoding == "utf-16" else encoding.removesuffix("-sig")
    text = memory(unit(("de-DE", "größer"), ("en", "larger"))).replace("UTF-8", named).replace("xml:lang", "lang")
    text = text.replace('<tmx version="1.4">', '<!DOCTYPE tmx SYSTEM "tmx11.dtd"><tmx version="1.1">')
    assert read(tmp_path / "m.tmx", text.encode(encoding)) == [("größer", "larger")]


TEXTS = st.lists(st.sampled_from([*"aé> {\n\t]\u3000", "&amp;", "&lt;", "&quot;", "&#9;", "&#x1F600;"]), max_size=4)
VARIANTS = st.builds(
    lambda more, code, notes, text: f'<tuv{more} xml:lang="{code}">{notes}<seg>{"".join(text)}</seg></tuv>',
    st.sampled_from(["", "", ' x="1"', "\n\tx='1'", ' x="&amp;" lang="en"']), st.sampled_from(["de", "en", "fr"]),
    st.sampled_from(["", "", "<note>n</note>\n", '<prop type="x">a</prop><note>&lt;</note>']), TEXTS,
)  # fmt: skip
UNITS = st.lists(VARIANTS, max_size=3).map(lambda variants: f"<tu>{' '.join(variants)}</tu>\n")
WRONG = ["&#0;", "&#11;", "&#55296;", "&#x110000;", "&x;", "&", "]]>", "\0", "\x0b", "\ufffe"]
BETWEEN = st.sampled_from(
    [
        "", "  \n", "<!-- " + unit(("de", "x"), ("en", "y")) + " -->", "<?x </tu>?>", "<note/>",
        unit(("de", "a<ph/>b"), ("en", "<![CDATA[</seg></tuv></tu>" + unit(("de", "p"), ("en", "q")) + "]]>")),
        "<tu ><tuv xml:lang='de'><seg>s</seg></tuv><tuv xml:lang='en' ><seg>t</seg></tuv></tu ><!-- </tu>",
        "-->",
    ]
)  # fmt: skip


def by_both_ways(path: Path, content: str, block: int = 64) -> list[Any]:
    """Pairs and counts, or the message, by patterns and by the parser alone."""
    path.write_text(content, "utf-8", "surrogateescape")
    results: list[Any] = []
    for is_plain in (tmx._UTF8, tmx.re.compile(rb"never")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tmx, "_UTF8", is_plain)
            patch.setattr(xml, "_BLOCK", block)
            counts = Counter[str]()
            try:
                results.append(([*tmx.pairs(path, ("de", "en"), ("de", "en"), counts)], +counts))
            except DataError as problem:
                results.append(str(problem))
    return results


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.just("") | BETWEEN, UNITS), max_size=6), st.sampled_from([7, 64, 1 << 16]))
def test_plain_units_are_read_as_the_parser_reads_them(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, str]], block: int
) -> None:
    content = memory(unit(("en", "first"), ("de", "erste")), *(text for part in parts for text in part), GOOD)
    plain, parsed = by_both_ways(tmp_path_factory.mktemp("m") / "m.tmx", content, block)
    assert plain == parsed


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_xml_is_no_plain_unit(tmp_path: Path, wrong: str) -> None:
    content = memory(GOOD, GOOD, unit(("de", "a"), ("en", f"b{wrong}c")), GOOD)
    plain, parsed = by_both_ways(tmp_path / "m.tmx", content, 1 << 16)
    assert plain == parsed
    assert "line 5" in parsed


UNUSED = ["<note>%s</note>", '<note x="%s">n</note>', '<note %s="1">n</note>']


@pytest.mark.parametrize("where", UNUSED)
@pytest.mark.parametrize("wrong", ["\udcf6", "]]>", "\ufffe", "1"])
def test_what_is_of_no_use_is_xml_too(tmp_path: Path, where: str, wrong: str) -> None:
    odd = GOOD.replace("<seg>", where % wrong + "<seg>", 1)
    plain, parsed = by_both_ways(tmp_path / "m.tmx", memory(GOOD, GOOD, odd, GOOD), 1 << 16)
    assert plain == parsed


def test_blanks_around_a_code_are_no_part_of_it(tmp_path: Path) -> None:
    odd = unit((" de ", "x"), ("de", "a"), ("en", "b"))
    plain, parsed = by_both_ways(tmp_path / "m.tmx", memory(GOOD, odd), 1 << 16)
    assert plain == parsed == ([("a", "b"), ("x", "b")], {"+ other variants": 1})


def test_a_reference_with_many_zeros_is_plain() -> None:
    data = unit(("de", "&#0000000065;"), ("en", "&#x000000042;")).encode()
    assert PlainUnits(("de", "en")).found(data, 0) == ([("A", "B")], len(data) - 1)


def test_a_text_of_wide_blanks_is_empty(tmp_path: Path) -> None:
    odd = unit(("de", "\N{NO-BREAK SPACE}"), ("en", "b"))
    plain, parsed = by_both_ways(tmp_path / "m.tmx", memory(GOOD, odd), 1 << 16)
    assert plain == parsed == ([("a", "b")], {"empty": 1})


PO = r"""
# a translator's words
msgid ""
msgstr ""
"Content-Type: text/plain; charset=%s\n"
"Language: de\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%%10>=2 && n%%10<=4 ? 1 : 2);\n"

#: file.c:1
msgid "Say \"hi\"\tto "
"all"
msgstr "Grüße\nan alle"

#, fuzzy, c-format
#| msgid "Old"
msgid "New %%d"
msgstr "Alt %%d"

msgctxt "menu"
msgid "Open"
msgstr ""

msgid "one file"
msgid_plural "%%d files"
msgstr[0] "eine Datei"
msgstr[1] "wenige Dateien"
msgstr[2] "%%d Dateien"

#~ msgid "Gone"
#~ msgstr "Weg"
"""


@pytest.mark.parametrize("charset", ["UTF-8", "ISO-8859-1", "CP1252"])
def test_a_catalogue_gives_its_finished_messages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, charset: str
) -> None:
    caplog.set_level(logging.INFO)
    content = (PO % charset).encode(charset)
    expected = [
        ('Say "hi" to all', "Grüße an alle"), ("one file", "eine Datei"), ("%d files", "%d Dateien"),
    ]  # fmt: skip
    assert read(tmp_path / "m.po", content, ("en", "de_AT")) == expected
    assert logged(caplog) == "m.po: 6 units: 3 pairs, 1 empty, 1 fuzzy, 1 obsolete (2 of plurals)"
    assert read(tmp_path / "m.po", content, ("de", "en")) == [pair[::-1] for pair in expected]
    if charset == "UTF-8":
        assert read(tmp_path / "m.po", b"\xef\xbb\xbf" + content.lstrip(), ("en", "de")) == expected
    with pytest.raises(DataError, match=r"m\.po: translates from none to de, and en and fr are wanted"):
        read(tmp_path / "m.po", content, ("en", "fr"))


@pytest.mark.parametrize(
    ("rule", "forms", "expected"),
    [
        ("nplurals=1; plural=0;", ["viele"], [("many", "viele")]),
        ("", ["eins", "viele"], [("one", "eins"), ("many", "viele")]),
        ("nplurals=2; plural=n==1;", ["viele", "eins"], [("one", "eins"), ("many", "viele")]),
    ],
)
def test_plurals_are_paired_by_their_rule(
    tmp_path: Path, rule: str, forms: list[str], expected: list[tuple[str, str]]
) -> None:
    header = f'msgid ""\nmsgstr "Plural-Forms: {rule}\\n"\n\n'
    strings = "".join(f'msgstr[{number}] "{form}"\n' for number, form in enumerate(forms))
    assert read(tmp_path / "m.po", f'{header}msgid "one"\nmsgid_plural "many"\n{strings}') == expected


def test_xliff_of_1_is_read_by_its_states(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    inner = "".join(
        f"<trans-unit id='{number}' {of_unit}><source>s{number}</source><target {of_target}>{text}</target>"
        "<alt-trans><source>no</source><target>no</target></alt-trans></trans-unit>"
        for number, (of_unit, of_target, text) in enumerate(
            [
                ("", "", 'a<g id="1">b</g><x id="2"/><ph id="3">c</ph>'),
                ("", "state='final'", "b"),
                ("approved='yes'", "state='needs-translation'", "c"),
                ("approved='no'", "state='translated'", "d"),
                ("translate='no'", "", "e"),
                ("", "state='new'", "f"),
                ("", "", ""),
                ("", "state='translated'", "h"),
            ]
        )
    )
    text = f"""<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
      <file source-language="de" target-language="fr"><body><trans-unit id="1"><source>x</source><target>y</target>
      </trans-unit></body></file>
      <file source-language="de" target-language="en-GB"><body><group>{inner}</group></body></file></xliff>"""
    expected = [("s0", "ab"), ("s1", "b"), ("s7", "h")]
    assert read(tmp_path / "m.xlf", text) == expected
    assert logged(caplog) == (
        "m.xlf: 9 units: 3 pairs, 1 empty, 1 needs-translation, 1 new, 1 not approved, 1 not to translate,"
        " 1 of other languages (1 with code)"
    )
    assert read(tmp_path / "m.xliff.xz", lzma.compress(text.encode()), ("en", "de")) == [p[::-1] for p in expected]


def test_xliff_of_2_is_read_by_its_segments(tmp_path: Path) -> None:
    text = """<xliff version="2.1" srcLang="de" trgLang="en" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">
      <unit id="1"><segment state="final"><source>Eins. </source><target>One. </target></segment><ignorable>
      <source> </source></ignorable><segment><source>Zwei <pc id="1">zwei</pc><ph id="2"/></source><target>Two</target>
      </segment><segment state="initial"><source>Drei</source><target>Three</target></segment></unit>
      <unit id="2" translate="no"><segment><source>Vier</source><target>Four</target></segment></unit></file></xliff>"""
    assert read(tmp_path / "m.xlf", text) == [("Eins.", "One."), ("Zwei zwei", "Two")]


def test_tables_are_read_by_the_names_of_their_sides(tmp_path: Path) -> None:
    rows = [{"translation": {"en": "one", "de": "eins"}}, {"translation": {"de": "zwei", "en": None}}]
    rows += [{"translation": {"en": "three"}}, {"translation": {"en": "four", "de": "vier", "fr": "quatre"}}]
    expected = [("eins", "one"), ("vier", "four")]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert read(tmp_path / "m.jsonl.gz", gzip.compress(content)) == expected
    flat = "".join(json.dumps(row["translation"]) + "\n" for row in rows)
    assert read(tmp_path / "m.jsonl", flat, ("en", "de_DE")) == [pair[::-1] for pair in expected]
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(
        arrow.table({"id": [1, 2, 3, 4], **{"translation": [row["translation"] for row in rows]}}), tmp_path / "p"
    )
    assert read(tmp_path / "m.parquet", (tmp_path / "p").read_bytes()) == expected
    with pytest.raises(DataError, match=r"m\.parquet: has no language fi; it has "):
        read_units(tmp_path / "m.parquet", ("fi", "de"))


def test_a_sheet_is_read_below_its_header(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["id", "en", "de"], [1, "one_x000D_\n more", "eins"], [2, 2.5, "zwei"], [3, "three", None], []):
        book.active.append(row)
    book.save(tmp_path / "m.xlsx")
    assert list(read_units(tmp_path / "m.xlsx", ("de", "en"))()) == [("eins", "one more"), ("zwei", "2.5")]
    with_names = list(read_units(tmp_path / "m.xlsx", ("b", "c"), ["a", "c", "b"])())
    assert with_names == [("de", "en"), ("eins", "one more"), ("zwei", "2.5")]


@pytest.mark.parametrize(
    ("wanted", "codes", "found"),
    [
        ("en", ["de", "en-US"], "en-US"),
        ("en_us", ["EN-US", "EN"], "EN-US"),
        ("en", ["en", "en-US"], "en"),
        ("eng", ["DE", "EN"], "EN"),
        ("pt-BR", ["pt_BR", "pt_PT"], "pt_BR"),
        ("zh_CN", ["zh-Hans", "zh-Hant"], "zh-Hans"),
        ("zho_Hant", ["zh-CN", "zh-TW"], "zh-TW"),
        ("he", ["iw"], "iw"),
        ("pt_BR", ["pt-PT"], None),
        ("de", ["den", "nds"], None),
        ("phones", ["words", "phones"], "phones"),
    ],
)
def test_codes_are_matched_as_people_write_them(wanted: str, codes: list[str], found: str | None) -> None:
    assert match(wanted, codes, Path("m.tmx")) == found


def test_a_language_that_a_file_has_twice_is_to_be_named(tmp_path: Path) -> None:
    text = memory(unit(("en-US", "color"), ("de", "Farbe")), unit(("en-GB", "colour"), ("de", "Farbe")))
    with pytest.raises(DataError, match=r"m\.tmx: several of its languages may be en: en-GB, en-US; name one"):
        read(tmp_path / "m.tmx", text)
    assert read(tmp_path / "m.tmx", text, ("de", "en_GB")) == [("Farbe", "colour")]


ENTITY = '<?xml version="1.0"?>\n<!DOCTYPE tmx [<!ENTITY a "b">]>\n<tmx><body>'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.tmx", memory(GOOD)[:-20], r"m\.tmx, line 3, column \d+: not XML: .*cut off"),
        ("m.tmx", memory(GOOD.replace("a<", "a & <")), "line 3, column .*: not XML: .*a bare &"),
        ("m.tmx", memory(unit(("de", "ä"), ("en", "b"))).encode("latin-1"), "line 3, column .*: not XML: .*encoding"),
        ("m.tmx", memory(GOOD).replace("UTF-8", "Shift_JIS"), r"m\.tmx: its encoding cannot be read .*UTF-8"),
        ("m.tmx", memory(GOOD).replace(HEADER[:38], ENTITY[:57]), r"line 2: names an entity \(a\)"),
        ("m.tmx", memory(GOOD.replace("a<", "&nbsp;<")), r"undefined entity; .*&#160;"),
        ("m.tmx", memory(GOOD.replace("</tu>", "")), "not XML: mismatched tag"),
        ("m.tmx", memory("<tu>" + GOOD), "line 3: a unit begins in another"),
        ("m.tmx", memory(unit(("de", ""), ("en", "b"))), r"m\.tmx: gives no pairs of de and en: m\.tmx: 1 units"),
        ("m.po", 'msgid "a"\nmsgstr "ä"\n'.encode("latin-1"), r"m\.po, line 2: is not in the charset .*utf-8"),
        ("m.po", 'msgid "a"\nmsgstr "b\n', r"m\.po, line 2: is no line of a PO file"),
        ("m.po", 'msgid "a"\n', r"m\.po, line 1: the entry has no msgstr; is the file cut off"),
        ("m.jsonl", '{"de": "a", "en": "b"}\n{"de"', r"m\.jsonl, line 2: is no JSON"),
        ("m.jsonl", '{"de": "a", "en": 1}\n', r"m\.jsonl, line 1: en is 1, and a text is wanted"),
        ("m.jsonl", '{"de": "a", "en": "b \\ud83d"}\n', r"m\.jsonl, line 1: en has half a character, \\ud83d"),
        ("m.parquet", b"PAR1", r"m\.parquet: cannot be read as Parquet"),
        ("m.xlsx", b"PK\x03\x04", r"m\.xlsx: cannot be read as a spreadsheet"),
        ("m.po.xz", lzma.compress(b'msgid "a"\nmsgstr "b"\n')[:-9], r"m\.po\.xz: the xz file is cut off"),
        ("m.po.gz", b"msgid", r"m\.po\.gz: the name ends in \.gz, but it cannot be unpacked"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name, content)
    assert str(tmp_path / name) in str(caught.value)


def test_memory_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "LONGEST", 1 << 17)
    monkeypatch.setattr(tmx, "LONGEST", 1 << 17)
    with pytest.raises(DataError, match=r"line 3: a tag or text goes on for more than 131,072 characters"):
        read(tmp_path / "m.tmx", memory(unit(("de", "a" * (1 << 18)), ("en", "b"))))
    with pytest.raises(DataError, match=r"line 3: a tag or text goes on"):
        read(tmp_path / "m.tmx", memory(f'<tu x="{"a" * (1 << 18)}">' + GOOD[4:]))
    monkeypatch.setattr(xml, "DEEPEST", 10)
    with pytest.raises(DataError, match=r"more than 10 elements are open"):
        read(tmp_path / "m.tmx", memory("<a>" * 20 + GOOD + "</a>" * 20))
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    with pytest.raises(DataError, match=r"line 2: has 100 bytes or more"):
        list(read_lines_of(tmp_path / "a.txt", b"a\n" + b"b" * 100 + b"\n"))
    monkeypatch.setattr(packed, "ALWAYS_BYTES", 1000)
    with pytest.raises(DataError, match=r"a\.txt\.gz: unpacks to more than [\d,]+ bytes"):
        list(read_lines_of(tmp_path / "a.txt.gz", gzip.compress(b"\n" * 100_000)))


def read_lines_of(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return list(read_lines(path))


def test_packed_streams_follow_one_another(tmp_path: Path) -> None:
    one, two = lzma.compress(b"one\n"), lzma.compress(b"two\n")
    assert read_lines_of(tmp_path / "a.xz", one + bytes(8) + two + bytes(4)) == ["one", "two"]
    zstd = pytest.importorskip("backports.zstd")
    assert read_lines_of(tmp_path / "a.zst", zstd.compress(b"one\n") + zstd.compress(b"two\n")) == ["one", "two"]
    with pytest.raises(DataError, match=r"a\.zst: the zstd file is cut off"):
        read_lines_of(tmp_path / "a.zst", zstd.compress(b"one\n" * 99)[:-3])
    with pytest.raises(DataError, match=r"a\.xz: the name ends in \.xz, but it cannot be unpacked"):
        read_lines_of(tmp_path / "a.xz", one + b"more of something else")


def test_a_sheet_that_declares_entities_or_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["de", "en"])
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            is_sheet = "sheet1.xml" in name
            new.writestr(name, b'<!DOCTYPE a [<!ENTITY a "b">]>' + content if is_sheet else content)
    with pytest.raises(DataError, match=r"b\.xlsx: cannot be read .*Entit"):
        read_units(tmp_path / "b.xlsx", ("de", "en"))
    monkeypatch.setattr("s2s.formats.sheets.MOST_BYTES", 100)
    with pytest.raises(DataError, match=r"a\.xlsx: unpacks to [\d,]+ bytes, and at most 100 are read"):
        read_units(tmp_path / "a.xlsx", ("de", "en"))
