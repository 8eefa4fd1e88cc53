"""`s2s translate` of documents: what is asked for, what is written, and what is said."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from s2s.cli.commands import main
from s2s.translation.outputs import Translation
from s2s.translation.reading import Reading

PO = '#, c-format\nmsgid "one %d"\nmsgstr ""\n\nmsgid "two"\nmsgstr "zwei"\n\nmsgid "bad"\nmsgstr ""\n'
DONE = '#, fuzzy, c-format\nmsgid "one %d"\nmsgstr "ONE %d"\n\nmsgid "two"\nmsgstr "zwei"\n\nmsgid "bad"\nmsgstr ""\n'


class Shouting:
    """A translator that knows no word but "bad" to be without one, and not "broken"."""

    reading = Reading("en", "de")

    @classmethod
    def load(cls, *_: str, **options: Any) -> "Shouting":
        return cls()

    def translate(self, lines: list[str], **options: Any) -> list[Translation]:
        assert set(options) == {"beam", "tag", "protect"}
        if "broken" in lines:
            raise OSError("the disk is full")
        return [Translation("" if line == "bad" else line.upper(), 0.0, 0.0, ("unknown",)) for line in lines]


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("s2s.translation.translator.Translator", Shouting)
    monkeypatch.chdir(tmp_path)


def s2s(*arguments: str, code: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(main, ["translate", "run", *arguments], **options)
    assert result.exit_code == code, result.output
    return result


def test_a_document_is_translated_and_what_is_left_is_listed() -> None:
    Path("a.po").write_text(PO)
    said = s2s("--input", "a.po", "--output", "b.po").stderr
    assert Path("b.po").read_text() == DONE
    assert said.splitlines() == [
        "a.po, line 8: left untranslated: its translation is empty",
        "a.po: 1 unit translated, 1 had a translation, 1 left untranslated",
        "warning: sentences unlike the training, by flag: unknown 2",
    ]


def test_a_document_comes_by_pipes_too() -> None:
    data = b"\xef\xbb\xbf<p>one</p>\r\n"
    assert s2s("--document", "html", input=data).stdout_bytes == b"\xef\xbb\xbf<p>ONE</p>\r\n"
    Path("a.txt").write_text("One that\ngoes on.\n")
    assert s2s("--input", "a.txt", "--document", "paragraphs").stdout == "ONE THAT GOES ON.\n"


@pytest.mark.parametrize("content", [PO + "x", PO.replace("two", "broken")])
def test_what_fails_writes_nothing(content: str) -> None:
    Path("a.po").write_text(content.replace('"zwei"', '""'))
    Path("b.po").write_text("before")
    s2s("--input", "a.po", "--output", "b.po", code=1)
    assert Path("b.po").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["a.po", "b.po"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.po", "x", "a.po, line 1: is no part of a PO file"),
        ("a.po.gz", "", "a.po.gz: a packed document is not written again; unpack it first"),
        ("a.xml", "<a/>", "a.xml: is neither XLIFF nor TMX; name its kind with --document, or convert it"),
    ],
)
def test_errors_name_the_file(name: str, content: str, message: str) -> None:
    Path(name).write_text(content)
    assert message in s2s("--input", name, "--output", "out", code=1).stderr
    assert not Path("out").exists()
    assert "missing.po: no such file; check the path" in s2s("--input", "missing.po", code=1).stderr


def test_xml_is_told_by_its_content() -> None:
    for kind, text in (("tmx", "<tmx><body/></tmx>"), ("xliff", '<xliff version="1.2"/>')):
        Path("a.xml").write_text(text, encoding="utf-16")
        assert "a.xml: 0 units translated" in s2s("--input", "a.xml", "--output", kind).stderr
        assert Path(kind).read_bytes() == Path("a.xml").read_bytes()


def test_options_of_lines_are_refused_for_documents() -> None:
    Path("a.po").write_text(PO)
    for option in (["--nbest", "2"], ["--format", "jsonl"], ["--attention", "a.png"], ["--prefix", "a"]):
        assert "is for lines, and the input is a document (po)" in s2s("--input", "a.po", *option, code=2).stderr
    assert "--overwrite is for documents" in s2s("--overwrite", input="a", code=2).stderr


@pytest.mark.parametrize(("kind", "package"), [("markdown", "markdown_it"), ("po", "translate.lang")])
def test_a_missing_package_names_the_extra(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    text = 'msgid ""\nmsgstr "Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;"\n'
    assert "not installed: pip install 's2s[files]'" in s2s("--document", kind, input=text, code=1).stderr
