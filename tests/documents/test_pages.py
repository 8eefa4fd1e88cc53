"""HTML, Markdown and paragraphs: a page comes back with nothing but its words changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shouting import outcome

TEXTS = 'one. |Two|\n|\n\n|  |> |- |# |1. |`x`|``|**|_|*|[|](a)|]|![|<b>|</b>|<p>|</p>|<div>\n|<!--|-->|&amp;|{x}|\\*|<br>|\'|"|\r\n|| a | b |\n|---|---|\n|==|\t|```\n|<a title="one">|[ref]|[ref]: x\n|한|\ufeff|---\n'  # noqa: E501
PAGES = st.lists(st.sampled_from(TEXTS.split("|")), max_size=25).map("".join)


@given(PAGES, st.sampled_from(["html", "paragraphs"]))
def test_a_page_comes_back_byte_for_byte(text: str, kind) -> None:
    assert outcome(text, kind, by=str).text == text


@settings(deadline=None)  # the first imports a parser
@given(PAGES)
def test_markdown_comes_back_byte_for_byte(text: str) -> None:
    pytest.importorskip("markdown_it")
    assert outcome(text, "markdown", by=str).text == text


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("<title>a</title><p lang=en>one <b>two</b>.", "<title>A</title><p lang=en>ONE <b>TWO</b>."),
        ("<script>a</script><style>b</style><pre>c</pre><code>d</code><!-- e -->", None),
        ("<div translate=no>a<p>b</p><img alt='c'></div>d", "<div translate=no>a<p>b</p><img alt='c'></div>D"),
        ('<img alt="a &amp; b" src="c">', '<img alt="A &amp; B" src="c">'),
        ("<input placeholder='a \"b\"' value='c' title=\"\">", "<input placeholder='A &quot;B&quot;' value='c' title=\"\">"),  # noqa: E501
        ("<a title='one' href='title=\"x\"'>two</a> <b ALT='y' data-alt='z'>", "<a title='ONE' href='title=\"x\"'>TWO</a> <b ALT='Y' data-alt='z'>"),  # noqa: E501
        ("<p translate='yes' title='stays'>a", "<p translate='yes' title='stays'>A"),
    ],
)  # fmt: skip
def test_html_is_translated_but_for_code_and_what_says_no(text: str, translated: str | None) -> None:
    assert outcome(text, "html").text == (translated or text)


def test_a_block_that_goes_wrong_stays_alone() -> None:
    found = outcome("<p>one\n<p>two &amp; <i>three</i>", "html", by=lambda text: "{x}" if text == "three" else "Ü")
    assert (found.text, found.left) == (
        "<p>Ü\n<p>two &amp; <i>three</i>",
        ["'{x}': 0 in the source, 1 in the translation"],
    )


def test_the_encoding_of_a_page_is_the_one_it_names() -> None:
    page = '<meta charset="iso-8859-1"><p>ü'
    assert outcome(page.encode("latin-1"), "html", by=lambda _: "한").text == '<meta charset="iso-8859-1"><p>&#54620;'


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("---\ntitle: a\n---\n# b *c* `d`\n", "---\ntitle: a\n---\n# B *C* `d`\n"),
        ("> one\n> two. Three\n> four\n", "> ONE TWO. THREE FOUR\n"),
        ("- [ ] a\n  b\n1. c\n", "- [ ] A B\n1. C\n"),
        ("a\n===\n\n    code\n\n```\ncode\n```\n", "A\n===\n\n    code\n\n```\ncode\n```\n"),
        ("[a](b \"c\") ![d](e(f).png) <http://g.h> https://i.j/k_l", "[A](b \"c\") ![D](e(f).png) <http://g.h> https://i.j/k_l"),
        ("a [ref] b [ref][] c [d][ref] [e]\n\n[ref]: x 'y'\n", "A [ref] B [ref][] C [D][ref] [E]\n\n[ref]: x 'y'\n"),
        ("| a b | `c \\| d` e |\n|---|:-:|\n| f \\| g | |\n", "| A B | `c \\| d` E |\n|---|:-:|\n| F \\| G | |\n"),
        ("a  \nb\\\nc[^1]\n\n[^1]: d e\n", "A  \nB\\\nC[^1]\n\n[^1]: D E\n"),
        ("<p align='x'>\n<img alt='a'> b\n</p>\n\n<!-- c -->\n", "<p align='x'>\n<img alt='A'> B\n</p>\n\n<!-- c -->\n"),  # noqa: E501
        ("a $b_c$ :smile: &copy; x\\_y **d** __e__", "A $b_c$ :smile: &copy; x\\_y **D** __E__"),
        ("> [!NOTE]\r\n> a\r\n", "> [!NOTE]\r\n> A\r\n"),
    ],
)  # fmt: skip
def test_markdown_is_translated_around_its_marks(text: str, translated: str) -> None:
    pytest.importorskip("markdown_it")
    assert outcome(text, "markdown").text == translated


@pytest.mark.parametrize("words", ["1. one", "# one", "*one*", "[one](x)", "a\n\nb", "`one`", "> one", "<b>"])
def test_words_that_would_be_marks_leave_a_block_as_it_was(words: str) -> None:
    pytest.importorskip("markdown_it")
    found = outcome("one\n\ntwo\n", "markdown", by=lambda text: words if text == "one" else "zwei")
    assert found.text == "one\n\nzwei\n"
    assert len(found.left) == 1


def test_paragraphs_join_their_lines() -> None:
    text = "One that\ngoes on. Two\n \n\tthree\r\nfour.\n"
    assert outcome(text, "paragraphs").text == "ONE THAT GOES ON. TWO\n \n\tTHREE FOUR.\n"
