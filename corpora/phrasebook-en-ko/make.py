"""The phrase book from its grammar: templates with slots, filled from word lists, split without leaks.

`python make.py` writes the splits beside itself, SPLIT.en and SPLIT.ko, always the same. The folder holds

    grammar.toml     how much to make, and the templates
    words/CLASS.tsv  one word class per file: the header names the forms, a line is a word, `tags` is a set
    written.tsv      pairs written one by one (header: en, ko)

A template says both sides at once::

    [[template]]
    name = "place-near-here"
    en = "Is there {place.a} near here?"
    ko = "이 근처에 {place.ko:이/가} 있어요?"
    slots = { place = "place town" }

`{slot.form}` takes a form of the word in the slot; `:이/가` adds the particle that fits its last syllable.
A slot is a word class and the tags that its words must have: `drink hot`, `noun edible|drinkable`, `noun !mass`,
`noun {verb.takes}` (the tags stand in a form of a slot before it). Two slots of one class never hold the same word.
Nothing here knows a word of any language, but for the rules of Korean particles.
"""

import hashlib
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

PARTICLES = {
    "은/는": ("은", "는"),
    "이/가": ("이", "가"),
    "을/를": ("을", "를"),
    "과/와": ("과", "와"),
    "와/과": ("과", "와"),
    "으로/로": ("으로", "로"),
    "이에요/예요": ("이에요", "예요"),
    "이었어요/였어요": ("이었어요", "였어요"),
    "이세요/세요": ("이세요", "세요"),
    "이나/나": ("이나", "나"),
    "이랑/랑": ("이랑", "랑"),
    "이라고/라고": ("이라고", "라고"),
}
"""Notation of a particle -> what stands after a final consonant, and after a vowel."""

FIRST_SYLLABLE, LAST_SYLLABLE, FINALS = ord("가"), ord("힣"), 28
FINAL_L = 8  # the place of ㄹ among the 28 finals of a Hangul syllable; 0 is none
WRITTEN_HELD_OUT = 5  # one in so many written pairs is held out
KEPT_IN_TRAINING = 3  # training keeps at least so many sentences with each word of a held-out one
FIELD = re.compile(r"\{(\w+)\.(\w+)(?::([^{}]*))?\}")
PUNCTUATION = ".,?!"

Pair = tuple[str, str]


class GrammarError(Exception):
    """The grammar, its words or its written pairs break a rule; the message names file, template and slot."""


class Word(NamedTuple):
    """A line of a word list: its forms by name, its tags, and where it stands (for messages)."""

    forms: dict[str, str]
    tags: frozenset[str]
    place: str


class Template(NamedTuple):
    """A sentence in both languages with slots; `cap` limits how many pairs it may give."""

    name: str
    en: str
    ko: str
    slots: dict[str, str]
    cap: int


class Grammar(NamedTuple):
    """A grammar file with its word lists: all that sentences are made from."""

    path: Path
    templates: list[Template]
    words: dict[str, list[Word]]
    held_out: dict[str, int]
    admitted: dict[str, list[Word]]  # the words that a selector admits, kept once they were looked for


class Sentence(NamedTuple):
    """A generated pair and the name of the template that gave it."""

    en: str
    ko: str
    template: str


def generate(folder: Path) -> dict[str, list[Pair]]:
    """Make the corpus of a folder: its splits train, validation, test and written, always the same.

    No sentence of a held-out split, English or Korean, occurs in another split, and each of the words of
    validation and test occurs in training. Raises GrammarError, naming file, template and slot.
    """
    grammar = read_grammar(folder)
    written = read_written(folder / "written.tsv")
    spoken_for = {sentence for pair in written for sentence in pair}
    sentences = [
        sentence for sentence in expand(grammar) if sentence.en not in spoken_for and sentence.ko not in spoken_for
    ]
    splits = _hold_out(sentences, grammar.held_out)
    held = [pair for pair in written if _digest("\t".join(pair)) % WRITTEN_HELD_OUT == 0]
    splits["train"] += [pair for pair in written if pair not in held]
    return {**splits, "written": held}


def with_particle(word: str, particle: str) -> str:
    """Add a Korean particle in the form that fits the word: 집 + 은/는 -> 집은, 서울 + 으로/로 -> 서울로.

    Raises GrammarError if the particle is unknown or the word does not end in a Hangul syllable.
    """
    if particle not in PARTICLES:
        raise GrammarError(f"particle {particle!r} is unknown; known: {', '.join(PARTICLES)}")
    if not word or not FIRST_SYLLABLE <= ord(word[-1]) <= LAST_SYLLABLE:
        raise GrammarError(f"{word!r} takes no particle {particle}: it must end in a Hangul syllable")
    final = (ord(word[-1]) - FIRST_SYLLABLE) % FINALS
    after_consonant, after_vowel = PARTICLES[particle]
    acts_as_vowel = final == 0 or (particle == "으로/로" and final == FINAL_L)
    return word + (after_vowel if acts_as_vowel else after_consonant)


