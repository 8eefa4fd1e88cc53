"""Sentences of a text: where each ends, by few rules that rather leave two together than cut one in the middle.

A mark ends a sentence where a blank and anything but a small letter follow; marks of full width need no blank. What may
as well be an abbreviation, an ordinal or a pause ends one only before a word that begins sentences.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from s2s.text.languages import parts_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FULL_WIDTH = frozenset("。！？｡．।॥؟۔።፧։။។៕")
"""Marks that end a sentence without a blank behind them."""
MARKS = ".!?…‥‼⁇⁈⁉" + "".join(sorted(FULL_WIDTH))
CLOSING = "\"'”’“‘»›«‹)\\]}」』）】〉》〕］｝＂＇\ufffc"
"""Quotes and brackets, and what stands for markup, which belong to the sentence whose mark they follow at once."""
OPENING = "\"'“‘„‚”»›«‹(\\[{「『（【〈《〔［｛＂＇¿¡–—-"
NO_SPACES = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of Chinese and Japanese."""
GERMAN = _words("de deu ger german gsw lb ltz")
ORDINALS = _words(
    "da dan danish no nb nn nor norwegian cs ces cze czech sk slk slovak sl slv slovenian"
    " hr hrv croatian sr srp serbian bs bos bosnian pl pol polish hu hun hungarian fi fin finnish et est estonian"
    " lv lav latvian lt lit lithuanian is isl icelandic fo tr tur turkish eu eus basque ko kor korean"
)
"""Languages with a full stop behind ordinals, or in dates."""
GREEK = _words("el ell gre greek")
NEVER_LAST = _words(
    "mr mrs ms messrs mt dr drs prof st rev hon gen capt lt sgt maj cmdr gov vs cf viz approx dept e.g i.e"
    " hr hrn fr frl dipl ing bzw ca evtl ggf inkl exkl zzgl vgl sog geb gegr fa z.b d.h u.a s.o s.u o.ä i.d.r"
    " mm mme mlle mgr sra srta sres dna uds ee sig sigg dott avv dhr mevr mw bijv resp т.е т.д т.п"
)
"""Abbreviations that something follows: titles, and those that go on."""
BEFORE_NUMBERS = _words(
    "no nos nr nrn núm pp vol fig figs eq sec sect ch chap art abs abb bd kap ziff tab lit op jan feb mar apr jun jul"
    " aug sep sept oct okt nov dec dez mär janv févr avr juil déc ext tel tél"
)
MAY_END = _words("etc usw ff med av inc ltd corp co bros jr sr plc gmbh ggmbh al ecc enz")
BEGINNERS = _words(
    "the a an this that these those it he she we you they there here what who why when where how but and so then if"
    " my your his our their not as der die das ein eine einer er sie es wir ihr du ich dann danach und aber im am auf"
    " hier dort heute gestern le les un une il elle ils elles nous vous on je puis mais et cela ce cette voilà alors"
    " el los las ella ellos luego pero gli poi ma het een hij zij wij"
)
"""Words that have a capital only where they begin a sentence."""

_LINE_END = re.compile(r"[\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\s*")
_BLANK_LINE = re.compile(r"(?>\r\n|\n|\r)[^\S\n\r]*[\n\r]\s*|\u2029\s*")
_OPENS = f"(?<=[{''.join(sorted(FULL_WIDTH))}”])[“‘]"
"""Quotes that close one in German, and open one behind a mark of full width."""
_END = re.compile(
    rf"(?P<marks>[{MARKS}]+)(?P<closing>(?:(?!{_OPENS})[{CLOSING}]|[ \u00a0\u202f]»(?=\s|\Z))*)"
    r"(?:\[\d{1,3}\])*(?P<blank>\s*)"
)
_GREEK_END = re.compile(_END.pattern.replace("[.!", "[.;\u037e!", 1))
_LAST_WORD = re.compile(rf"[^\s{OPENING}]+\Z")
_NEXT = re.compile(rf"(?P<opening>[{OPENING}]{{0,9}})(?P<word>[^\W\d_]{{2,12}}(?!\w)|[^\W\d_](?![\w.])|)")
_QUOTED_ON = re.compile(r"[とっのをがにはもでへや的地等、，,;；：:]|\s?이?라[고는며]|\s?하[고며]")
"""What goes on with a sentence behind a quotation: particles, commas."""
_GOES_ON = re.compile("[のを、，,;；：:]")
_BETWEEN_HAN = re.compile(f"[{NO_SPACES}][.!?]+[{NO_SPACES}「『（]")
_QUOTATION = re.compile(
    r"(?:[「『（][^「『（」』）]*+[」』）](?=[とっのをがにはもでへや])"
    r"|“[^“”]*+”(?=[가-힣])|(?<![^\s(])\"(?=\S)[^\"]*+\"(?=[가-힣]))"
)
_LETTERS_WITH_STOPS = re.compile(r"(?:[^\W\d_]{1,3}\.)+[^\W\d_]{1,3}")
_ORDINAL = re.compile(r"\d{1,3}|[IVXLC]{1,6}")
_LETTER_BEFORE = re.compile(r"\b\w\.\s?\Z")
_ITEM = re.compile(r"[(\s]{0,9}(?:\d{1,3}|[a-z]|[ivx]{1,5})", re.IGNORECASE | re.ASCII)


