"""PO files: only empty msgstr are filled, marked as fuzzy, and gettext takes what is written."""

import shutil
import subprocess
from pathlib import Path

import pytest
from shouting import changed, outcome

from s2s.errors import DataError

HEADER = r"""msgid ""
msgstr ""
"Language: {language}\n"
"Content-Type: text/plain; charset={charset}\n"
"Plural-Forms: {plural}\n"
"""
GERMAN = HEADER.format(language="de", charset="UTF-8", plural="nplurals=2; plural=(n != 1);")
RUSSIAN = HEADER.format(
    language="ru", charset="UTF-8",
    plural="nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
)  # fmt: skip


def body(messages: str, header: str = GERMAN, **options) -> tuple[str, list[str]]:
    found = outcome(f"{header}\n{messages}", "po", **options)
    assert found.text.startswith(header)
    return found.text[len(header) + 1 :], found.left


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ('msgid "one"\nmsgstr ""\n', '#, fuzzy\nmsgid "one"\nmsgstr "ONE"\n'),
        ('#, c-format\nmsgid "a %<PRIu64>"\nmsgstr ""', '#, fuzzy, c-format\nmsgid "a %<PRIu64>"\nmsgstr "A %<PRIu64>"'),  # noqa: E501
        ('# c\n#: a.c:1\n#, c-format\nmsgid "a %d"\nmsgstr ""', '# c\n#: a.c:1\n#, fuzzy, c-format\nmsgid "a %d"\nmsgstr "A %d"'),  # noqa: E501
        ('# c\n#| msgid "b"\nmsgctxt "x"\nmsgid "a"\nmsgstr ""\n', '# c\n#, fuzzy\n#| msgid "b"\nmsgctxt "x"\nmsgid "a"\nmsgstr "A"\n'),  # noqa: E501
        (r'msgid "say \"hi\"\tthere\\\n"' + '\nmsgstr ""\n', '#, fuzzy\n' + r'msgid "say \"hi\"\tthere\\\n"' + '\n' + r'msgstr "SAY \"HI\"\tTHERE\\\n"' + "\n"),  # noqa: E501
        ('msgid ""\n"one two three four \\n"\n"five"\nmsgstr ""\n', '#, fuzzy\nmsgid ""\n"one two three four \\n"\n"five"\nmsgstr ""\n"ONE TWO THREE FOUR \\n"\n"FIVE"\n'),  # noqa: E501
        ('msgid "a"  "b"\n msgstr\t""\n"" \n', '#, fuzzy\nmsgid "a"  "b"\nmsgstr "AB" \n'),
    ],
)  # fmt: skip
def test_an_empty_message_is_filled(message: str, translated: str) -> None:
    assert body(message) == (translated, [])
    crlf = outcome((GERMAN + message).replace("\n", "\r\n"), "po").text
    assert crlf == (GERMAN + translated).replace("\n", "\r\n")


@pytest.mark.parametrize(
    "message",
    [
        'msgid "a"\nmsgstr "b"\n',
        '#, fuzzy\nmsgid "a"\nmsgstr "b"\n',
        'msgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] ""\n',
        '#~ msgid "a"\n#~ msgstr ""\n',
        '#, fuzzy\n#~ msgid "a"\n#~ msgstr "b"\n',
        'msgid "%s: 100"\nmsgstr ""\n',
    ],
)
def test_what_is_translated_obsolete_or_no_text_stays(message: str) -> None:
    assert body(message) == (message, [])


def test_overwriting_translates_anew() -> None:
    message = '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "c"\nmsgstr "d"\n'
    assert body(message, overwrite=True)[0] == '#, fuzzy\nmsgid "a"\nmsgstr "A"\n\n#, fuzzy\nmsgid "c"\nmsgstr "C"\n'


