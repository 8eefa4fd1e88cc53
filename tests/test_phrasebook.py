"""The corpus phrasebook-en-ko: its size, its consistency, its splits, and sentences that a person checked."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from runpy import run_path
from typing import Any, TypeAlias

import pytest

from s2s.corpus.find import load_manifest, split_files
from s2s.text.encoded import identity_of

Pair: TypeAlias = tuple[str, str]
Grammar: TypeAlias = Any
FOLDER = Path(__file__).parent.parent / "corpora" / "phrasebook-en-ko"
MAKE = run_path(str(FOLDER / "make.py"))
FIELD, expand, sentence_words = MAKE["FIELD"], MAKE["expand"], MAKE["sentence_words"]
HANGUL_SENTENCE = re.compile(r"[가-힣]+[,.?!]?(?: [가-힣]+[,.?!]?)*")
ENGLISH_SENTENCE = re.compile(r"[A-Z][A-Za-z']*[,.?!]?(?:[ -][A-Za-z']+[,.?!]?)*")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Pair]]:
    """What is shipped, read as a recipe reads it."""
    read = {}
    for split in load_manifest(FOLDER.name).split_names:
        files = split_files(f"{FOLDER.name}/{split}")
        read[split] = list(zip(lines(files["en"]), lines(files["ko"]), strict=True))
    return read


@pytest.fixture(scope="module")
def pairs(splits: dict[str, list[Pair]]) -> list[Pair]:
    return [pair for split in splits.values() for pair in split]


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return MAKE["read_grammar"](FOLDER)


def test_the_splits_keep_their_sizes(splits: dict[str, list[Pair]]) -> None:
    sizes = {name: len(split) for name, split in splits.items()}
    assert sizes == {"train": 15_316, "validation": 500, "test": 500, "written": 58}


def test_the_script_makes_what_is_shipped(tmp_path: Path) -> None:
    shipped = load_manifest(FOLDER.name).shipped
    alone = shutil.copytree(FOLDER, tmp_path / "alone", ignore=lambda *_: shipped)
    subprocess.run([sys.executable, "-I", alone / "make.py"], check=True)
    assert {path.name for path in alone.iterdir()} == {path.name for path in FOLDER.iterdir()}
    assert not [file for file in shipped if (alone / file).read_bytes() != (FOLDER / file).read_bytes()]


def test_a_run_of_the_first_version_can_still_be_resumed() -> None:
    """A run keeps the identity of its text; these are of the runs before the splits were shipped as files."""
    identities = {name: identity_of([FOLDER / f"{name}.en", FOLDER / f"{name}.ko"]) for name in ("train", "validation")}
    assert identities == {
        "train": "b5223d78d677117fd6fea607f254dfb56da183370ce01d392781c01217b73cb2",
        "validation": "faa88f0804c1edb63671cb59d85cac1280aba8b4c4e624b80878bc06cf36d160",
    }


def test_at_least_12000_distinct_pairs(pairs: list[Pair]) -> None:
    assert len(set(pairs)) == len(pairs) >= 12_000


def test_one_english_sentence_has_one_korean_rendering(pairs: list[Pair]) -> None:
    assert len({en for en, ko in pairs}) == len(pairs)


@pytest.mark.parametrize("held_out", ["validation", "test", "written"])
def test_no_held_out_sentence_of_either_language_is_in_training(splits: dict[str, list[Pair]], held_out: str) -> None:
    seen = {sentence for pair in splits["train"] for sentence in pair}
    assert not [pair for pair in splits[held_out] if not seen.isdisjoint(pair)]


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_every_word_form_of_a_held_out_sentence_is_in_training(splits: dict[str, list[Pair]], held_out: str) -> None:
    seen = {word for pair in splits["train"] for side in pair for word in sentence_words(side)}
    assert len(splits[held_out]) == 500
    assert not {word for pair in splits[held_out] for side in pair for word in sentence_words(side)} - seen


def test_held_out_sentences_come_from_most_templates(splits: dict[str, list[Pair]], grammar: Grammar) -> None:
    template_of = {sentence.en: sentence.template for sentence in expand(grammar)}
    shares = Counter(template_of[en] for en, _ in splits["test"])
    assert len(shares) > 0.7 * len(grammar.templates)
    assert max(shares.values()) <= 0.03 * len(splits["test"])


def test_no_template_makes_more_than_one_in_fifty_pairs(pairs: list[Pair], grammar: Grammar) -> None:
    name, most = Counter(sentence.template for sentence in expand(grammar)).most_common(1)[0]
    assert most <= len(pairs) / 50, name


def test_the_vocabulary_is_that_of_a_phrase_book(pairs: list[Pair]) -> None:
    english = {word for en, _ in pairs for word in sentence_words(en)}
    korean = {word for _, ko in pairs for word in sentence_words(ko)}
    assert len(english) >= 1_000
    assert len(korean) >= 2_000


def test_sentences_are_written_as_sentences(pairs: list[Pair]) -> None:
    assert not [en for en, _ in pairs if not ENGLISH_SENTENCE.fullmatch(en) or en[-1] not in ".?!"]
    assert not [ko for _, ko in pairs if not HANGUL_SENTENCE.fullmatch(ko) or ko[-1] not in ".?!"]


def test_a_question_is_a_question_in_both_languages(pairs: list[Pair]) -> None:
    asked = [(en, ko) for en, ko in pairs if en.endswith("?") != ko.endswith("?")]
    written_turns = {"Hello.", "Can I see the menu, please?"}
    assert {en for en, _ in asked} <= written_turns


def test_a_and_an_follow_the_sound(pairs: list[Pair]) -> None:
    for en, _ in pairs:
        for article, word in re.findall(r"\b(an?) ([a-z]+)", en.lower()):
            starts_with_vowel = word == "hour" or (word[0] in "aeiou" and not word.startswith(("uni", "one")))
            assert article == ("an" if starts_with_vowel else "a"), en


def test_sentences_are_polite(pairs: list[Pair]) -> None:
    set_phrases = ("감사합니다.", "죄송합니다.", "실례합니다.", "잘 먹었습니다.", "잘 먹겠습니다.", "건배!", "불이야!")
    assert not [ko for _, ko in pairs if not ko.endswith(("요.", "요?", "요!", *set_phrases))]


def test_elders_are_spoken_of_with_respect(pairs: list[Pair]) -> None:
    honorific = re.compile(r"(세요|셨어요|계세요|실 거예요)[.?]$")
    spoken_of = [ko for _, ko in pairs if re.search(r"께서는? ", ko)]
    assert len(spoken_of) > 500
    assert not [ko for ko in spoken_of if not honorific.search(ko)]


def test_every_word_and_every_tag_is_used(grammar: Grammar) -> None:
    wanted: dict[str, set[str]] = {word_class: set() for word_class in grammar.words}
    for template in grammar.templates:
        for selector in template.slots.values():
            word_class, *choices = selector.split()
            for choice in choices:
                field = FIELD.fullmatch(choice)
                if field is None:
                    wanted[word_class] |= set(choice.removeprefix("!").split("|"))
                else:
                    earlier = grammar.words[template.slots[field[1]].split()[0]]
                    wanted[word_class] |= {tag for word in earlier for tag in word.forms[field[2]].split("|") if tag}
    for word_class, words in grammar.words.items():
        tags = {tag for word in words for tag in word.tags}
        assert tags == wanted[word_class] & tags, word_class


CHECKED = """
Is there a bank near here?|이 근처에 은행이 있어요?
Is there a pharmacy near here?|이 근처에 약국이 있어요?
How do I get to the airport?|공항에 어떻게 가요?
Please take me to the hotel.|호텔로 가 주세요.
Please take me to the post office.|우체국으로 가 주세요.
Please take me to the subway station.|지하철역으로 가 주세요.
What floor is the bookstore on?|서점은 몇 층에 있어요?
How much is this hat?|이 모자는 얼마예요?
How much are these shoes?|이 구두는 얼마예요?
Can I try on this hat?|이 모자를 써 봐도 돼요?
Can I try on these socks?|이 양말을 신어 봐도 돼요?
Can I try on these gloves?|이 장갑을 껴 봐도 돼요?
I'd like a cup of coffee, please.|커피 한 잔 주세요.
I'd like a bottle of water, please.|물 한 병 주세요.
I'd like an apple, please.|사과 한 개 주세요.
I'm allergic to eggs.|달걀 알레르기가 있어요.
I can't eat meat.|고기를 못 먹어요.
My name is Sujin.|제 이름은 수진이에요.
My name is Minsu.|제 이름은 민수예요.
Please call me Tom.|톰이라고 불러 주세요.
Please call me Maria.|마리아라고 불러 주세요.
I'm a doctor.|저는 의사예요.
I'm an office worker.|저는 회사원이에요.
I'm not a student.|저는 학생이 아니에요.
I'm not a nurse.|저는 간호사가 아니에요.
I'm from Canada.|저는 캐나다에서 왔어요.
Have you ever been to Seoul?|서울에 가 보신 적이 있어요?
I'm twenty years old.|저는 스무 살이에요.
I'm thirty-four years old.|저는 서른네 살이에요.
Can you swim?|수영하실 수 있어요?
Can you dance?|춤을 추실 수 있어요?
Are you hungry?|배가 고프세요?
Are you lonely?|외로우세요?
My throat hurts.|목이 아파요.
My feet hurt.|발이 아파요.
Does your knee hurt?|무릎이 아프세요?
Where do you usually eat lunch?|보통 어디에서 점심을 드세요?
What time do you usually listen to music?|보통 몇 시에 음악을 들으세요?
When are you going to go on a trip?|언제 여행을 가실 거예요?
This is my grandmother.|이분은 저희 할머니세요.
This is my teacher.|이분은 저희 선생님이세요.
How many beds are there in the room?|방에 침대가 몇 개 있어요?
Could you lend me your umbrella?|우산 좀 빌려주시겠어요?
There is no soap in the bathroom.|화장실에 비누가 없어요.
Nice to meet you.|만나서 반가워요.
Please wait a moment.|잠깐만 기다려 주세요.
"""


def test_checked_sentences(pairs: list[Pair]) -> None:
    made = dict(pairs)
    checked = dict(line.split("|") for line in CHECKED.strip().splitlines())
    assert {en: made.get(en) for en in checked} == checked
