"""Parts of a report as HTML."""

import pytest

from s2s.figures.axes import axis_of
from s2s.figures.charts import Line, bar_chart, line_chart, matrix
from s2s.figures.page import folded, heading, in_language, paragraph, table

HOSTILE = '"><script>alert(1)</script>&'


def test_texts_stay_texts_wherever_they_stand() -> None:
    x = axis_of(HOSTILE, [0.0, 1.0])
    made = [
        paragraph(HOSTILE),
        heading(HOSTILE),
        folded(HOSTILE),
        table([HOSTILE, "b"], [[HOSTILE, HOSTILE]], HOSTILE),
        in_language(HOSTILE, HOSTILE),
        line_chart(HOSTILE, [Line(HOSTILE, [(0, 0), (1, 1)]), Line("b", [])], x, x, said=HOSTILE, rule=(0, HOSTILE)),
        bar_chart(HOSTILE, [HOSTILE], [1.0], axes=(HOSTILE, HOSTILE), high=None, form=".0f"),
        matrix(HOSTILE, [[0.5]], [HOSTILE], [HOSTILE]),
    ]
    for each in made:
        assert "<script" not in each
        assert "&amp;" in each


def test_columns_of_numbers_stand_to_the_right() -> None:
    made = table(["run", "score", "share"], [["a", "1,234.5", "12.0%"], ["b", "–", "some"]])
    assert made.count('<td class="number">') == 2
    assert made.count("<td>") == 2


@pytest.mark.parametrize(
    ("name", "code"), [("de", "de"), ("ko", "ko"), ("German", "de"), ("zh_cn", "zh"), ("letters", None), ("xx", None)]
)
def test_a_text_is_marked_with_its_language_where_that_is_one(name: str, code: str | None) -> None:
    expected = f' lang="{code}"' if code else ""
    assert in_language("a", name) == f'<span dir="auto"{expected}>a</span>'


def test_the_largest_weight_of_each_row_of_a_matrix_is_in_its_table() -> None:
    made = matrix("b a", [[0.1, 0.9], [0.75, 0.25]], ["a", "b"], ["B", "A"])
    assert '<td>b</td>\n<td class="number">0.90</td>' in made
    assert '<td>a</td>\n<td class="number">0.75</td>' in made
