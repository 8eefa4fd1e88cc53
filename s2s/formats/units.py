"""Units of files as pairs: what is left out of every format, and how it is counted.

A unit gives a pair, or a reason is counted for which it gives none. The rules of all formats:

- Texts are one line: line breaks and tabs, with the blanks around them, become one blank, and the ends have none.
- A unit with a blank side is `empty`, and one without a side `without` its language.
- Messages of ICU, which choose among plurals or other forms in braces, are left out.
- Inline code is left out of texts, which stay: `<g id="1">Save</g> as<ph/>` is `Save as`. Placeholders that are
  characters of the text, `%s`, `{name}`, `&File`, stay.

Those of each format stand in its module.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

Sides: TypeAlias = tuple[str | None, str | None]
"""Source and target of a unit, None where there is none."""
NOTE = "+ "
"""Begins a count that is no reason to leave a unit out."""
_BREAKS = re.compile(r"[ \t\r\n]*[\t\r\n][ \t\r\n]*")
ICU_CHOICE = re.compile(r"\{\s*[\w.]+\s*,\s*(?:plural|select|selectordinal)\s*,")
"""How a message of ICU begins one of several texts."""


def one_line(text: str) -> str:
    """A text in one line."""
    if "\n" in text or "\t" in text or "\r" in text:
        text = _BREAKS.sub(" ", text)
    return text.strip(" ")


def fault_of(source: str | None, target: str | None, wanted: Sequence[str]) -> str | None:
    """The reason for which a unit of these texts gives no pair; `wanted` names their languages."""
    if source is None or target is None:
        return f"without {wanted[source is not None]}"
    if not (source.strip() and target.strip()):
        return "empty"
    return "ICU messages" if "{" in source and ICU_CHOICE.search(source) else None


def pairs_of(units: Iterator[Sides], wanted: Sequence[str], counts: Counter[str]) -> Iterator[tuple[str, str]]:
    """The pairs among units; the others are counted by their reasons."""
    for source, target in units:
        if fault := fault_of(source, target, wanted):
            counts[fault] += 1
        else:
            yield one_line(str(source)), one_line(str(target))


def counted(counts: Counter[str], pairs: int) -> str:
    """Units, pairs and reasons in words: 12,340 units: 11,902 pairs, 301 fuzzy, 137 without de."""
    reasons = {reason: count for reason, count in counts.items() if count and not reason.startswith(NOTE)}
    notes = [
        f"{count:,} {note.removeprefix(NOTE)}"
        for note, count in sorted(counts.items())
        if count and note not in reasons
    ]
    listed = [f"{pairs:,} pairs", *(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))]
    more = f" ({', '.join(notes)})" if notes else ""
    return f"{pairs + sum(reasons.values()):,} units: {', '.join(listed)}{more}"
