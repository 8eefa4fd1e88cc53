"""Pairs as a recipe names them: found, told apart, and compared."""

from pathlib import Path

import pytest

import s2s.translation.pairs
from s2s.corpus.sources import Source
from s2s.errors import CorpusError, DataError
from s2s.text.encoded import identity_of
from s2s.translation.pairs import open_split, warn_of_learned
from s2s.translation.recipe import FileSplit, PairSplit, TableSplit, Training, TranslationData, TranslationRecipe
from s2s.translation.task import find

FEW = (("a b", "one two"), ("c", "three"))


def test_files_tables_and_pairs_give_the_same_pairs(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_text("a b\nc\n")
    (tmp_path / "x.en").write_text("one two\nthree\n")
    (tmp_path / "x.tsv").write_text("en\tid\tde\none two\t1\ta b\nthree\t2\tc\n")
    (tmp_path / "bare.tsv").write_text("a b\tone two\nc\tthree\n")
    table = str(tmp_path / "x.tsv")
    forms = [
        PairSplit(pairs=FEW),
        FileSplit(source=str(tmp_path / "x.de"), target=str(tmp_path / "x.en")),
        TableSplit(table=table),
        TableSplit(table=table, source_column="de", target_column="en"),
        TableSplit(table=str(tmp_path / "bare.tsv"), columns=("de", "en")),
    ]
    for split in forms:
        pairs = open_split(split, source="de", target="en", corpora=None)
        assert tuple(pairs.read()) == FEW
        assert tuple(pairs.read()) == FEW, "a split can be read again"


def test_the_identity_changes_with_the_pairs_and_not_with_the_place(tmp_path: Path) -> None:
    def identity(name: str, source: str, target: str) -> str:
        (tmp_path / name).mkdir()
        paths = [tmp_path / name / "x.de", tmp_path / name / "x.en"]
        for path, text in zip(paths, (source, target), strict=True):
            path.write_text(text)
        split = FileSplit(source=str(paths[0]), target=str(paths[1]))
        return open_split(split, source="de", target="en", corpora=None).identity

    first = identity("a", "a\n", "one\n")
    assert identity("b", "a\n", "one\n") == first
    assert identity("c", "a\n", "two\n") != first
    assert identity("d", "one\n", "a\n") != first


def test_the_identity_of_a_table_tells_its_columns_apart(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("de\ten\na\tone\n")
    split = TableSplit(table=str(tmp_path / "x.tsv"))
    there = open_split(split, source="de", target="en", corpora=None)
    back = open_split(split, source="en", target="de", corpora=None)
    assert there.identity != back.identity
    assert list(back.read()) == [("one", "a")]


def test_an_error_says_which_key_named_what_is_missing(tmp_path: Path) -> None:
    good = PairSplit(pairs=FEW)
    missing = FileSplit(source=str(tmp_path / "x"), target=str(tmp_path / "y"))

    def with_data(**splits: object) -> TranslationRecipe:
        data = TranslationData(source="de", target="en", train=good, **splits)  # type: ignore[arg-type]
        return TranslationRecipe(task="translation", data=data, training=Training(steps=1))

    with pytest.raises(DataError, match=r"data\.validation: .*x: cannot be read"):
        find(with_data(validation=missing), None)
    with pytest.raises(CorpusError, match=r"data\.test: no corpus is named multi30; did you mean multi30k\?"):
        find(with_data(validation=good, test="multi30/test"), None)
    assert "test" not in find(with_data(validation=good), None)


def test_a_corpus_is_read_by_its_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"de": tmp_path / "train.de", "en": tmp_path / "train.en"}
    files["de"].write_text("a b\nc\n")
    files["en"].write_text("one two\nthree\n")
    monkeypatch.setattr(s2s.translation.pairs, "split_files", lambda name, corpora: files)
    pairs = open_split("small/train", source="de", target="en", corpora=None)
    assert tuple(pairs.read()) == FEW
    assert pairs.description == "small/train"
    with pytest.raises(DataError, match="small/train: has no language 'ko'; it has de, en"):
        open_split("small/train", source="de", target="ko", corpora=None)


def test_many_validation_pairs_that_were_learned_are_told(caplog: pytest.LogCaptureFixture) -> None:
    learned = [(f"w{number}", "y") for number in range(20)]

    def told(held: list[tuple[str, str]], *, is_written: bool = False) -> str:
        caplog.clear()
        validation = Source(lambda: iter(held), repr(held), "held", is_written)
        warn_of_learned({"train": Source(lambda: iter(learned), repr(learned), "learned"), "validation": validation})
        return caplog.text

    others = [(f"x{number}", "y") for number in range(9)]
    assert "data.validation: 25% of the pairs of held are pairs of learned too" in told([*learned[:3], *others])
    assert told([learned[0], *others]) == told(learned[:3], is_written=True) == ""


def test_the_same_data_to_train_and_to_validate_on_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x.tsv", "copy.tsv"):
        (tmp_path / name).write_text("de\ten\na\tone\n")
    splits = [TableSplit(table=str(tmp_path / name)) for name in ("x.tsv", "copy.tsv")]
    data = TranslationData(source="de", target="en", train=splits[0], validation=splits[1])
    find(TranslationRecipe(task="translation", data=data, training=Training(steps=1)), None)
    assert "data.validation: copy.tsv is what data.train holds, so validation scores" in caplog.text
    caplog.clear()
    pairs = PairSplit(pairs=FEW)
    data = TranslationData(source="de", target="en", train=pairs, validation=pairs)
    find(TranslationRecipe(task="translation", data=data, training=Training(steps=1)), None)
    assert caplog.text == ""


def test_identity_follows_content_and_order_and_not_names(tmp_path: Path) -> None:
    first, second, copy = (tmp_path / name for name in ("a", "b", "c"))
    for path, text in ((first, "one"), (second, "two"), (copy, "one")):
        path.write_text(text)
    assert identity_of([first, second]) == identity_of([copy, second])
    assert identity_of([first, second]) != identity_of([second, first])
    assert identity_of([first]) != identity_of([first, first])
    with pytest.raises(DataError, match=r"missing: cannot be read: No such file"):
        identity_of([tmp_path / "missing"])
