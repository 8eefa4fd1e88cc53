"""Codes and names of languages, as recipes and clients write them: en, EN-US, ko_KR, eng, English."""

import re
from functools import lru_cache

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

_WORDS = {
    "cs": "a je se na to v že jsem co není si do pro ale tak jak za by s z",
    "da": "og er det at en i jeg ikke du til på der af med den har for vi et hvad",
    "de": "der die und ist das ein eine ich nicht sie zu es in den wir mit auf wie im dem ihr was haben",
    "en": "the a and is to of you i it in that for are on what we my this do have with can not be",
    "es": "el la de que y en un una es no los las por con para se lo me mi está qué su del",
    "fi": "ja on ei se että hän minä en mitä olen ole mutta tämä oli kun mies nainen kanssa",
    "fr": "le la les de et un une est je des que pas vous il en à dans ce pour sur du nous avec elle",
    "hu": "a az és nem hogy egy is ez van meg de mit én csak volt azt mi ki",
    "id": "yang dan di itu dengan untuk tidak ini dari saya anda dalam akan pada ke ada apa bisa",
    "it": "il di che e la un una non è per i sono mi con lo si le ho ma da del gli come",
    "nl": "de het een en van is ik niet in dat je op te zijn met wat hij voor er aan wij",
    "pl": "i w nie się na to jest z że do jak co mnie ja po jestem ale za ma",
    "pt": "o a de que e não um uma do da em os as para com é eu se no na por você está",
    "ro": "și de la o nu în un este pe cu ce că mai să din am pentru care sunt",
    "sv": "och är det att en i jag inte du som på har för med den av ett vi om vad",
    "tr": "bir ve bu da de ne için çok ben değil mi var o gibi ama sen daha kadar",
    "vi": "là không và của có một tôi cho người này trong được anh đã với các bạn",
    "bg": "и на да не е се в за от това аз си какво че по с",
    "ru": "и в не на я что с он это как но ты по у из мы за а вы",
    "uk": "і в не на я що з це як та він у до ти за ви від є",
}
"""Words that most texts of a language have."""


@lru_cache(1000)
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


def common_words(text: str, language: str) -> float:
    """Share of a text's words that are among the commonest of a language; 0 for a language without a list."""
    known = _WORDS.get(base(language), "").split()
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(word in known for word in words) / max(len(words), 1)
