"""Lines with pieces that must not change, made from templates; and how many pieces a translator leaves intact.

    python tests/made_lines.py RUN --count 10000 [--seed 1] [--protect]     RUN: a run folder or a bundle

Prints lines, pieces, the share that stands in its translation as often as in its line, and how many lines went which
way. Run by hand; the suite runs a short form.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from s2s.translation.outputs import Translation
from s2s.translation.translator import Translator

TEMPLATES = (
    "My room is {}.", "I have {} books.", "The room number is {}.", "call {} now", "Please write to {}.", "Is it {}?",
    "Do you have {} and {}?", "Where is {}?", "Good morning {}", "{}", "{}: {}", "The train leaves at {}.",
    "{} {} hello",    "I will go to {} on {}.", "It costs {}, not {}.", "({})",
    "Hello, {}! I have {} dogs and {} cats.", "See {} or {}",
    "a man with {} is in the street .", "two people , {} and {} , are walking .", "{} Thank you.", "방은 {} 입니다",
)  # fmt: skip


def pieces(chance: random.Random) -> str:
    """A number, an address, an e-mail, a placeholder, a tag or an emoji."""
    digits = "".join(chance.choices("0123456789", k=chance.randint(2, 22)))
    word = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 8)))
    return chance.choice(
        [
            lambda: "1" + digits,
            lambda: f"{chance.randint(1, 999)},{chance.randint(100, 999)}.{chance.randint(10, 99)}",
            lambda: f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}",
            lambda: f"{chance.randint(1900, 2099)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            lambda: f"+{chance.randint(1, 99)}-{chance.randint(100, 9999)}-{chance.randint(100, 9999)}",
            lambda: f"https://{word}.example/{word}?id={digits}&x=%20",
            lambda: f"www.{word}.org/{word}_{digits}.html",
            lambda: f"{word}.{word}+{digits[:3]}@{word}.co.kr",
            lambda: chance.choice(["{%s}", "{{%s}}", "{{ %s.name }}", "${%s}", "%%(%s)s", "{%% %s %%}"]) % word,
            lambda: chance.choice(["%s", "%d", "%1$s", "{0}", "{}", "%@", "%5.2f"]),
            lambda: chance.choice(["<%s>", "</%s>", "<%s/>", '<%s class="x">']) % word,
            lambda: chance.choice(["😀", "👩‍👩‍👧", "🇰🇷", "👍🏽", "❤️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "😀🎉", "☎️"]),
        ]
    )()


class Made(NamedTuple):
    """A line, and what must stand in its translation as often as in it."""

    line: str
    pieces: tuple[str, ...]


def made_lines(count: int, seed: int, templates: Sequence[str] = TEMPLATES) -> Iterator[Made]:
    """Lines of templates with pieces in them."""
    chance = random.Random(seed)
    for _ in range(count):
        template = chance.choice(templates)
        given = tuple(pieces(chance) for _ in range(template.count("{}")))
        yield Made(template.format(*given), given)


def intact(made: Sequence[Made], found: Sequence[Translation]) -> tuple[int, list[tuple[str, str]]]:
    """How many pieces stand in the translations as often as in their lines, and the lines that lack some."""
    whole, bad = 0, []
    for (line, given), each in zip(made, found, strict=True):
        right = sum(each.text.count(piece) == line.count(piece) for piece in given)
        whole += right
        if right < len(given):
            bad.append((line, each.text))
    return whole, bad


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protect", action="store_true")
    given = parser.parse_args()
    made = list(made_lines(given.count, given.seed))
    found = Translator.load(given.run, device="cpu").translate(
        [each.line for each in made], protect=given.protect or None
    )
    whole, bad = intact(made, found)
    total = sum(len(each.pieces) for each in made)
    around = sum("around" in each.flags for each in found)
    print(json.dumps({"lines": len(made), "pieces": total, "intact": whole / total, "around": around}))
    for line, text in bad[:20]:
        print(f"{line!r} -> {text!r}")


if __name__ == "__main__":
    main()
