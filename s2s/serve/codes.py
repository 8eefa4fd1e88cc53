"""Codes and names of languages, as recipes and clients write them: en, EN-US, ko_KR, eng, English."""

import re

_TABLE = (
    "af Afrikaans afr|am Amharic amh|ar Arabic ara|az Azerbaijani aze|be Belarusian bel|bg Bulgarian bul"
    "|bn Bengali ben|ca Catalan cat|cs Czech ces|cy Welsh cym|da Danish dan|de German deu|el Greek ell|en English eng"
    "|eo Esperanto epo|es Spanish spa|et Estonian est|eu Basque eus|fa Persian fas|fi Finnish fin|fr French fra"
    "|ga Irish gle|gl Galician glg|gu Gujarati guj|he Hebrew heb|hi Hindi hin|hr Croatian hrv|hu Hungarian hun"
    "|hy Armenian hye|id Indonesian ind|is Icelandic isl|it Italian ita|ja Japanese jpn|ka Georgian kat|kk Kazakh kaz"
    "|km Khmer khm|kn Kannada kan|ko Korean kor|la Latin lat|lo Lao lao|lt Lithuanian lit|lv Latvian lav"
    "|mk Macedonian mkd|ml Malayalam mal|mn Mongolian mon|mr Marathi mar|ms Malay msa|my Burmese mya|nb Norwegian nob"
    "|ne Nepali nep|nl Dutch nld|pa Punjabi pan|pl Polish pol|ps Pashto pus|pt Portuguese por|ro Romanian ron"
    "|ru Russian rus|si Sinhala sin|sk Slovak slk|sl Slovenian slv|sq Albanian sqi|sr Serbian srp|sv Swedish swe"
    "|sw Swahili swa|ta Tamil tam|te Telugu tel|th Thai tha|tl Tagalog tgl|tr Turkish tur|uk Ukrainian ukr|ur Urdu urd"
    "|uz Uzbek uzb|vi Vietnamese vie|yi Yiddish yid|zh Chinese zho|zu Zulu zul"
)
_ROWS = [row.split() for row in _TABLE.split("|")]
NAMES = {code: name for code, name, _ in _ROWS}
"""English names by ISO 639-1 code."""
_CODES = {other.lower(): code for code, *others in _ROWS for other in others}
_SCRIPTS = {
    code: scripts
    for codes, scripts in {
        "am": "ETHIOPIC", "ar fa ps ur": "ARABIC", "be bg kk mk mn ru sr uk": "CYRILLIC", "bn": "BENGALI",
        "el": "GREEK", "gu": "GUJARATI", "he yi": "HEBREW", "hi mr ne": "DEVANAGARI", "hy": "ARMENIAN",
        "ja": "HIRAGANA KATAKANA CJK", "ka": "GEORGIAN", "km": "KHMER", "kn": "KANNADA", "ko": "HANGUL", "lo": "LAO",
        "ml": "MALAYALAM", "my": "MYANMAR", "pa": "GURMUKHI", "si": "SINHALA", "ta": "TAMIL", "te": "TELUGU",
        "th": "THAI", "zh": "CJK",
    }.items()
    for code in codes.split()
}  # fmt: skip


def canonical(language: str) -> str:
    """The code of a language as BCP 47 writes it (pt-BR, zh-Hant); a name that is not known, in small letters."""
    first, *rest = re.split(r"[-_]", language.strip())
    first = _CODES.get(first.lower(), first.lower())
    return "-".join([first, *(part.title() if len(part) == 4 else part.upper() for part in rest)])


def base(language: str) -> str:
    """The code without script and region."""
    return canonical(language).split("-")[0]


def is_same(one: str, other: str) -> bool:
    """Whether two codes name one language: zh is zh-Hans, but pt is not pt-BR."""
    first, second = ("zh" if code == "zh-Hans" else code for code in map(canonical, (one, other)))
    return first == second


def name_of(language: str) -> str:
    """English name, with script or region behind it."""
    first, *rest = canonical(language).split("-")
    return " ".join([NAMES.get(first, first), *(f"({part})" for part in rest)])


def scripts_of(language: str) -> frozenset[str]:
    """First words of the Unicode names of a language's letters; none for a language that is not known."""
    code = base(language)
    return frozenset(_SCRIPTS.get(code, "LATIN").split()) if code in NAMES else frozenset()
