"""The template expander: particles, agreement, caps, splits, and what its errors say."""

import unicodedata
from pathlib import Path
from runpy import run_path

import pytest
from hypothesis import given
from hypothesis import strategies as st

MAKE = run_path(str(Path(__file__).parents[1] / "corpora" / "phrasebook-en-ko" / "make.py"))
PARTICLES, GrammarError = MAKE["PARTICLES"], MAKE["GrammarError"]
expand, generate, read_grammar = MAKE["expand"], MAKE["generate"], MAKE["read_grammar"]
sentence_words, with_particle = MAKE["sentence_words"], MAKE["with_particle"]
SYLLABLES = st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣"))
WORDS = "en\tmany\tko\tcount\ttags\n" + "".join(
    f"{en}\t{en}s\t{ko}\t{count}\t{tags}\n"
    for en, ko, count, tags in [
        ("apple", "사과", "개", "fruit"),
        ("pear", "배", "개", "fruit"),
        ("melon", "멜론", "개", "fruit"),
        ("book", "책", "권", "paper"),
        ("map", "지도", "", "paper flat"),
    ]
)
VERBS = "en\ttakes\tko\neat\tfruit\t먹어요\nread\tpaper\t읽어요\n"
BUY = """
[[template]]
name = "buy"
en = "I buy {thing.many}."
ko = "{thing.ko:을/를} 사요."
slots = { thing = "thing fruit|paper" }
"""


def write_corpus(folder: Path, *templates: str, cap: int = 50, held_out: str = "validation = 0, test = 0") -> Path:
    (folder / "words").mkdir(exist_ok=True)
    (folder / "words" / "thing.tsv").write_text(WORDS, encoding="utf-8")
    (folder / "words" / "verb.tsv").write_text(VERBS, encoding="utf-8")
    (folder / "written.tsv").write_text("en\tko\nHello.\t안녕하세요?\n", encoding="utf-8")
    text = f"cap = {cap}\nheld_out = {{ {held_out} }}\n" + "".join(templates)
    (folder / "grammar.toml").write_text(text, encoding="utf-8")
    return folder


def sentences(folder: Path) -> dict[str, str]:
    return {sentence.en: sentence.ko for sentence in expand(read_grammar(folder))}


def final_consonant(syllable: str) -> str:
    """The last letter of a syllable, spelled out by Unicode: a way that does not share the arithmetic tested."""
    letters = unicodedata.normalize("NFD", syllable)
    return letters[2] if len(letters) == 3 else ""


@given(SYLLABLES, st.sampled_from(sorted(PARTICLES)))
def test_a_particle_follows_the_final_consonant_of_every_syllable(syllable: str, particle: str) -> None:
    after_consonant, after_vowel = PARTICLES[particle]
    final = final_consonant(syllable)
    vowel_like = not final or (particle == "으로/로" and final == "\u11af")  # ㄹ
    assert with_particle("말" + syllable, particle) == "말" + syllable + (
        after_vowel if vowel_like else after_consonant
    )


def test_particles_of_known_words() -> None:
    towards = [with_particle(word, "으로/로") for word in ("집", "서울", "버스", "왼쪽")]
    assert towards == ["집으로", "서울로", "버스로", "왼쪽으로"]
    assert with_particle("학생", "이에요/예요") == "학생이에요"
    assert with_particle("의사", "이에요/예요") == "의사예요"
    assert with_particle("딸", "과/와") == with_particle("딸", "와/과") == "딸과"
    assert with_particle("친구", "와/과") == "친구와"
    assert with_particle("물", "을/를") == "물을"


@pytest.mark.parametrize("word", ["", "bus", "책!", "ㅋ"])
def test_a_word_that_ends_in_no_syllable_takes_no_particle(word: str) -> None:
    with pytest.raises(GrammarError, match="must end in a Hangul syllable"):
        with_particle(word, "은/는")


def test_an_unknown_particle_names_the_known_ones() -> None:
    with pytest.raises(GrammarError, match="'는/은' is unknown; known: 은/는"):
        with_particle("책", "는/은")


def test_each_word_of_a_slot_makes_a_sentence(tmp_path: Path) -> None:
    made = sentences(write_corpus(tmp_path, BUY))
    assert made["I buy melons."] == "멜론을 사요."
    assert made["I buy maps."] == "지도를 사요."
    assert len(made) == 5


def test_a_slot_agrees_with_the_slot_before_it_and_tags_exclude(tmp_path: Path) -> None:
    made = sentences(
        write_corpus(
            tmp_path,
            """
[[template]]
name = "do"
en = "I {verb.en} {thing.many}."
ko = "{thing.ko:을/를} {verb.ko}."
slots = { verb = "verb", thing = "thing {verb.takes} !flat" }
""",
        )
    )
    assert made == {
        "I eat apples.": "사과를 먹어요.",
        "I eat pears.": "배를 먹어요.",
        "I eat melons.": "멜론을 먹어요.",
        "I read books.": "책을 읽어요.",
    }


PAIRS = """
[[template]]
name = "pairs"
en = "{first.many} and {second.many} are here."
ko = "{first.ko:와/과} {second.ko:이/가} 있어요."
slots = { first = "thing", second = "thing" }
"""