def read_grammar(folder: Path) -> Grammar:
    """Read grammar.toml and words/*.tsv of a corpus folder.

    Raises GrammarError for a file that is missing or not TOML, an unknown key, a template named twice, a line
    with too few or too many forms.
    """
    path = folder / "grammar.toml"
    try:
        table = tomllib.loads(_read(path))
        cap = table["cap"]
        templates = [Template(**{"cap": cap, **entry}) for entry in table["template"]]
        held_out = dict(table["held_out"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise GrammarError(
            f"{path}: {error}; it needs cap, held_out and [[template]] tables of name, en, ko, slots (and cap)"
        ) from error
    for name, count in Counter(template.name for template in templates).items():
        if count > 1:
            raise GrammarError(f"{path}: template {name} is there {count} times; give each its own name")
    words = {file.stem: _read_words(file) for file in sorted((folder / "words").glob("*.tsv"))}
    return Grammar(path, templates, words, held_out, {})


def read_written(path: Path) -> list[Pair]:
    """Read the pairs written one by one. Raises GrammarError for a wrong header, a line without two sides, a repeat."""
    header, *lines = _read(path).splitlines()
    if header != "en\tko":
        raise GrammarError(f"{path}: line 1 must be the header 'en<TAB>ko', found {header!r}")
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        sides = line.split("\t")
        if len(sides) != 2 or not all(sides):
            raise GrammarError(f"{path}: line {number} must hold two sentences parted by a tab, found {line!r}")
        en, ko = sides
        if en in pairs:
            raise GrammarError(f"{path}: line {number}: {en!r} is there twice; keep one rendering")
        pairs[en] = ko
    return list(pairs.items())


def expand(grammar: Grammar) -> list[Sentence]:
    """Fill all templates. Raises GrammarError where one English sentence would get two Korean ones."""
    made: dict[str, Sentence] = {}
    for template in grammar.templates:
        for fillers in _combinations(grammar, template):
            en, ko = (_fill(grammar, template, side, fillers) for side in (template.en, template.ko))
            sentence = Sentence(en[0].upper() + en[1:], ko, template.name)
            other = made.setdefault(sentence.en, sentence)
            if other.ko != sentence.ko:
                raise GrammarError(
                    f"{grammar.path}: {sentence.en!r} has two renderings: {other.ko!r} from template "
                    f"{other.template}, {sentence.ko!r} from template {template.name}; make the English differ"
                )
    return list(made.values())


def sentence_words(sentence: str) -> list[str]:
    """The words of a sentence as the splits compare them: parted at spaces, lower case, no punctuation."""
    return [word.strip(PUNCTUATION).lower() for word in sentence.split()]


def _digest(text: str) -> int:
    """A number that depends on the text alone: the source of every arbitrary choice made here."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GrammarError(f"{path}: cannot be read ({error}); a generated corpus needs this file as UTF-8") from error


def _read_words(path: Path) -> list[Word]:
    header, *lines = _read(path).splitlines()
    names = header.split("\t")
    words = []
    for number, line in enumerate(lines, 2):
        cells = line.split("\t")
        if len(cells) != len(names):
            raise GrammarError(
                f"{path}: line {number} has {len(cells)} forms, the header names {len(names)}; "
                "a form that the word lacks is an empty cell"
            )
        forms = dict(zip(names, cells, strict=True))
        words.append(Word(forms, frozenset(forms.get("tags", "").split()), f"{path.name} line {number}"))
    return words


def _fail(grammar: Grammar, template: Template, slot: str, problem: str) -> NoReturn:
    raise GrammarError(f"{grammar.path}: template {template.name}: slot {slot}: {problem}")


def _admitted(grammar: Grammar, template: Template, slot: str, fillers: dict[str, Word]) -> tuple[str, list[Word]]:
    """The selector of a slot, with the forms of the slots before it put in, and the words that it admits.

    A selector that depends on another slot may admit none: then that combination is not made.
    """
    selector = _fill(grammar, template, template.slots[slot], fillers)
    if selector in grammar.admitted:
        return selector, grammar.admitted[selector]
    word_class, *wanted = selector.split()
    if word_class not in grammar.words:
        _fail(grammar, template, slot, f"there is no words/{word_class}.tsv; known: {', '.join(grammar.words)}")
    words = [word for word in grammar.words[word_class] if all(_has(word, choice) for choice in wanted)]
    if not words and selector == template.slots[slot]:
        _fail(grammar, template, slot, f"no word of words/{word_class}.tsv has the tags {' '.join(wanted)}")
    grammar.admitted[selector] = words
    return selector, words


def _has(word: Word, choice: str) -> bool:
    """Whether a word has one of the tags in `a|b`, or none of those in `!a|b`."""
    tags = choice.removeprefix("!").split("|")
    return word.tags.isdisjoint(tags) == choice.startswith("!")


def _combinations(grammar: Grammar, template: Template) -> list[dict[str, Word]]:
    """At most `cap` combinations of fillers: chosen freely if there are few, else dealt so that words come equally."""
    enough = 3 * template.cap
    everything = list(itertools.islice(_all_combinations(grammar, template, {}), enough + 1))
    if not everything:
        raise GrammarError(f"{grammar.path}: template {template.name} gives no sentence; widen its slots")
    if len(everything) <= enough:
        everything.sort(key=lambda fillers: _digest(template.name + _key(fillers)))
        return everything[: template.cap]
    dealt: dict[str, dict[str, Word]] = {}
    for fillers in itertools.islice(_dealt_combinations(grammar, template), 20 * template.cap):
        dealt.setdefault(_key(fillers), fillers)
        if len(dealt) == template.cap:
            break
    return list(dealt.values())


def _key(fillers: dict[str, Word]) -> str:
    return "".join(f"|{slot}={word.place}" for slot, word in fillers.items())


def _all_combinations(grammar: Grammar, template: Template, fillers: dict[str, Word]) -> Iterator[dict[str, Word]]:
    if len(fillers) == len(template.slots):
        yield fillers
        return
    slot = list(template.slots)[len(fillers)]
    for word in _admitted(grammar, template, slot, fillers)[1]:
        if all(word is not other for other in fillers.values()):
            yield from _all_combinations(grammar, template, {**fillers, slot: word})


def _dealt_combinations(grammar: Grammar, template: Template) -> Iterator[dict[str, Word]]:
    """Endless draws: each slot deals its words from a deck, and a deck is shuffled anew when it has run out."""
    decks: dict[tuple[str, str], list[Word]] = {}
    for draw in itertools.count():
        fillers: dict[str, Word] = {}
        for slot in template.slots:
            selector, admitted = _admitted(grammar, template, slot, fillers)
            if not admitted:
                break
            deck = decks.setdefault((slot, selector), [])
            if not deck:
                deck += _shuffled(admitted, f"{template.name}|{slot}|{selector}|{draw}|")
            fillers[slot] = deck.pop()
        if len(fillers) == len(template.slots) == len({word.place for word in fillers.values()}):
            yield fillers


def _shuffled(words: list[Word], seed: str) -> list[Word]:
    return sorted(words, key=lambda word: _digest(seed + word.place))


def _fill(grammar: Grammar, template: Template, text: str, fillers: dict[str, Word]) -> str:
    """Put the forms of the words that fill the slots into a text with `{slot.form:particle}` in it."""
    filled = FIELD.sub(lambda field: _form(grammar, template, field, fillers), text)
    if "{" in filled or "}" in filled:
        problem = f"{text!r} keeps a brace; write {{slot.form}} or {{slot.form:particle}}"
        raise GrammarError(f"{grammar.path}: template {template.name}: {problem}")
    return filled


def _form(grammar: Grammar, template: Template, field: re.Match[str], fillers: dict[str, Word]) -> str:
    slot, name, particle = field.groups()
    if slot not in fillers:
        _fail(grammar, template, slot, f"unknown, or used before its turn; slots in order: {', '.join(template.slots)}")
    word = fillers[slot]
    if not word.forms.get(name):
        _fail(grammar, template, slot, f"{word.place} has no form {name!r}; forms: {', '.join(word.forms)}")
    if particle is None:
        return word.forms[name]
    try:
        return with_particle(word.forms[name], particle)
    except GrammarError as error:
        _fail(grammar, template, slot, f"{word.place}: {error}")


def _hold_out(sentences: list[Sentence], sizes: dict[str, int]) -> dict[str, list[Pair]]:
    """Part sentences into training and held-out splits; one is held out only if training keeps all its words."""
    counts = Counter(word for sentence in sentences for word in _words_of_both(sentence))
    renderings = Counter(sentence.ko for sentence in sentences)
    places = [name for name, size in sizes.items() for _ in range(size)]
    split_of: dict[str, str] = {}
    for sentence in sorted(sentences, key=lambda sentence: _digest("hold out " + sentence.en)):
        words = _words_of_both(sentence)
        if places and renderings[sentence.ko] == 1 and all(counts[word] > KEPT_IN_TRAINING for word in words):
            counts.subtract(words)
            split_of[sentence.en] = places.pop()
    splits: dict[str, list[Pair]] = {"train": [], **{name: [] for name in sizes}}
    for sentence in sentences:
        splits[split_of.get(sentence.en, "train")].append((sentence.en, sentence.ko))
    return splits


def _words_of_both(sentence: Sentence) -> set[str]:
    """Words of both languages in one set: their scripts keep them apart."""
    return set(sentence_words(sentence.en)) | set(sentence_words(sentence.ko))


def main() -> None:
    """Write the splits beside this script, one sentence a line."""
    folder = Path(__file__).parent
    for split, pairs in generate(folder).items():
        for language, side in zip(("en", "ko"), zip(*pairs, strict=True), strict=True):
            text = "".join(f"{sentence}\n" for sentence in side)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
