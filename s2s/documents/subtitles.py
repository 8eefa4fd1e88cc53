"""SRT and VTT: sentences that run over lines, tags and cues are joined, translated, and broken as they were.

Numbers, times, settings, tags, notes and styles stay as they are. A sentence goes on in the next cue where it has not
ended, nothing begins there with a dash or a speaker, and the pause is short.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape, unescape
from itertools import accumulate, pairwise
from typing import NamedTuple

from s2s.documents.units import Found, Unfit, Unit, keeping
from s2s.errors import DataError
from s2s.text.documents import Document, plain
from s2s.text.languages import spaces_sentences, uses_spaces
from s2s.text.placeables import STAND_IN, cover
from s2s.text.sentences import CLOSING, MARKS, split_sentences
from s2s.translation.reading import Reading

LONGEST_PAUSE_SECONDS = 2.0
MOST_CUES = 6
"""Cues that are joined at most, where no mark ends a sentence."""

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}[.,]\d{1,3}(?!\d))"
_TIMES = re.compile(
    rf"^(?:(?<=\A)\ufeff)?(?P<id>\d+[ \t]*\r?\n)?[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*", re.MULTILINE
)
_DAMAGED = re.compile(r"^[ \t]*\d[\w.,]*:[\w:.,]*[ \t]*[-–—][-–— \t]*>.*", re.MULTILINE)
"""A line that is meant to be one of times, also as word processors write its arrow."""
_BLANK_LINE = re.compile(r"\n[ \t]*\r?(?:\n|\Z)")
_BETWEEN = re.compile(r"(?:<[^<>\n]{0,500}>|\{\\?[a-zA-Z][^{}\n]{0,200}\}|\s*\n\s*(?:[-–—](?=\s*\w)\s*)?|\s*[♪♫]\s*)+")
"""Tags, line ends with the dash of a speaker, and notes of music."""
_SPEAKER = re.compile(r"\n\s*[-–—]|<v[\s.]|[♪♫]")
_ENDED = re.compile(rf"[{MARKS}][{CLOSING}\s]*\Z")
_EMPTY_LINES = re.compile(r"\A(?:[ \t]*\r?\n)+|(?:\r?\n[ \t]*)+(?=\r?\n|\Z)")
_OPENS = "「『（(“‘"
_WORD = re.compile(r"\s*\S+\s*")
_TOKEN = re.compile(rf"[{_OPENS}]*(?:[A-Za-z\d{STAND_IN}]+|\w)(?:(?!{STAND_IN})[^\w{_OPENS}])*")
"""Where words have no spaces: letters of such scripts, with the marks behind them."""


class Segment(NamedTuple):
    """A part of a sentence between line ends and tags."""

    start: int
    end: int
    cue: int


def read_subtitles(text: str, reading: Reading, overwrite: bool) -> Found:
    """The sentences of a file of subtitles, WebVTT where it says so; DataError where it has none, or a damaged time."""
    is_vtt = text.removeprefix("\ufeff").startswith("WEBVTT")
    times = [*_TIMES.finditer(text)]
    places = {found.end() for found in times}
    damaged = next((found for found in _DAMAGED.finditer(text) if found.end() not in places), None)
    if damaged or (text.strip() and not (times or is_vtt)):
        line = text.count("\n", 0, damaged.start()) + 1 if damaged else 1
        shown = f" ({damaged[0].strip()!r:.60})" if damaged else ""
        raise DataError(f"line {line:,}: is no time of a subtitle, as 00:00:01,000 --> 00:00:02,500 is{shown}")
    runs: list[list[Segment]] = []
    for cue, (found, following) in enumerate(pairwise([*times, None])):
        assert found is not None
        start, end = found.end(), following.start() if following else len(text)
        blank = _BLANK_LINE.search(text, start + 1, end) if is_vtt else None
        own = [*_segments(text, start, blank.start() if blank else end, cue)]
        for place, segment in enumerate(own):
            before = text[runs[-1][-1].end : segment.start] if runs else text[start : segment.start]
            goes_on = place > 0 or (runs and _goes_on(text, runs[-1], times[cue - 1], found))
            if goes_on and not _SPEAKER.search(before):
                runs[-1].append(segment)
            else:
                runs.append([segment])
    units = [_unit(text, run, is_vtt) for run in runs if any(map(str.isalpha, text[run[0].start : run[-1].end]))]
    return Found(units)


def _segments(text: str, start: int, end: int, cue: int) -> Iterator[Segment]:
    """What is text in a cue."""
    for found in [*_BETWEEN.finditer(text, start, end), None]:
        raw = text[start : found.start() if found else end]
        if raw.strip():
            first = start + len(raw) - len(raw.lstrip())
            yield Segment(first, first + len(raw.strip()), cue)
        start = found.end() if found else end


def _goes_on(text: str, run: Sequence[Segment], before: re.Match[str], after: re.Match[str]) -> bool:
    """Whether the next cue goes on with a sentence."""
    last = run[-1]
    pause = _seconds(*after.groups()[1:4]) - _seconds(*before.groups()[4:7])
    ended = _ENDED.search(text, last.start, last.end) or text[last.end - 1] in ")]"
    return not ended and 0 <= pause + 1 <= LONGEST_PAUSE_SECONDS + 1 and last.cue - run[0].cue < MOST_CUES - 1


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))


def _unit(text: str, run: Sequence[Segment], is_vtt: bool) -> Unit:
    def documents(reading: Reading) -> list[Document]:
        return [_Flow(text, run, reading, is_vtt)]

    return Unit(run[0].start, run[-1].end, documents, lambda translations: translations[0])


class _Flow:
    """Sentences that run over the segments of some cues."""

    def __init__(self, text: str, run: Sequence[Segment], reading: Reading, is_vtt: bool) -> None:
        self.raw, self.run, self.is_vtt, self.reading = text[run[0].start : run[-1].end], run, is_vtt, reading
        self.gaps = [text[one.end : other.start] for one, other in pairwise(run)]
        texts = [unescape(text[each.start : each.end]) if is_vtt else text[each.start : each.end] for each in run]
        space = " " if uses_spaces(reading.source) else ""
        starts = [0, *accumulate(len(each) + len(space) for each in texts)]
        self.parts: list[tuple[Document, list[tuple[int, int]]]] = []
        """each sentence, and which segments it runs over, with how many characters"""
        place = 0
        for sentence in split_sentences(space.join(texts), reading.source, newlines=False):
            end = place + len(sentence.rstrip())
            shares = [
                (number, min(end, starts[number] + len(each)) - max(place, starts[number]))
                for number, each in enumerate(texts)
            ]
            document = plain(
                sentence.strip(), reading.source, split=False, target=reading.target, kept=keeping(reading)
            )
            self.parts.append((document, [share for share in shares if share[1] > 0]))
            place += len(sentence)
        self.sentences = [sentence for document, _ in self.parts for sentence in document.sentences]

    def joined(self, translations: Sequence[str]) -> str:
        """The cues from the first to the last; Unfit where one of them would be left without a text."""
        if list(translations) == self.sentences:
            return self.raw
        found = iter(translations)
        pieces: list[list[str]] = [[] for _ in self.run]
        for document, shares in self.parts:
            text = " ".join(document.joined([next(found) for _ in document.sentences]).split())
            for (number, _), piece in zip(
                shares, broken(text, [size for _, size in shares], self.reading), strict=True
            ):
                pieces[number] += [piece] if piece else []
        space = " " if spaces_sentences(self.reading.target) else ""
        texts = [space.join(own) for own in pieces]
        if {each.cue for each in self.run} - {each.cue for each, own in zip(self.run, texts, strict=True) if own}:
            raise Unfit("it has fewer words than subtitles to stand in")
        written = [escape(own, quote=False) if self.is_vtt else own for own in texts]
        return self._between(written)

    def _between(self, texts: Sequence[str]) -> str:
        """The texts with what stands between them, but no line of a cue that would be empty."""
        whole, cue = "", texts[0]
        for text, gap, (one, other) in zip(texts[1:], self.gaps, pairwise(self.run), strict=True):
            if one.cue == other.cue:
                cue += gap + text
            else:
                whole, cue = whole + _EMPTY_LINES.sub("", cue) + gap, text
        return whole + _EMPTY_LINES.sub("", cue)


def broken(text: str, sizes: Sequence[int], reading: Reading) -> list[str]:
    """A text in as many pieces, at about the shares of those sizes, none empty if there are as many words."""
    whole = cover(text, keeping(reading).spans(text))
    words = (_WORD if uses_spaces(reading.target) else _TOKEN).finditer(whole)
    ends = [0, *[found.end() for found in words][:-1], len(text)]
    cuts = [0]
    for number, size in enumerate(accumulate(sizes[:-1]), start=1):
        spare = len(ends) > len(sizes)
        low, high = cuts[-1] + spare, len(ends) - 1 - spare * (len(sizes) - number)
        cuts.append(min(range(low, high + 1), key=lambda cut: abs(ends[cut] - len(text) * size / sum(sizes))))
    return [text[ends[start] : ends[end]].strip() for start, end in pairwise([*cuts, len(ends) - 1])]
