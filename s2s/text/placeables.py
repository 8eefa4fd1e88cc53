"""Placeables: what programs put something in for, tags and addresses; a translation has them letter for letter."""

import re
from collections.abc import Sequence

STAND_IN = "\ufffc"
"""Stands for each character of a placeable where sentences are looked for."""

_URL = r"\w!$%&'*+,\-./:;=?@~()\[\]\#"
_NOT_IN_URL = "\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef"
"""Letters of Korean, Japanese and Chinese, which follow an address without a blank."""
PLACEABLE = re.compile(
    rf"""
    \[X\d{{1,9}}X\]                                                                     # Weblate's
    | (?a:(?<![\d%])%(?:\d{{1,2}}\$)?(?:[sd@%]|[-+]?\d{{0,3}}(?:\.\d)?(?:l?l?[dux]|[cfgis])(?![a-z])))   # printf's
    | %\([\w.-]{{1,100}}\)[-+\d.]{{0,9}}[a-z]
    | \{{\{{[^{{}}\n]{{1,100}}\}}\}} | \{{%[^{{}}\n]{{1,100}}%\}} | [$%\#@]?\{{[\w.:,!%+\[\]-]{{0,100}}\}}  # templates
    | </?[a-z][\w:-]{{0,40}}(?:\s[^<>\n]{{0,500}})?/?>                                  # tags
    | (?<!\w)(?:(?:https?|ftp)://|www\.)(?:(?![{_NOT_IN_URL}])[{_URL}])*(?![{_NOT_IN_URL}])[\w/=&~\#]
    | (?a:(?<![\w.+-])[\w.+-]{{1,64}}@(?:[\w-]{{1,63}}\.){{1,8}}[a-z]{{2,24}})          # e-mail
    """,
    re.VERBOSE | re.IGNORECASE,
)


def cover(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with STAND_IN for each character of the spans."""
    pieces, place = [], 0
    for start, end in spans:
        pieces += [text[place:start], STAND_IN * (end - start)]
        place = end
    return "".join([*pieces, text[place:]])