def test_two_slots_never_hold_one_word_and_sentences_start_with_a_capital(tmp_path: Path) -> None:
    made = sentences(write_corpus(tmp_path, PAIRS))
    assert len(made) == 5 * 4
    assert "Apples and apples are here." not in made
    assert made["Apples and pears are here."] == "사과와 배가 있어요."


def test_a_cap_is_kept_and_dealing_uses_all_words_alike(tmp_path: Path) -> None:
    made = sentences(write_corpus(tmp_path, PAIRS, cap=5))
    firsts = sorted(english.split()[0] for english in made)
    assert len(made) == 5
    assert len(set(firsts)) >= 4


def test_the_same_folder_gives_the_same_splits(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, BUY, PAIRS, held_out="validation = 2, test = 3")
    assert generate(folder) == generate(folder)
    assert list(generate(folder)) == ["train", "validation", "test", "written"]


def test_held_out_sentences_have_their_words_in_training(tmp_path: Path) -> None:
    splits = generate(write_corpus(tmp_path, BUY, PAIRS, held_out="validation = 2, test = 3"))
    assert [len(splits[name]) for name in ("validation", "test")] == [2, 3]
    known = {word for pair in splits["train"] for side in pair for word in sentence_words(side)}
    for pair in splits["validation"] + splits["test"]:
        assert pair not in splits["train"]
        assert known.issuperset(sentence_words(pair[0]) + sentence_words(pair[1]))


def test_a_written_pair_counts_where_the_grammar_makes_the_same_sentence(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, BUY)
    (folder / "written.tsv").write_text("en\tko\nI buy maps.\t지도를 한 장 사요.\n", encoding="utf-8")
    splits = generate(folder)
    assert [ko for pairs in splits.values() for en, ko in pairs if en == "I buy maps."] == ["지도를 한 장 사요."]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{thing.many}", "{object.many}", "template buy: slot object: unknown.*slots in order: thing"),
        (
            "{thing.many}",
            "{thing.plural}",
            "template buy: slot thing: thing.tsv line . has no form 'plural'",
        ),
        ("{thing.ko:을/를}", "{thing.count:을/를}", "template buy: slot thing: thing.tsv line 6 has no form 'count'"),
        ("{thing.ko:을/를}", "{thing.ko:을,를}", "template buy: slot thing: .*particle '을,를' is unknown"),
        ("{thing.ko:을/를}", "{thing.many:을/를}", "template buy: slot thing: .*Hangul syllable"),
        ("{thing.many}", "{thing many}", "template buy: .* keeps a brace"),
        ('"thing fruit|paper"', '"object"', "template buy: slot thing: there is no words/object.tsv"),
        (
            '"thing fruit|paper"',
            '"thing round"',
            "template buy: slot thing: no word of .*thing.tsv has the tags round",
        ),
        ('name = "buy"', 'title = "buy"', "title"),
        ("cap = 50", "top = 50", "'cap'.*it needs cap, held_out"),
        ("[[template]]", "[[template", "grammar.toml"),
    ],
)
def test_an_error_names_file_template_and_slot(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_corpus(tmp_path, BUY) / "grammar.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(GrammarError, match=message) as caught:
        generate(tmp_path)
    assert "grammar.toml" in str(caught.value)


def test_two_renderings_of_one_sentence_are_refused_with_both_templates(tmp_path: Path) -> None:
    other = BUY.replace('"buy"', '"buy again"').replace("사요", "구매해요")
    with pytest.raises(GrammarError, match=r"two renderings: .*from template buy, .*from template buy again"):
        generate(write_corpus(tmp_path, BUY, other))


def test_two_templates_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GrammarError, match="template buy is there 2 times"):
        generate(write_corpus(tmp_path, BUY, BUY))


def test_a_line_with_too_few_forms_names_file_line_and_counts(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, BUY)
    (folder / "words" / "verb.tsv").write_text("en\ttakes\tko\neat\tfruit\n", encoding="utf-8")
    with pytest.raises(GrammarError, match=r"verb.tsv: line 2 has 2 forms, the header names 3"):
        generate(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("de\tko\n", "line 1 must be the header"),
        ("en\tko\nHello.\n", "line 2 must hold two sentences"),
        ("en\tko\nHi.\t안녕!\nHi.\t안녕?\n", "line 3: 'Hi.' is there twice"),
    ],
)
def test_written_pairs_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    folder = write_corpus(tmp_path, BUY)
    (folder / "written.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(GrammarError, match=f"written.tsv: {message}"):
        generate(folder)


def test_a_fifth_of_the_written_pairs_is_held_out_and_the_rest_is_trained_on(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path, BUY)
    written = [(f"Sentence {number}.", f"문장 {number}.") for number in range(200)]
    (folder / "written.tsv").write_text("en\tko\n" + "".join(f"{en}\t{ko}\n" for en, ko in written), encoding="utf-8")
    splits = generate(folder)
    assert 20 <= len(splits["written"]) <= 60
    assert sorted(splits["written"] + [pair for pair in splits["train"] if pair in written]) == sorted(written)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GrammarError, match=r"grammar.toml: cannot be read .*needs this file"):
        generate(tmp_path)