@pytest.mark.parametrize(
    ("header", "singular", "forms"),
    [
        (GERMAN, "one file", ["ONE FILE", "%d FILES"]),
        (RUSSIAN, "one file", ["%d FILES"] * 3),
        (RUSSIAN, "%d file", ["%d FILE", "%d FILES", "%d FILES"]),
        (HEADER.format(language="ko", charset="UTF-8", plural="nplurals=1; plural=0;"), "one file", ["%d FILES"]),
    ],
)
def test_a_plural_gets_the_forms_of_the_target(header: str, singular: str, forms: list[str]) -> None:
    empty = f'#, c-format\nmsgid "{singular}"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    language = header.split("Language: ")[1][:2]
    text, _ = body(empty, header, languages=("en", language))
    assert changed(empty, text) == ["#, fuzzy, c-format", *(f'msgstr[{n}] "{form}"' for n, form in enumerate(forms))]


@pytest.mark.parametrize(("wrong", "reason"), [
    (lambda text: "", "its translation is empty"),
    (lambda text: text + " {x}", "'{x}': 0 in the source, 1 in the translation"),
    (lambda text: text + " &amp;", "'&amp;': 0 in the source, 1 in the translation"),
    (lambda text: text + " 5% s", "it has other places to fill in than c-format has"),
])  # fmt: skip
def test_a_translation_that_would_do_harm_is_not_written(wrong, reason: str) -> None:
    message = '#, c-format\nmsgid "one %s"\nmsgstr ""\n'
    assert body(message, by=wrong) == (message, [reason])


def test_a_template_gets_what_its_header_leaves_open() -> None:
    pytest.importorskip("translate")
    header = HEADER.format(language="", charset="CHARSET", plural="nplurals=INTEGER; plural=EXPRESSION;")
    text = outcome(
        header + '\nmsgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] ""\n', "po", languages=("en", "ko")
    ).text
    assert changed(header, text)[:3] == [
        '"Language: ko\\n"', '"Content-Type: text/plain; charset=UTF-8\\n"', '"Plural-Forms: nplurals=1; plural=0;\\n"'
    ]  # fmt: skip
    assert text.endswith('msgstr[0] "B"\n')


def test_the_encoding_is_that_of_the_header() -> None:
    text = HEADER.format(language="de", charset="ISO-8859-1", plural="") + '\nmsgid "a ü"\nmsgstr ""\n'
    assert outcome(text.encode("latin-1"), "po").text.endswith('msgstr "A Ü"\n')
    with pytest.raises(DataError, match="file: is in ISO-8859-1, which has no '한'; convert it to UTF-8"):
        outcome(text.encode("latin-1"), "po", by=lambda _: "한")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('msgid "a"\n', "line 1: the last message has no msgstr; is the file cut off"),
        ('msgid "a"\nmsgstr "b', "line 2: is no part of a PO file"),
        ('msgid "a"\nhello\n', "line 2: is no part of a PO file"),
        ('msgid "a"\nmsgid "b"\nmsgstr ""\n', "line 2: the message has another msgid already"),
        ('msgstr "a"\n', "line 1: msgstr stands without a msgid"),
        (GERMAN.replace("Language: de", "Language: fr"), "its Language is fr, and the run has de there"),
        (b'msgid "a"\nmsgstr "\xff"\n', "line 2: byte 0xff is not valid UTF-8"),
    ],
)
def test_a_damaged_file_is_one_message_with_its_place(text: str | bytes, problem: str) -> None:
    with pytest.raises(DataError, match=rf"file(, |: ){problem}"):
        outcome(text, "po")


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="needs gettext")
@pytest.mark.parametrize("header", [GERMAN, RUSSIAN], ids=["de", "ru"])
def test_gettext_takes_what_is_written(header: str, tmp_path: Path) -> None:
    messages = r"""
#, c-format
msgid "%d of %s\n"
msgstr ""

#, python-format
msgid "one <b>%(name)s</b> &amp; more"
msgid_plural "%(count)d of <b>%(name)s</b>"
msgstr[0] ""
msgstr[1] ""
"""
    text = outcome(header + messages, "po", languages=("en", header.split("Language: ")[1][:2])).text
    (tmp_path / "a.po").write_text(text.replace("#, fuzzy, ", "#, "))
    subprocess.run(["msgfmt", "-c", "-o", tmp_path / "a.mo", tmp_path / "a.po"], check=True, capture_output=True)
