"""Tokenizers in JavaScript compared with those of s2s, over lines of all scripts: `tests/tokenizer_sweep.py -h`."""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import small_runs
from javascript import Module

from s2s.corpus.find import manifests_folder
from s2s.export.js import word_characters
from s2s.recipe.sections import Tokenizer as Settings
from s2s.text.normalization import RULES
from s2s.text.tokenizer import Tokenizer, save_tokenizers, train_tokenizer

_characters = cache(word_characters)
_CODES = (*range(0x20), 0x85, 0xA0, 0xAD, 0x34F, 0x61C, 0x1680, 0x180E, *range(0x2000, 0x2070), 0x2581, 0x3000, 0xFE0F)
_ODD = "".join(map(chr, _CODES)) + "\u3000\ufe0f\ufeff\ufffd\uffff\U0001f1e6\U0001f3fd\U000e0061\U0010ffff"
"""Spaces, controls, joiners, marks of direction and what else is not seen."""


def hostile_lines(count: int, real: Sequence[str], seed: int = 1) -> Iterator[str]:
    """Lines of random characters from all blocks of Unicode, alone and mixed with real text."""
    random = Random(seed)
    for _ in range(count):
        parts = [_part(random, real) for _ in range(random.randint(1, 6))]
        yield random.choice(["", " ", "  "]).join(parts)


def _part(random: Random, real: Sequence[str]) -> str:
    kind, length = random.randrange(6), random.randint(1, 12)
    if kind == 0:
        return "".join(random.choice(_ODD) for _ in range(length))
    if kind == 1:  # anywhere in Unicode
        return "".join(_character(random, 0, 0x110000) for _ in range(length))
    if kind == 2:  # one script
        start = random.randrange(0, 0x33000, 0x80) if random.random() < 0.7 else random.randrange(0, 0x3000, 0x40)
        return "".join(_character(random, start, start + 0x80) for _ in range(length))
    line = random.choice(real)
    if kind == 3:
        return line
    if kind == 4:  # a character of another kind within it
        at = random.randint(0, len(line))
        return line[:at] + random.choice(_ODD) + line[at:]
    return line.replace(" ", "")[:200] * random.randint(1, 3)


def _character(random: Random, first: int, end: int) -> str:
    code = random.randrange(first, end)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def differing(tokenizer: Tokenizer, lines: Sequence[str], module: Module, seed: int = 1) -> list[str]:
    """Lines, and rows of random tokens, which JavaScript encodes or decodes otherwise, each with what came out."""
    random = Random(seed)
    tokens = [[random.randrange(tokenizer.vocabulary_size) for _ in range(random.randint(0, 12))] for _ in lines] + [
        [random.randrange(min(300, tokenizer.vocabulary_size)) for _ in range(random.randint(0, 8))] for _ in lines
    ]
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizers(tokenizer, tokenizer, Path(folder))
        (file,) = Path(folder).iterdir()
        answer = module.ask("tokenizer", file=str(file), lines=lines, tokens=tokens, characters=_characters())
    wrong = [
        f"{line!r}: {theirs}, not {own}"
        for line, theirs in zip(lines, answer["encoded"], strict=True)
        if (own := tokenizer.encode(line)) != theirs
    ]
    for row, theirs in zip(tokens, answer["decoded"], strict=True):
        if (own_text := tokenizer.decode(row)) != theirs:
            wrong.append(f"{row}: {theirs!r}, not {own_text!r}")
    return wrong


def trained(name: str, lines: Iterable[str], vocabulary: int = 700) -> Tokenizer:
    """A tokenizer with the settings of `small_runs.TOKENIZERS`, but for the size of its vocabulary."""
    settings = {key: value for key, value in small_runs.TOKENIZERS[name].items() if key != "joint"}
    settings["vocabulary_size"] = vocabulary
    return train_tokenizer(Settings(**settings), lines)


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="lines for each kind of tokenizer and rule")
    parser.add_argument("--vocabulary", type=int, default=4000, help="size of the vocabularies")
    parser.add_argument("--node", default="node")
    parser.add_argument("--rules", nargs="*", choices=RULES, default=list(RULES), help="of normalisation")
    parser.add_argument("--kinds", nargs="*", default=list(small_runs.TOKENIZERS))
    parser.add_argument("texts", nargs="*", type=Path, help="files to take real lines from; default: the phrase book")
    arguments = parser.parse_args()
    texts = arguments.texts or sorted((manifests_folder() / "phrasebook-en-ko").glob("test.*"))
    real = [line for path in texts for line in path.read_text(encoding="utf-8").splitlines() if line]
    count = 0
    with Module(arguments.node) as module:
        for kind in arguments.kinds:
            learned = trained(kind, Random(1).sample(real, min(len(real), 5000)), arguments.vocabulary)
            for rule, start in product(arguments.rules, range(0, arguments.count, 5000)):
                size = min(5000, arguments.count - start)
                lines = list(hostile_lines(size, real, seed=start + 1))
                wrong = differing(learned.under(rule), lines, module, seed=start)
                count += len(wrong)
                for each in wrong[:5]:
                    print(f"{kind}, {rule}: {each}")
            print(f"{kind}: {arguments.count:,} lines for each rule, {count} differ so far", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(_main())
