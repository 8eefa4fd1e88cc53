"""Markdown: paragraphs, headings, items, cells of tables, and the text of HTML blocks.

Code, the targets of links, labels, front matter and the rules of tables stay. A block whose structure its translation
would change, as a line that begins with a number and a stop does, stays too. Read by markdown-it-py.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from s2s.documents.pages import read_html
from s2s.documents.units import Found, Unfit, Unit, missing, paragraph
from s2s.text.documents import Document
from s2s.translation.reading import Reading

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\r?\n[\s\S]*?^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
INLINE = re.compile(
    r"""
    (?<!`)(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)                                        # code
    | \[\^[^\]\s]*\]:? | \[[ xX]\](?=\s) | \[![A-Z]+\] | ^:{3,}.*$              # footnotes, boxes, callouts, containers
    | \]\((?:[^()\\]|\\.|\([^()]*\))*\) | \]\[[^\[\]]*\] | !?\[ | \]            # links and pictures
    | <!--[\s\S]*?--> | <[a-z/][^<>]*>                                          # HTML and addresses
    | \*+ | ~~ | (?<!\w)_+(?=\S) | (?<=\S)_+(?!\w)                              # emphasis
    | \S*\\[!-/:-@\[-`{-~]\S* | (?:\ {2,}|\\)\n                                 # escapes, hard line ends
    | (?<!\$)\$\$?(?=\S)[^$]{1,500}?(?<=\S)\$\$?(?!\d) | :[a-z\d_+-]{2,40}:     # formulas, emoji
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


def read_markdown(text: str, reading: Reading, overwrite: bool) -> Found:
    """The blocks of a Markdown file."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise missing("Markdown is read by markdown-it-py") from None
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    front = FRONT_MATTER.match(text)
    place = front.end() if front else len(text) - len(text.removeprefix("\ufeff"))
    lines = [found.span() for found in re.compile(r"[^\n\r]*(?:\r\n|\n|\r)|[^\n\r]+").finditer(text, place)]
    known: dict[str, Any] = {}
    blocks = parser.parse("".join(text[start:end].rstrip("\r\n") + "\n" for start, end in lines), known)
    page = _Page(parser, known)
    units: list[Unit] = []
    left: list[tuple[int, str]] = []
    for before, token in zip([None, *blocks], blocks, strict=False):
        if token.type == "html_block" and token.map:
            start, end = lines[token.map[0]][0], lines[token.map[1] - 1][1]
            for unit in read_html(text[start:end], reading, overwrite).units:
                units.append(unit._replace(start=start + unit.start, end=start + unit.end))
        elif token.type == "inline" and token.map and any(map(str.isalpha, token.content)):
            cell = before is not None and before.type in ("th_open", "td_open")
            found = _spans(text, lines[token.map[0] :], token.content, place if cell else None)
            if found:
                place = found[-1][1]
                units.append(page.unit(text, token.content, found, cell))
            else:
                left.append((lines[token.map[0]][0], "its text was not found again in its lines"))
    return Found(units, 0, left)


def _spans(text: str, lines: list[tuple[int, int]], content: str, after: int | None) -> list[tuple[int, int]]:
    """Where each line of a block's text stands, `after` a place for a cell of a table; none if not all are found."""
    found = []
    for (start, end), line in zip(lines, content.split("\n"), strict=False):
        if after is None:
            place = text.rfind(line, start, end)
        else:
            line = line.replace("|", "\\|")
            place = text.find(line, max(start, after), end)
        if place < 0:
            return []
        found.append((place, place + len(line)))
    return found


class _Page:
    """The blocks of one file, which share its labels."""

    def __init__(self, parser: "MarkdownIt", known: dict[str, Any]) -> None:
        self.parser, self.known = parser, known

    @cached_property
    def labels(self) -> re.Pattern[str]:
        """Links by a label alone, whose text must not change."""
        labels = "|".join(map(re.escape, self.known.get("references", ())))
        return re.compile(rf"\[(?:{labels})\](?:\[\])?(?![\[(])" if labels else r"(?!)", re.IGNORECASE)

    def unit(self, text: str, content: str, spans: Sequence[tuple[int, int]], cell: bool) -> Unit:
        gaps = [text[one[1] : other[0]] for one, other in pairwise(spans)]

        def written(translations: Sequence[str]) -> str:
            [translation] = translations
            if self._structure(content) != self._structure(translation):
                raise Unfit("it would be another kind of block, or have other marks, in Markdown")
            first, *lines = (translation.replace("|", "\\|") if cell else translation).split("\n")
            between = gaps if len(lines) == len(gaps) else [min(gaps)] * len(lines)
            return first + "".join(map("".join, zip(between, lines, strict=True)))

        def documents(reading: Reading) -> list[Document]:
            return [paragraph(content, reading, INLINE, self.labels)]

        return Unit(spans[0][0], spans[-1][1], documents, written)

    def _structure(self, content: str) -> list[Any]:
        """All that stands in a text but its words."""
        tokens = self.parser.parse(content, {"references": self.known.get("references", {})})
        every = [inner for token in tokens for inner in (token, *(token.children or ()))]
        return [(each.type, each.tag, each.attrs) for each in every if each.type not in ("text", "softbreak", "inline")]
