"""XLIFF and TMX: targets are written beside their sources, and nothing else changes."""

import re
import xml.etree.ElementTree as ET

import pytest
from shouting import changed, outcome

from s2s.errors import DataError
from s2s.translation.reading import Reading

OLD = '<xliff version="1.2"><file source-language="en" target-language="de"><body>{}</body></file></xliff>'
NEW = '<xliff version="2.0" srcLang="en-US" trgLang="de"><file><unit>{}</unit></file></xliff>'
MARKED = '<target state="needs-review-translation" state-qualifier="leveraged-mt">'
CODE = 'Hello <x id="1" equiv-text="{{ a }}"/>, <g id="2">you <ph>code</ph></g> &amp; me'
SHOUTED = 'HELLO <x id="1" equiv-text="{{ a }}"/>, <g id="2">YOU <ph>code</ph></g> &amp; ME'


@pytest.mark.parametrize(
    ("unit", "translated"),
    [
        ("<source>a</source>", f"<source>a</source>{MARKED}A</target>"),
        ("<source>a</source><note>b</note>", f"<source>a</source>{MARKED}A</target><note>b</note>"),
        ("\n  <source>a</source>\n", f"\n  <source>a</source>\n  {MARKED}A</target>\n"),
        ("<source>a</source><target/>", f"<source>a</source>{MARKED}A</target>"),
        ("<source>a</source><target state='new'>a</target>", f"<source>a</source>{MARKED.replace(chr(34), chr(39), 2)}A</target>"),  # noqa: E501
        ("<source><![CDATA[a <b>]]></source>", f"<source><![CDATA[a <b>]]></source>{MARKED}A &lt;b&gt;</target>"),
        (
            "<source xml:space='preserve'>a\nb\n</source>",
            f"<source xml:space='preserve'>a\nb\n</source>{MARKED}A\nB\n</target>",
        ),
        ("<source>a&#10;b</source>", f"<source>a&#10;b</source>{MARKED}A&#10;B</target>"),
        (f"<source>{CODE}</source>", f"<source>{CODE}</source>{MARKED}{SHOUTED}</target>"),
        (
            "<source>a b</source><seg-source><mrk mtype='seg' mid='1'>a</mrk></seg-source>",
            "<source>a b</source><seg-source><mrk mtype='seg' mid='1'>a</mrk></seg-source>"
            f"{MARKED}<mrk mtype='seg' mid='1'>A</mrk></target>",
        ),
        (
            "<source>a</source><alt-trans><source>b</source><target>c</target></alt-trans>",
            f"<source>a</source>{MARKED}A</target><alt-trans><source>b</source><target>c</target></alt-trans>",
        ),
    ],
)  # fmt: skip
def test_a_unit_of_1_2_gets_a_target(unit: str, translated: str) -> None:
    before, after = (OLD.format(f"<trans-unit id='1'>{text}</trans-unit>") for text in (unit, translated))
    assert outcome(before, "xliff").text == after
    prefixed = re.compile(r"<(/?)(?=[a-z])")
    assert outcome(prefixed.sub(r"<\1f:", before), "xliff").text.count("<f:target") == after.count("<target")


@pytest.mark.parametrize(
    "unit",
    [
        "<trans-unit><source>a</source><target>b</target></trans-unit>",
        "<trans-unit><source>a</source><target state='new'>b</target></trans-unit>",
        "<trans-unit translate='no'><source>a</source></trans-unit>",
        "<group translate='no'><trans-unit><source>a</source></trans-unit></group>",
        "<trans-unit><source>5 %</source></trans-unit>",
        "<trans-unit><source/></trans-unit>",
        "<trans-unit><source>{n, plural, one {a} other {b}}</source></trans-unit>",
    ],
)
def test_other_units_stay(unit: str) -> None:
    assert outcome(OLD.format(unit), "xliff").text == OLD.format(unit)
    bare = OLD.replace(' target-language="de"', "").format(unit)
    assert outcome(bare, "xliff").text == bare


def test_overwriting_takes_approval_back() -> None:
    unit = '<trans-unit approved="yes"><source>a</source><target state="final">b</target></trans-unit>'
    anew = f'<trans-unit approved="no"><source>a</source>{MARKED}A</target></trans-unit>'
    assert outcome(OLD.format(unit), "xliff", overwrite=True).text == OLD.format(anew)


def test_segments_of_2_get_a_state() -> None:
    unit = (
        "<segment><source>One <pc id='1'>a</pc>. </source></segment><ignorable><source> </source></ignorable>"
        "<segment state='initial'><source>b</source><target>b</target></segment>"
        "<segment><source>c</source><target>d</target></segment>"
    )
    marks = 'state="translated" subState="s2s:machine"'
    anew = (
        f"<segment {marks}><source>One <pc id='1'>a</pc>. </source><target>ONE <pc id='1'>A</pc>. </target></segment>"
        "<ignorable><source> </source></ignorable>"
        "<segment state='translated' subState=\"s2s:machine\"><source>b</source><target>B</target></segment>"
        "<segment><source>c</source><target>d</target></segment>"
    )
    found = outcome(NEW.format(unit), "xliff")
    assert (found.text, found.translated, found.kept) == (NEW.format(anew), 2, 1)
    without = NEW.replace(' trgLang="de"', "")
    assert outcome(without.format(unit), "xliff").text.startswith('<xliff version="2.0" srcLang="en-US" trgLang="de">')


