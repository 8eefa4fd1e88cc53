"""Forms of a line: placeables stay, marks and capitals are as asked, and a line is known by its letters."""

import pytest

from s2s.text.forms import form_of, formed, formed_pairs


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("capitals", "DON'T ÉCRIS {name}, STRASSE 3rd x@y.de?"),
        ("title", "Don't Écris {name}, Straße 3rd x@y.de?"),
        ("small", "don't écris {name}, straße 3rd x@y.de?"),
        ("unmarked", "don't écris {name}, Straße 3rd x@y.de"),
    ],
)
def test_a_form_changes_letters_and_no_placeable(form: str, written: str) -> None:
    line = "don't écris {name}, Straße 3rd x@y.de?"
    assert formed(line, form) == written.replace("3rd", "3RD" if form == "capitals" else "3rd")


def test_targets_have_the_case_that_was_asked_for_and_keep_what_was_left_out() -> None:
    pairs = [("Wo ist er?", "Where is he?"), ("hallo", "hello"), ("?", "?"), ("日本。", "Japan.")]
    assert list(formed_pairs(iter(pairs), "capitals")) == [("WO IST ER?", "WHERE IS HE?"), ("HALLO", "HELLO")]
    assert list(formed_pairs(iter(pairs), "title")) == [("Wo Ist Er?", "Where Is He?"), ("Hallo", "Hello")]
    assert list(formed_pairs(iter(pairs), "small")) == [("wo ist er?", "Where is he?")]
    assert list(formed_pairs(iter(pairs), "unmarked")) == [("Wo ist er", "Where is he?"), ("日本", "Japan.")]


def test_title_case_leaves_letters_with_marks_whole() -> None:
    assert formed("e\u0301cole mua\u0301 ve\u0301", "title") == "E\u0301cole Mua\u0301 Ve\u0301"


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("WHERE IS THE STATION?", "capitals"), ("Where Is The Next Station?", "title"),
        ("ｗｈｅｒｅ is it", "full_width"), ("PLEASE CALL {name} NOW", "capitals"), ("STRAßE IST GROß UND", "capitals"),
        ("E\u0301lan Ou\u0300 E\u0301tait He\u0301le\u0300ne C\u0327a", "title"),
        ("Where is it?", None), ("USA", None), ("IBM AG", None), ("Guten Morgen, Herr Müller", None),
        ("역이 어디 예요", None),
        ("日本 中国 韓国", None), ("１２３", None), ("I am A", None), ("WO IST DER BAHNHOF", "capitals"),
    ],
)  # fmt: skip
def test_a_line_unlike_others_is_known_by_its_letters(line: str, form: str | None) -> None:
    assert form_of(line) == form
