"""Documents: all but their text comes back as it was, and each sentence is translated once."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.documents import Document, html, plain, xml
from s2s.text.placeables import PLACEABLE


def shouted(document: Document) -> str:
    return document.joined([sentence.upper() for sentence in document.sentences])


@pytest.mark.parametrize(
    ("text", "sentences", "joined"),
    [
        ("", [], ""),
        (" \n\t", [], " \n\t"),
        (" One.  Two?\r\n\r\n\tthree \n", ["One.", "Two?", "three"], " ONE.  TWO?\r\n\r\n\tTHREE \n"),
        ("- one\n * two\n> three", ["one", "two", "three"], "- ONE\n * TWO\n> THREE"),
        ("5 %. 100!\n\n(3)", [], "5 %. 100!\n\n(3)"),
        ("one {name}, two! Three", ["one", "two!", "Three"], "ONE {name}, TWO! THREE"),
        ("See (%s) or %1$s: one", ["See", "or", "one"], "SEE (%s) OR %1$s: ONE"),
        ("{name}: %d", [], "{name}: %d"),
        ('a <x id="6"></x>b', ["a", "b"], 'A <x id="6"></x>B'),
        ("See https://a.bc/D.e?f=G. And h@I.jk.", ["See", "And"], "SEE https://a.bc/D.e?f=G. AND h@I.jk."),
        ("see {{ a. B }} now", ["see", "now"], "SEE {{ a. B }} NOW"),
        ("www.example.com을 보세요", ["을 보세요"], "www.example.com을 보세요"),
    ],
)
def test_a_text_is_translated_around_what_is_none(text: str, sentences: list[str], joined: str) -> None:
    document = plain(text, "en")
    assert list(document.sentences) == sentences
    assert shouted(document) == joined


@pytest.mark.parametrize(
    "text", ["100 % sicher", "50% sicher", "50%sicher", "a { b }", "5 < 6 > 4", "a@b", "$5", "[X]", "%"]
)
def test_what_is_no_placeable_is_text(text: str) -> None:
    assert not PLACEABLE.search(text)


PLACEABLES = (
    "[X6X] %s %d %i %u %5.2f %@ %1$s %2$d %ld %% %(name)s %(n)02d {} {0} {name} {a.b} {0:.2f} {{name}} {{a|b}} ${name}"
    " %{name} #{name} {%if%} <b> </b> <br/> https://a.bc www.a.bc/ü http://a.bc:80/?d=e&f#g ftp://a/b a.b+c@d-e.fg"
)


@pytest.mark.parametrize("text", PLACEABLES.split())
def test_a_placeable_comes_back_letter_for_letter(text: str) -> None:
    assert PLACEABLE.fullmatch(text)
    for line in (f"one {text} two", f"{text}", f"One. {text}. Two", f"하나 {text}를 둘", f"({text})"):
        document = plain(line, "en")
        assert not any(text in sentence for sentence in document.sentences)
        assert document.joined([f"<{number}>" for number in range(len(document.sentences))]).count(text) == 1


def test_lines_end_sentences_or_not() -> None:
    text = "One\r\ntwo. Three\n\nfour"
    assert list(plain(text, "en").sentences) == ["One", "two.", "Three", "four"]
    assert list(plain(text, "en", split="nonewlines").sentences) == ["One two.", "Three", "four"]
    whole = plain(text, "en", split=False)
    assert list(whole.sentences) == ["One two. Three four"]
    assert (whole.joined(whole.sentences), whole.joined(["x"])) == (text, "x")


def test_spaces_between_sentences_are_those_of_the_target() -> None:
    assert (
        plain("One. Two.\nThree {x} four.", "en", target="zh").joined(["一。", "二。", "三", "四。"])
        == "一。二。\n三 {x} 四。"
    )
    assert plain("一。二。\n三{x}四。", "zh", target="en").joined(["I.", "II.", "III", "IV."]) == "I. II.\nIII {x} IV."
    assert html("<p>一<b>二</b>。三<br>四</p>", "ja", target="de").joined(["I", "II", "III", "IV"]) == (
        "<p>I<b> II</b>. III<br>IV</p>"
    )
    assert plain("One. Two.", "en", target="th").joined(["ก", "ข"]) == "ก ข"


def test_part_of_a_sentence_gets_no_end_of_its_own() -> None:
    assert plain("one {x} two", "en").joined(["eins.", "zwei."]) == "eins {x} zwei."
    assert html("<b>one</b> two.", "en").joined(["eins!", "zwei."]) == "<b>eins</b> zwei."


def test_as_many_translations_as_sentences_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"must be as many as the sentences, 2 \(given 1\)"):
        plain("One. Two.", "en").joined(["Eins."])


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("<p>One <b>two</b>. Three?</p>", "<p>ONE <b>TWO</b>. THREE?</p>"),
        ('<p translate="no">one <i>two</i></p>three', '<p translate="no">one <i>two</i></p>THREE'),
        ("<p class='a notranslate'>one</p>two", "<p class='a notranslate'>one</p>TWO"),
        ('<p translate=no>one <b translate="yes">two</b>', '<p translate=no>one <b translate="yes">TWO</b>'),
        ("<div><p translate=no>one</div>two", "<div><p translate=no>one</div>TWO"),
        ("one <code>two</code>, <kbd>three</kbd>", "ONE <code>two</code>, <kbd>three</kbd>"),
        ("<script>if (a < b) '<p>c'; <!--</script>one", "<script>if (a < b) '<p>c'; <!--</script>ONE"),
        ("<textarea>one</TEXTAREA>two<style>a{b}</style>", "<textarea>one</TEXTAREA>TWO<style>a{b}</style>"),
        ("<!DOCTYPE html><!-- one. --><![CDATA[two]]>three", "<!DOCTYPE html><!-- one. --><![CDATA[two]]>THREE"),
        ("<a href=\"x>y\" title='z'>one", "<a href=\"x>y\" title='z'>ONE"),
        ("<b><i>one</b>two</i></p>", "<b><i>ONE</b>TWO</i></p>"),
        ("<ul><li>one<li>two<br>three", "<ul><li>ONE<li>TWO<br>THREE"),
        ("AT&amp;T &lt;b&gt; caf&eacute;", "AT&amp;T &lt;b&gt; CAFÉ"),
        ("one&nbsp;two.&nbsp; Three&#33;", "ONE TWO.&nbsp; THREE!"),
        ("a < b & c <d", "A &lt; B &amp; C &lt;D"),
        ("one\n  two", "ONE TWO"),
        ('<x id="6"></x>one<x id="7"/>two', '<x id="6"></x>ONE<x id="7"/>TWO'),
        ("<p>%s one {two}</p>", "<p>%s ONE {two}</p>"),
    ],
)
def test_html_keeps_what_is_no_text(text: str, joined: str) -> None:
    document = html(text, "en")
    assert shouted(document) == joined
    assert document.joined(document.sentences) == text


def test_xml_keeps_ignored_elements_and_the_case_of_names() -> None:
    text = '<doc><Key>one</Key><key>two</key><code>three <x id="6"></x></code><script>four</script></doc>'
    assert shouted(xml(text, "en", ignored=["Key"])) == (
        '<doc><Key>one</Key><key>TWO</key><code>THREE <x id="6"></x></code><script>FOUR</script></doc>'
    )


def test_an_answer_stays_escaped() -> None:
    for kind in (html, xml):
        assert kind("<p>one</p>", "en").joined(['<b> & "c"']) == '<p>&lt;b&gt; &amp; "c"</p>'
    assert plain("one", "en").joined(["<b> &"]) == "<b> &"


MARKUP = (
    "One. |two|<b>|</b>|<p class='x'>|</p>|<!--|-->|<script>|</script>|<pre translate=no>|</pre>|<br/>|&amp;|&|&eacute;"
    '|<|>|="|\'|{x}|%s|[X1X]| |\n|。|「|é.|하나. |\u2028|<a b="c|<![CDATA[|]]>|&#1;|a@b.cd|http://'
)
TEXTS = st.lists(st.sampled_from(MARKUP.split("|")), max_size=20).map("".join)


@given(
    TEXTS,
    st.sampled_from(["en", "zh", "ko", "de"]),
    st.sampled_from([True, False, "nonewlines"]),
)
def test_a_document_comes_back_byte_for_byte(text: str, language: str, split: bool) -> None:
    documents = [plain(text, language, split=split), html(text, language), xml(text, language, ignored=["b"])]
    for document in documents:
        assert document.joined(document.sentences) == text
        assert all(map(str.strip, document.sentences))


@given(st.lists(st.sampled_from(["One two.", "{x}", "%s", "[X1X]", "five", "a@b.cd", "http://a.bc/d"]), max_size=9))
def test_placeables_come_back_once_each_in_order(words: list[str]) -> None:
    text = " ".join(words)
    for document in (plain(text, "en"), html(text, "en")):
        joined = document.joined(["ü"] * len(document.sentences))
        assert [found[0] for found in PLACEABLE.finditer(joined)] == [word for word in words if PLACEABLE.match(word)]


@pytest.mark.parametrize(
    "unit", ["X. (", "「あ。", "<", '<a ="', "<a ='<a =\"'", "<a><b>", "</b>", "&", "a@", "http://", "\n \t", "a "]
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        for document in (plain(unit * count, "ko"), html(unit * count, "en")):
            document.joined(document.sentences)
        return time.process_time() - began

    assert min(seconds(8000) for _ in range(2)) < 32 * min(seconds(1000) for _ in range(3)) + 0.02