def test_tags_that_come_back_crossed_leave_a_unit_as_it_was() -> None:
    escaped = "a &lt;b&gt;one&lt;/b&gt; &lt;i&gt;two&lt;/i&gt;"
    before = OLD.format(f"<trans-unit><source>{escaped}</source></trans-unit>")
    masking = Reading("en", "de", protect=True)
    crossed = outcome(before, "xliff", by=lambda _: "<b> <i> </b> </i>", reading=masking)
    assert (crossed.text, crossed.left) == (before, ["its tags came back in another order, one across the other"])
    assert outcome(before, "xliff", reading=masking, by=lambda text: text.replace("a", "A")).translated == 1


MEMORY = '<?xml version="1.0"?>\n<tmx version="1.4"><body>{}</body></tmx>\n'
ENGLISH = '<tuv xml:lang="EN-us"><seg>Hello <bpt i="1">&lt;b></bpt>you<ept i="1">&lt;/b></ept></seg></tuv>'
GERMAN = '<tuv xml:lang="{}" creationtool="s2s" creationid="MT"><seg>HELLO <bpt i="1">&lt;b></bpt>YOU<ept i="1">&lt;/b></ept></seg></tuv>'  # noqa: E501  one tag


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"<tu>{ENGLISH}</tu>", f"<tu>{ENGLISH}{GERMAN.format('de')}</tu>"),
        (f"<tu>\n {ENGLISH}\n</tu>", f"<tu>\n {ENGLISH}\n {GERMAN.format('de')}\n</tu>"),
        (
            f"<tu>{ENGLISH}<tuv xml:lang='fr'><seg>x</seg></tuv></tu>",
            f"<tu>{ENGLISH}<tuv xml:lang='fr'><seg>x</seg></tuv>{GERMAN.format('de')}</tu>",
        ),
        (f"<tu>{ENGLISH}<tuv xml:lang=\"de-AT\"><seg/></tuv></tu>", f"<tu>{ENGLISH}{GERMAN.format('de-AT')}</tu>"),
        (
            f"<tu>{ENGLISH}</tu><tu>{ENGLISH}<tuv xml:lang='de-AT'><seg>a</seg></tuv></tu>",
            f"<tu>{ENGLISH}{GERMAN.format('de-AT')}</tu><tu>{ENGLISH}<tuv xml:lang='de-AT'><seg>a</seg></tuv></tu>",
        ),
        ("<tu><tuv lang='en'><seg>a</seg></tuv></tu>", "<tu><tuv lang='en'><seg>a</seg></tuv>"
         '<tuv lang="de" creationtool="s2s" creationid="MT"><seg>A</seg></tuv></tu>'),
        ("<tu><tuv xml:lang='en'><seg>5</seg></tuv></tu>", "<tu><tuv xml:lang='en'><seg>5</seg></tuv></tu>"),
    ],
)  # fmt: skip
def test_a_unit_of_a_memory_gets_a_variant(before: str, after: str) -> None:
    assert outcome(MEMORY.format(before), "tmx").text == MEMORY.format(after)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_and_what_they_lack(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\r\n' + OLD.format(
        "<!-- ü -->\r\n<trans-unit><source>ü</source></trans-unit>"
    )
    found = outcome(text.encode(encoding), "xliff", by=lambda _: "한 <")
    data = found.text.removeprefix("\ufeff")
    assert changed(text, data)[0].count("\r") == 0
    assert ET.fromstring(data.split("?>")[1])[0][0][0][1].text == "한 <"
    assert ("&#54620;" in data) == (encoding == "iso-8859-1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (OLD.format("<trans-unit>"), ", line 1: is no XML .mismatched tag.; is the file damaged, or cut off"),
        ("<xliff>\n<file>", ", line 2: is no XML .no element found."),
        ('<!DOCTYPE x [\n<!ENTITY name "a">]><x>&name;</x>', ", line 2: declares the entity name"),
        (OLD.replace('"en"', '"fr"').format("<trans-unit><source>a</source></trans-unit>"), ": source-language is fr"),
        (NEW.replace('"de"', '"ko"').format("<segment><source>a</source></segment>"), ": trgLang is ko"),
        ('<?xml version="1.0" encoding="x-none"?><xliff/>', ": names an encoding that is not known .x-none."),
    ],
)
def test_a_damaged_or_foreign_file_is_one_message(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=f"file{problem}"):
        outcome(text, "xliff")
    with pytest.raises(DataError, match="file: has no text in en, which the run translates from; it has fr, it"):
        outcome(MEMORY.format("<tu><tuv xml:lang='it'/><tuv xml:lang='fr'/></tu>"), "tmx")
