"""What other programs leave in many lines is told of, and what people write is not."""

import pytest

from s2s.text.conventions import marks_of_others

PLAIN = [
    "Ein Satz ohne alles.",
    "",
    "Noch einer & mehr; 3 < 4 > 2.",
    "C:\\temp, C:\\new",
    "«CAFÉ» né\u00a0», MAÇÃ.",
    "'a'",
]


@pytest.mark.parametrize(
    ("line", "mark", "shown"),
    [
        ("Salz &amp; Pfeffer", "HTML entities", "(&amp;)"),
        ("sch&ouml;n", "HTML entities", "(&ouml;)"),
        ("it&#39;s", "HTML entities", "(&#39;)"),
        ("one<br/>two", "HTML tags", "(<br/>)"),
        ('<span class="x">a', "HTML tags", '(<span class="x">)'),
        ("one\\ttwo", "a backslash and a letter in the place of a tab", "(\\t)"),
        ("'it is so'", "single quotes around the whole cell", "('it is so')"),
        ("sch\u00c3\u00b6n", "encoded in UTF-8 twice", "(\u00c3\u00b6)"),
        ("it\u00e2\u20ac\u2122s", "encoded in UTF-8 twice", "(\u00e2\u20ac\u2122)"),
        ("привет".encode().decode("latin-1"), "encoded in UTF-8 twice", "("),
    ],
)
def test_a_mark_of_another_program_in_many_lines_is_told_once(line: str, mark: str, shown: str) -> None:
    (warning,) = marks_of_others(["plain", "", *[line] * 30], "a.txt")
    assert warning.startswith("a.txt: 96.8% of 31 lines have ")
    assert mark in warning
    assert f"first line 3 {shown}" in warning
    assert "convert the file: " in warning
    assert marks_of_others([*["plain"] * 30, *[line] * 4], "few lines") == []
    assert marks_of_others([*["plain"] * 1000, *[line] * 9], "a small share") == []


def test_what_people_write_is_no_mark() -> None:
    assert marks_of_others(PLAIN * 30, "plain") == []
    assert marks_of_others([r"$\nu = \tau$ and \alpha", r"\textbf{x} \times 3"] * 30, "LaTeX") == []