def split_sentences(text: str, language: str = "", *, newlines: bool = True) -> list[str]:
    """The sentences of a text, each with the white space behind it: joined they are the text.

    Line ends and tabs end a sentence too, unless `newlines` is False: then only blank lines do.
    """
    whole, cuts = _Text(text, language), [0]
    for line_end in (_LINE_END if newlines else _BLANK_LINE).finditer(text):
        cuts += [*whole.ends(cuts[-1], line_end.start()), line_end.end()]
    cuts += [*whole.ends(cuts[-1], len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if end > start]


class _Text:
    """A text, and what decides the same way everywhere in it."""

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        names = set(parts_of(language)[:1])
        self.german, self.ordinals = names & GERMAN, names & (GERMAN | ORDINALS)
        self.end = _GREEK_END if names & GREEK else _END
        self.capitals = any(map(str.isupper, text))

    def ends(self, start: int, stop: int) -> Iterator[int]:
        """Places within a line where another sentence begins."""
        quotations = _QUOTATION.finditer(self.text, start, stop)
        quotation = next(quotations, None)
        for found in self.end.finditer(self.text, start, stop):
            while quotation and quotation.end() <= found.start():
                quotation = next(quotations, None)
            if found.end() == stop or (quotation and quotation.start() < found.end()):
                continue
            if self._before_blank(start, found) if found["blank"] else self._without_blank(start, found):
                start = found.end()
                yield start

    def _without_blank(self, start: int, found: re.Match[str]) -> bool:
        """Whether marks with no blank behind them end a sentence, as those of full width do."""
        marks, after = found["marks"], self.text[found.end()]
        before = self.text[found.start() - 1] if found.start() > start else ""
        if not FULL_WIDTH.intersection(marks):
            return _BETWEEN_HAN.fullmatch(before + found[0] + after) is not None
        if marks == "．" and before.isdecimal() and after.isdecimal():
            return False
        if found["closing"] and marks[-1] in "！？!?":  # as in “走吧！”他说
            return after in "「『（“"
        return not (_QUOTED_ON if found["closing"] else _GOES_ON).match(self.text, found.end())

    def _before_blank(self, start: int, found: re.Match[str]) -> bool:
        """Whether marks with a blank behind them end a sentence."""
        marks, closing = found["marks"], found["closing"]
        following = _NEXT.match(self.text, found.end())
        assert following is not None
        word, after = following["word"], self.text[following.end("opening") : following.end("opening") + 1]
        if after in tuple(",;:)]}") or (closing and _QUOTED_ON.match(self.text, found.end())):
            return False
        if FULL_WIDTH.intersection(marks):
            return True
        if after.islower() and self.capitals:
            return False
        if marks == ".":
            certain = self._stop(start, found.start(), after)
        elif set(marks) <= set(".…‥"):
            certain = self.text[found.start() - 1] in "요다까죠" or (after.isupper() and not self.german) or None
        else:
            certain = not closing or following["opening"] != "" or None  # “Why?” Peter asked
        begins = word.lower() in BEGINNERS and (word[0].isupper() or not self.capitals)
        return begins if certain is None else certain

    def _stop(self, start: int, place: int, after: str) -> bool | None:
        """Whether a full stop at a place ends a sentence, by the word before it; None where either may be."""
        found = _LAST_WORD.search(self.text, max(start, place - 24), place)
        word = found[0] if found else ""
        name, letter = word.lower(), len(word) == 1 and word.upper() != word.lower()
        numbered = word.isdecimal() or name in BEFORE_NUMBERS or name.endswith("str")
        if name in NEVER_LAST or (numbered and after.isdecimal()) or _ITEM.fullmatch(self.text, start, place):
            return False
        if letter and _LETTER_BEFORE.search(self.text, max(start, place - 4), place - 1):  # z. B.
            return False
        ordinal = self.ordinals and _ORDINAL.fullmatch(word)
        return None if letter or ordinal or name in MAY_END or _LETTERS_WITH_STOPS.fullmatch(word) else True
