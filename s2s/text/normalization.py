"""Normalisation of text before it becomes tokens, and what is told of it.

`nfc`, `nfd` and `nfkc` are Unicode's. `nmt_nfkc` is SentencePiece's: NFKC by a map, which leaves the order of marks;
all kinds of space are U+0020; marks without width and control characters are spaces or dropped.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from functools import cache, partial
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from sentencepiece import SentencePieceNormalizer

Normalization = Literal["nmt_nfkc", "nfkc", "nfc", "nfd", "none"]
RULES: tuple[Normalization, ...] = get_args(Normalization)
QUIET_SHARE = 0.01
"""Share of the lines of a source that may be changed without a word."""
SHOWN_CHANGES, SHOWN_CHARACTERS = 3, 60


def normalizer(rule: Normalization) -> Callable[[str], str]:
    """What a rule makes of a text; runs of spaces stay, and line ends."""
    if rule == "nmt_nfkc":
        return lambda text: "\n".join(map(_nmt_nfkc(spaces=False).normalize, text.split("\n")))
    forms: dict[Normalization, Literal["NFC", "NFD", "NFKC"]] = {"nfc": "NFC", "nfd": "NFD", "nfkc": "NFKC"}
    return partial(unicodedata.normalize, forms[rule]) if rule in forms else str


def named(rule: Normalization) -> bytes:
    """SentencePiece's message ModelProto with a normalisation alone: a rule's name, and a map or an empty one."""
    if rule == "nmt_nfkc":
        return bytes(_nmt_nfkc().serialized_model_proto())
    return bytes([3 << 3 | 2, len(rule) + 4, 1 << 3 | 2, len(rule), *rule.encode(), 2 << 3 | 2, 0])


@cache
def _nmt_nfkc(*, spaces: bool | None = None) -> "SentencePieceNormalizer":
    from sentencepiece import SentencePieceNormalizer

    return SentencePieceNormalizer(
        rule_name="nmt_nfkc", add_dummy_prefix=spaces, escape_whitespaces=spaces, remove_extra_whitespaces=spaces
    )


def changes_of(lines: Iterable[tuple[str, str]], name: str, key: str, rule: Normalization | None) -> list[str]:
    """Warning, which begins with a name, where (raw, normalised) lines differ by more than runs of spaces.

    `key` is that of the rule. What is written is told of always, what is read of more than QUIET_SHARE of the lines.
    """
    compared = [tuple(re.sub(" +", " ", line).strip(" ") for line in pair) for pair in lines]
    changed = [(before, after) for before, after in compared if before != after]
    is_read = "source" in key
    if not changed or len(changed) <= QUIET_SHARE * is_read * len(compared):
        return []
    examples = sorted(dict.fromkeys(change(*pair) for pair in changed[:100]), key=len)[:SHOWN_CHANGES]
    by, remedy = (f"{key} = {rule}", "; none keeps them") if rule in RULES[:-1] else ("the tokenizer", "")
    use = "the model reads them" if is_read else "outputs are written"
    return [
        f"{name}: {by} changes {len(changed):,} of {len(compared):,} lines ({len(changed) / len(compared):.2%}), and"
        f" {use} so: {' | '.join(examples)}{remedy}"
    ]


def change(before: str, after: str) -> str:
    """The first words that differ, as they were and as they are, in escapes where that cannot be seen."""
    old, new = before.split(" "), after.split(" ")
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    _, start, end, first, last = next(code for code in codes if code[0] != "equal")
    texts = " ".join(old[start:end]), " ".join(new[first:last])
    escaped = repr if len({unicodedata.normalize("NFC", text) for text in texts}) == 2 else ascii
    return " → ".join(escaped(text[:SHOWN_CHARACTERS])[1:-1] for text in texts)
