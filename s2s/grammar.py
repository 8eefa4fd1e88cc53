"""Corpora from a declarative grammar: templates with slots, filled from word lists, split without leaks.

A corpus folder holds

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

from s2s.errors import CorpusError

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
PLACEHOLDER = re.compile(r"\{(\w+)\.(\w+)(?::([^{}]*))?\}")
PUNCTUATION = ".,?!"

Pair = tuple[str, str]


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


class Sentence(NamedTuple):
    """A generated pair and the name of the template that gave it."""

    en: str
    ko: str
    template: str


def generate(folder: Path) -> dict[str, list[Pair]]:
    """Make the corpus of a folder: its splits train, validation, test and written, always the same.

    No sentence of a held-out split, English or Korean, occurs in another split, and each of the words of
    validation and test occurs in training. Raises CorpusError, naming file, template and slot.
    """
    grammar = read_grammar(folder)
    written = read_written(folder / "written.tsv")
    spoken_for = {sentence for pair in written for sentence in pair}
    sentences = [
        sentence for sentence in expand(grammar) if sentence.en not in spoken_for and sentence.ko not in spoken_for
    ]
    splits = _hold_out(sentences, grammar.held_out)
    held = [pair for pair in written if _digest(pair[0]) % WRITTEN_HELD_OUT == 0]
    splits["train"] += [pair for pair in written if _digest(pair[0]) % WRITTEN_HELD_OUT]
    return {**splits, "written": held}


def with_particle(word: str, particle: str) -> str:
    """Add a Korean particle in the form that fits the word: 집 + 은/는 -> 집은, 서울 + 으로/로 -> 서울로.

    Raises CorpusError if the particle is unknown or the word does not end in a Hangul syllable.
    """
    if particle not in PARTICLES:
        raise CorpusError(f"particle {particle!r} is unknown; known: {', '.join(PARTICLES)}")
    if not word or not FIRST_SYLLABLE <= ord(word[-1]) <= LAST_SYLLABLE:
        raise CorpusError(f"{word!r} takes no particle {particle}: it must end in a Hangul syllable")
    final = (ord(word[-1]) - FIRST_SYLLABLE) % FINALS
    after_consonant, after_vowel = PARTICLES[particle]
    acts_as_vowel = final == 0 or (particle == "으로/로" and final == FINAL_L)
    return word + (after_vowel if acts_as_vowel else after_consonant)


def read_grammar(folder: Path) -> Grammar:
    """Read grammar.toml and words/*.tsv of a corpus folder.

    Raises CorpusError for a file that is missing or not TOML, an unknown key, a template named twice, a line
    with too few or too many forms.
    """
    path = folder / "grammar.toml"
    try:
        table = tomllib.loads(_read(path))
        cap = table["cap"]
        templates = [Template(**{"cap": cap, **entry}) for entry in table["template"]]
        held_out = dict(table["held_out"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{path}: {error}; it needs cap, held_out and [[template]] tables of name, en, ko, slots (and cap)"
        ) from error
    for name, count in Counter(template.name for template in templates).items():
        if count > 1:
            raise CorpusError(f"{path}: template {name} is there {count} times; give each its own name")
    words = {file.stem: _read_words(file) for file in sorted((folder / "words").glob("*.tsv"))}
    return Grammar(path, templates, words, held_out)


def read_written(path: Path) -> list[Pair]:
    """Read the pairs written one by one. Raises CorpusError for a wrong header, a line without two sides, a repeat."""
    header, *lines = _read(path).splitlines()
    if header != "en\tko":
        raise CorpusError(f"{path}: line 1 must be the header 'en<TAB>ko', found {header!r}")
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        sides = line.split("\t")
        if len(sides) != 2 or not all(sides):
            raise CorpusError(f"{path}: line {number} must hold two sentences parted by a tab, found {line!r}")
        en, ko = sides
        if en in pairs:
            raise CorpusError(f"{path}: line {number}: {en!r} is there twice; keep one rendering")
        pairs[en] = ko
    return list(pairs.items())


def expand(grammar: Grammar) -> list[Sentence]:
    """Fill all templates. Raises CorpusError where one English sentence would get two Korean ones."""
    made: dict[str, Sentence] = {}
    for template in grammar.templates:
        for fillers in _combinations(grammar, template):
            sentence = _fill(grammar, template, fillers)
            other = made.setdefault(sentence.en, sentence)
            if other.ko != sentence.ko:
                raise CorpusError(
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
        raise CorpusError(f"{path}: cannot be read ({error}); a generated corpus needs this file as UTF-8") from error


def _read_words(path: Path) -> list[Word]:
    header, *lines = _read(path).splitlines()
    names = header.split("\t")
    words = []
    for number, line in enumerate(lines, 2):
        cells = line.split("\t")
        if len(cells) != len(names):
            raise CorpusError(
                f"{path}: line {number} has {len(cells)} forms, the header names {len(names)}; "
                "a form that the word lacks is an empty cell"
            )
        forms = dict(zip(names, cells, strict=True))
        words.append(Word(forms, frozenset(forms.get("tags", "").split()), f"{path.name} line {number}"))
    return words


def _fail(grammar: Grammar, template: Template, slot: str, problem: str) -> NoReturn:
    raise CorpusError(f"{grammar.path}: template {template.name}: slot {slot}: {problem}")


def _candidates(grammar: Grammar, template: Template, slot: str, fillers: dict[str, Word]) -> tuple[str, list[Word]]:
    """The selector of a slot with the forms of earlier slots put in, and the words that it admits."""

    def form_of_earlier(match: re.Match[str]) -> str:
        return _form(grammar, template, fillers, match)

    selector = PLACEHOLDER.sub(form_of_earlier, template.slots[slot])
    word_class, *wanted = selector.split()
    if word_class not in grammar.words:
        _fail(
            grammar, template, slot, f"there is no word list words/{word_class}.tsv; known: {', '.join(grammar.words)}"
        )
    admitted = [word for word in grammar.words[word_class] if all(_has(word, choice) for choice in wanted)]
    if not admitted:
        _fail(grammar, template, slot, f"no word of words/{word_class}.tsv has the tags {' '.join(wanted)}")
    return selector, admitted


def _has(word: Word, choice: str) -> bool:
    """Whether a word has one of the tags in `a|b`, or none of those in `!a|b`."""
    tags = choice.removeprefix("!").split("|")
    return word.tags.isdisjoint(tags) == choice.startswith("!")


def _combinations(grammar: Grammar, template: Template) -> list[dict[str, Word]]:
    """At most `cap` combinations of fillers: all in an arbitrary order if few, else dealt so that words come equally."""
    enough = 3 * template.cap
    everything = list(itertools.islice(_all_combinations(grammar, template, {}), enough + 1))
    if not everything:
        raise CorpusError(f"{grammar.path}: template {template.name} gives no sentence; widen its slots")
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
    for word in _candidates(grammar, template, slot, fillers)[1]:
        if word not in fillers.values():
            yield from _all_combinations(grammar, template, {**fillers, slot: word})


def _dealt_combinations(grammar: Grammar, template: Template) -> Iterator[dict[str, Word]]:
    """Endless draws: each slot deals its words from a deck, and a deck is shuffled anew when it has run out."""
    decks: dict[tuple[str, str], list[Word]] = {}
    for draw in itertools.count():
        fillers: dict[str, Word] = {}
        for slot in template.slots:
            selector, admitted = _candidates(grammar, template, slot, fillers)
            deck = decks.setdefault((slot, selector), [])
            if not deck:
                seed = f"{template.name}|{slot}|{selector}|{draw}|"
                deck += sorted(admitted, key=lambda word, seed=seed: _digest(seed + word.place))  # type: ignore[misc]
            fillers[slot] = deck.pop()
        if len({word.place for word in fillers.values()}) == len(fillers):
            yield fillers


def _form(grammar: Grammar, template: Template, fillers: dict[str, Word], match: re.Match[str]) -> str:
    slot, name, particle = match.groups()
    if slot not in fillers:
        _fail(grammar, template, slot, f"unknown, or later than where it is used; known: {', '.join(template.slots)}")
    word = fillers[slot]
    if not word.forms.get(name):
        _fail(grammar, template, slot, f"{word.place} has no form {name!r} (forms: {', '.join(word.forms)})")
    if particle is None:
        return word.forms[name]
    try:
        return with_particle(word.forms[name], particle)
    except CorpusError as error:
        _fail(grammar, template, slot, f"{word.place}: {error}")


def _fill(grammar: Grammar, template: Template, fillers: dict[str, Word]) -> Sentence:
    def form(match: re.Match[str]) -> str:
        return _form(grammar, template, fillers, match)

    en, ko = PLACEHOLDER.sub(form, template.en), PLACEHOLDER.sub(form, template.ko)
    for side in (en, ko):
        if "{" in side or "}" in side:
            raise CorpusError(
                f"{grammar.path}: template {template.name}: {side!r} keeps a brace; write {{slot.form}} or "
                "{slot.form:particle}"
            )
    return Sentence(en[0].upper() + en[1:], ko, template.name)


def _hold_out(sentences: list[Sentence], sizes: dict[str, int]) -> dict[str, list[Pair]]:
    """Part sentences into training and held-out splits; a sentence is held out only if training keeps all its words."""
    counts = Counter(word for sentence in sentences for word in _words_of_both(sentence))
    renderings = Counter(sentence.ko for sentence in sentences)
    splits: dict[str, list[Pair]] = {"train": [], **{name: [] for name in sizes}}
    places = [name for name, size in sizes.items() for _ in range(size)]
    places.sort(key=lambda name: name)
    chosen: dict[str, str] = {}
    waiting = list(reversed([name for name, size in sizes.items() for _ in range(size)]))
    for sentence in sorted(sentences, key=lambda sentence: _digest("hold out " + sentence.en)):
        if not waiting:
            break
        words = _words_of_both(sentence)
        if renderings[sentence.ko] == 1 and all(counts[word] > KEPT_IN_TRAINING for word in words):
            counts.subtract(words)
            chosen[sentence.en] = waiting.pop()
    for sentence in sentences:
        splits[chosen.get(sentence.en, "train")].append((sentence.en, sentence.ko))
    return splits


def _words_of_both(sentence: Sentence) -> set[str]:
    """Words of both languages in one set: their scripts keep them apart."""
    return set(sentence_words(sentence.en)) | set(sentence_words(sentence.ko))
