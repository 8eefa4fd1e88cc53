"""Each form in which a recipe names its pairs leads to those pairs, and an identity that changes with them."""

from pathlib import Path

import pytest

from s2s.corpus.find import SplitFiles
from s2s.errors import CorpusError, DataError
from s2s.translation import splits
from s2s.translation.recipe import FileSplit, PairSplit, TableSplit, TranslationData
from s2s.translation.splits import open_split, open_splits

PAIRS = (("a b", "one two"), ("c", "three"))


def test_files_tables_and_pairs_give_the_same_pairs(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_text("a b\nc\n")
    (tmp_path / "x.en").write_text("one two\nthree\n")
    (tmp_path / "x.tsv").write_text("en\tid\tde\none two\t1\ta b\nthree\t2\tc\n")
    (tmp_path / "bare.tsv").write_text("a b\tone two\nc\tthree\n")
    table = str(tmp_path / "x.tsv")
    forms = [
        PairSplit(pairs=PAIRS),
        FileSplit(source=str(tmp_path / "x.de"), target=str(tmp_path / "x.en")),
        TableSplit(table=table),
        TableSplit(table=table, source_column="de", target_column="en"),
        TableSplit(table=str(tmp_path / "bare.tsv"), columns=("de", "en")),
    ]
    for split in forms:
        pairs = open_split(split, source="de", target="en", corpora=None)
        assert tuple(pairs.read()) == PAIRS
        assert tuple(pairs.read()) == PAIRS, "a split can be read again"


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
    good = PairSplit(pairs=PAIRS)
    missing = FileSplit(source=str(tmp_path / "x"), target=str(tmp_path / "y"))
    data = TranslationData(source="de", target="en", train=good, validation=missing, test=None)
    with pytest.raises(DataError, match=r"data\.validation: .*x: cannot be read"):
        open_splits(data, None)
    with pytest.raises(CorpusError, match=r"data\.test: no corpus is named multi30 \(did you mean multi30k\?\)"):
        open_splits(data.model_copy(update={"validation": good, "test": "multi30/test"}), None)
    assert open_splits(data.model_copy(update={"validation": good}), None).test is None


def test_a_corpus_is_read_by_its_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"de": tmp_path / "train.de", "en": tmp_path / "train.en"}
    files["de"].write_text("a b\nc\n")
    files["en"].write_text("one two\nthree\n")
    monkeypatch.setattr(splits, "split_files", lambda name, corpora: SplitFiles(files))
    pairs = open_split("small/train", source="de", target="en", corpora=None)
    assert tuple(pairs.read()) == PAIRS
    assert pairs.description == "small/train"
    with pytest.raises(DataError, match="small/train: has no language 'ko'; it has de, en"):
        open_split("small/train", source="de", target="ko", corpora=None)
