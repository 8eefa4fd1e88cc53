"""SacreBLEU's tokenizer for a language, by its name and by the script of its references.

Languages have many names (zh, zh_cn, zho_Hans, cmn, Chinese), and a column may have any; where words have no spaces
BLEU over words takes a sentence for one word, so the references are looked at too.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from s2s.text.languages import HAN, KANA, LETTERS_WITHOUT_SPACES, THAI_LAO_TIBETAN_BURMESE_KHMER, writing

BleuTokenizer = Literal["auto", "13a", "intl", "zh", "char", "none"]
LOOKED_AT = 10_000
"""References whose letters are counted."""


class Choice(NamedTuple):
    """A tokenizer of sacreBLEU."""

    tokenizer: str
    doubt: str = ""
    """for people, where it is not the one that the language's name asks for"""

    @property
    def unspaced(self) -> bool:
        """Whether its tokens are characters."""
        return self.tokenizer in ("zh", "char")


def choose_tokenizer(language: str, references: Sequence[str], asked: BleuTokenizer) -> Choice:
    """The tokenizer that is asked for; of `auto` that of the language's name, unless the references' script differs."""
    if asked != "auto":
        return Choice(asked)
    named, (written, share) = tokenizer_of_name(language), _tokenizer_of_script(references)
    if written == named or share is None or (named == "char" and written == "zh"):  # Japanese may be all Han
        return Choice(named)
    if named != "13a" and written == "13a" and share >= 0.1:  # names and numbers in Latin letters
        return Choice(named)
    unit = "words" if written == "13a" else "characters"
    return Choice(
        written,
        f"data.target is {language!r}, but {share:.0%} of the references' letters are of scripts written without"
        f" spaces{', kana or others than Han' if (named, written) == ('zh', 'char') else ''}: BLEU counts {unit}"
        f" (tok:{written}); if that is wrong, set evaluation.bleu_tokenizer",
    )


def tokenizer_of_name(language: str) -> str:
    """The tokenizer by a language's code or English name: zh for Chinese, characters where words have no spaces."""
    return {"spaced": "13a", "chinese": "zh", "japanese": "char", "phrases": "char"}[writing(language)]


def _tokenizer_of_script(references: Sequence[str]) -> tuple[str, float | None]:
    """The tokenizer by script, and the share of letters in scripts without spaces; None where there are no letters."""
    text = "".join(references[:LOOKED_AT])
    han = len(re.findall(f"[{HAN}]", text))
    others = len(re.findall(f"[{KANA}{THAI_LAO_TIBETAN_BURMESE_KHMER}]", text))
    spaced = sum(letter.isalpha() for letter in LETTERS_WITHOUT_SPACES.sub("", text))
    letters = han + others + spaced
    share = (han + others) / letters if letters else None
    if share is None or share <= 0.5:
        return "13a", share
    return "char" if others > 0.1 * (han + others) else "zh", share
