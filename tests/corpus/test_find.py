"""Corpora: the shipped manifests, where files are looked for, and splits as plain aligned files."""

import errno
import os
import re
import threading
from pathlib import Path

import pytest

import s2s.corpus.find as corpora
from s2s.corpus.fetch import Download, sha256_of
from s2s.corpus.find import Manifest, load_manifest, split_files
from s2s.errors import CorpusError

HEAD = 'title = "A title"\nlanguages = ["en", "ko"]\nlicence = "CC0-1.0"\ncitation = "Nobody"\n'
ALIGNED = '[splits.train]\nen = "train.en"\nko = "train.ko"\n'
ALIGNED_FILES = ("train.en", "train.ko")
TABLE = '[table]\ncolumns = ["ko", "by", "en"]\n[splits]\ntrain = "train.tsv"\n'
ONE_PIECE = (
    '[table]\ncolumns = ["en", "ko"]\nseparator = "  "\nfile = "all.txt"\nheld_out = { validation = 5, test = 7 }\n'
)


class World:
    """A machine with manifests, corpora and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.manifests, self.files, self.cache = folder / "manifests", folder / "files", folder / "cache"
        self.manifests.mkdir()

    def describe(self, name: str, text: str, files: dict[str, bytes] | None = None, *, present: bool = True) -> None:
        """Write a manifest with these files, and put the files where they are looked for."""
        place = self.files / name
        place.mkdir(parents=True, exist_ok=True)
        for file, content in (files or {}).items():
            (place / file).write_bytes(content)
            facts = {"url": f"https://example.org/{file}", "bytes": len(content), "sha256": sha256_of(place / file)}
            text += f'[files."{file}"]\n' + "".join(f"{key} = {value!r}\n" for key, value in facts.items())
            if not present:
                (place / file).unlink()
        (self.manifests / name).mkdir(exist_ok=True)
        (self.manifests / name / "corpus.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    there = World(tmp_path)
    monkeypatch.setattr(corpora, "shipped", lambda kind: there.manifests)
    monkeypatch.setenv("S2S_CORPORA", str(there.files))
    monkeypatch.setenv("S2S_CACHE", str(there.cache))
    return there


def contents(name_and_split: str) -> dict[str, str]:
    return {language: path.read_text(encoding="utf-8") for language, path in split_files(name_and_split).items()}


def built(world: World) -> list[str]:
    """What lies in the cache of splits, but for the locks."""
    return sorted(path.name for path in (world.cache / "splits").iterdir() if path.suffix != ".lock")


# The shipped manifests


@pytest.mark.parametrize("name", corpora.names())
def test_a_shipped_manifest_loads_and_its_files_on_this_machine_are_right(name: str) -> None:
    manifest = load_manifest(name)
    assert [bool(manifest.shipped), bool(manifest.files), bool(manifest.made)].count(True) == 1
    if manifest.made:
        assert "==" in manifest.made_of
        assert (corpora.manifests_folder() / name / "make.py").is_file()
    for file in manifest.shipped:
        assert (corpora.manifests_folder() / name / file).is_file()
    for file, item in manifest.files.items():
        assert Path(file).name == file
        assert re.match(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/\S+$", item.url), "not pinned"
        assert not (corpora.folder(name) / file).is_file() or item.is_verified(corpora.folder(name) / file)


def test_the_corpora_of_the_recipes_are_shipped_with_their_splits() -> None:
    three = ("train", "validation", "test")
    for name in ("multi30k", "tatoeba-eng-fra", "tatoeba-eng-kor", "tanaka-en-ja"):
        assert load_manifest(name).split_names == three
    assert load_manifest("jhe-ko-en").split_names == ("validation",)
    assert set(three) < set(load_manifest("cmudict-g2p").split_names)
    assert {f"kor-{split}" for split in three} < set(load_manifest("sigmorphon2020-g2p").split_names)


# Reading manifests


def test_a_name_with_a_typo_is_answered_with_the_right_one(world: World) -> None:
    world.describe("multi30k", HEAD)
    world.describe("tanaka-en-ja", HEAD)
    assert corpora.names() == ["multi30k", "tanaka-en-ja"]
    with pytest.raises(CorpusError) as raised:
        load_manifest("mutli30k")
    assert str(raised.value) == (
        "no corpus is named mutli30k; did you mean multi30k? (there are multi30k, tanaka-en-ja)"
    )
    with pytest.raises(CorpusError, match=r"^no corpus is named zzz \(there are multi30k, tanaka-en-ja\)$"):
        load_manifest("zzz")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD + 'author = "me"\n', "author: Extra inputs are not permitted"),
        (HEAD.replace("citation", "#"), "citation: Field required"),
        (HEAD + ALIGNED, "train.en belongs to a split, but is not among the files"),
        (HEAD + ALIGNED.replace("ko =", "fr ="), "splits.train: has en, fr, but languages are en, ko"),
        (HEAD + '[splits]\ntrain = "train.tsv"\n', "splits.train: train.tsv is a table; describe its columns"),
        (HEAD + TABLE.replace('"ko"', '"no"'), "train.tsv belongs to a split"),
        (HEAD + '[table]\ncolumns = ["en", "fr"]\n', "table.columns: en, fr must hold en, ko"),
        (HEAD + '[files.a]\nurl = "ftp://a"\nbytes = -1\nsha256 = "xyz"\n', "files.a.url: String should match"),
        (HEAD + '[files.a]\nurl = "ftp://a"\nbytes = -1\nsha256 = "xyz"\n', "files.a.bytes: Input should be greater"),
        (HEAD + "title\n", "is not readable as TOML"),
    ],
)
def test_a_fault_in_a_manifest_is_named(world: World, text: str, fault: str) -> None:
    world.describe("broken", text)
    with pytest.raises(CorpusError) as raised:
        load_manifest("broken")
    assert fault in str(raised.value)
    assert str(world.manifests / "broken" / "corpus.toml") in str(raised.value)


def test_every_field_is_described() -> None:
    for model in (Manifest, corpora.Table, corpora.Kept, Download):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


# Where files are looked for


def test_the_folder_is_that_of_the_argument_then_the_environment_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("S2S_CORPORA", str(tmp_path / "named"))
    assert corpora.folder("multi30k", tmp_path / "given") == tmp_path / "given" / "multi30k"
    assert corpora.folder("multi30k") == tmp_path / "named" / "multi30k"
    assert corpora.folder("sunspots", tmp_path / "given") == corpora.manifests_folder() / "sunspots"
    monkeypatch.setenv("S2S_CORPORA", "")
    assert corpora.folder("multi30k") == tmp_path / "cache" / "corpora" / "multi30k"
    monkeypatch.delenv("S2S_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "home" / name)
    assert corpora.folder("multi30k") == tmp_path / "home" / "s2s" / "corpora" / "multi30k"


def test_a_missing_corpus_names_the_command_that_gets_it(world: World, tmp_path: Path) -> None:
    world.describe("multi30k", HEAD + ALIGNED, {"train.en": b"a\n", "train.ko": b"b\n"}, present=False)
    with pytest.raises(CorpusError) as raised:
        split_files("multi30k/train")
    assert str(raised.value) == (
        f"corpus multi30k is not on this machine (looked in {world.files / 'multi30k'} for train.en); "
        "get it with: s2s corpora fetch multi30k"
    )
    with pytest.raises(CorpusError, match=f"s2s corpora fetch multi30k --corpora {re.escape(str(tmp_path))}$"):
        split_files("multi30k/train", tmp_path)


@pytest.mark.parametrize("form", [ALIGNED, TABLE.replace("train.tsv", "train.en")])
def test_a_file_of_another_size_is_refused(world: World, form: str) -> None:
    world.describe("small", HEAD + form, {"train.en": b"a\n" * 600, "train.ko": b"b\n" * 600})
    path = world.files / "small" / "train.en"
    path.write_bytes(b"a\n")
    with pytest.raises(CorpusError) as raised:
        split_files("small/train")
    assert f"{path}: has 2 bytes, but the corpus has 1,200; get it again with: s2s corpora fetch" in str(raised.value)


def test_an_unknown_split_lists_those_there_are(world: World) -> None:
    world.describe("pairs", HEAD + ONE_PIECE, {"all.txt": b""})
    with pytest.raises(CorpusError) as raised:
        split_files("pairs/validaton")
    assert str(raised.value) == (
        "corpus pairs has no split 'validaton'; did you mean validation? "
        "(there are pairs/train, pairs/validation, pairs/test)"
    )
    with pytest.raises(CorpusError, match=r"corpus pairs has no split '' \(there are pairs/train"):
        split_files("pairs")
    world.describe("prices", HEAD, {"prices.csv": b"1\n"})
    with pytest.raises(CorpusError, match="there are none"):
        split_files("prices/train")


# Splits as plain aligned files


def test_aligned_files_are_used_in_place(world: World) -> None:
    world.describe("aligned", HEAD + ALIGNED, {"train.en": b"a\n", "train.ko": b"b\n"})
    place = world.files / "aligned"
    assert split_files("aligned/train") == {"en": place / "train.en", "ko": place / "train.ko"}
    assert not world.cache.exists()


def test_a_table_is_laid_out_by_language(world: World) -> None:
    world.describe("table", HEAD + TABLE, {"train.tsv": "가.\tEunhee\tGo.\n 둘 \t\t\n".encode()})
    assert contents("table/train") == {"en": "Go.\n\n", "ko": "가.\n 둘 \n"}


def test_a_table_in_one_piece_is_divided_with_no_sentence_on_two_sides(world: World) -> None:
    rows = [(f"source {number // 2}", f"target {number}") for number in range(60)]
    world.describe("pairs", HEAD + ONE_PIECE, {"all.txt": "".join(f"{en}  {ko}\n" for en, ko in rows).encode()})
    sides = {split: contents(f"pairs/{split}") for split in ("train", "validation", "test")}
    pairs = {
        split: list(zip(texts["en"].splitlines(), texts["ko"].splitlines(), strict=True))
        for split, texts in sides.items()
    }
    assert {split: len(kept) for split, kept in pairs.items()} == {"train": 50, "validation": 4, "test": 6}
    assert sorted(pair for kept in pairs.values() for pair in kept) == sorted(rows)
    sources = [{source for source, _ in kept} for kept in pairs.values()]
    assert sum(len(side) for side in sources) == len(set.union(*sources))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a\tb\tc\na\tb\n", "line 2: expected 3 columns (ko, by, en), found 2"),
        (b"a\tb\tc\td\n", "line 1: expected 3 columns (ko, by, en), found 4"),
        (b"a\tb\tc\n\xff\tb\tc\n", "line 2: not valid UTF-8"),
    ],
)
def test_a_broken_row_is_named_and_nothing_is_left(world: World, content: bytes, fault: str) -> None:
    world.describe("table", HEAD + TABLE, {"train.tsv": content})
    with pytest.raises(CorpusError) as raised:
        split_files("table/train")
    assert f"{world.files / 'table' / 'train.tsv'}, {fault}" in str(raised.value)
    assert built(world) == []


def test_a_split_is_laid_out_once_for_each_content(world: World) -> None:
    world.describe("table", HEAD + TABLE, {"train.tsv": b"a\tb\tc\n"})
    first = split_files("table/train")["en"]
    written = first.stat().st_mtime_ns
    assert split_files("table/train")["en"] == first
    assert first.stat().st_mtime_ns == written
    world.describe("table", HEAD + TABLE, {"train.tsv": b"a\tb\td\n"})
    second = split_files("table/train")["en"]
    assert second != first
    assert (first.read_bytes(), second.read_bytes()) == (b"c\n", b"d\n")
    assert built(world) == sorted([first.parent.name, second.parent.name])
    assert re.fullmatch(r"table-[0-9a-f]{12}", first.parent.name)


def test_builders_at_the_same_time_agree(world: World) -> None:
    rows = b"".join(b"a%d  b%d\n" % (number, number) for number in range(500))
    world.describe("pairs", HEAD + ONE_PIECE, {"all.txt": rows})
    start = threading.Barrier(6)
    results: list[dict[str, str]] = []

    def build() -> None:
        start.wait()
        results.append(contents("pairs/test"))

    threads = [threading.Thread(target=build) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(result == results[0] for result in results)
    assert len(built(world)) == 1


def test_a_full_disk_leaves_no_half_split(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.describe("table", HEAD + TABLE, {"train.tsv": b"a\tb\tc\n"})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CorpusError, match=r"cannot be written: No space left on device; .*S2S_CACHE"):
            split_files("table/train")
    assert built(world) == []
    assert contents("table/train") == {"en": "c\n", "ko": "a\n"}


# Fetching


def test_fetch_downloads_only_what_is_missing_or_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"train.en": b"a\n", "train.ko": b"b\n", "licence": b"free\n"}
    world.describe("aligned", HEAD + ALIGNED, files)
    place = world.files / "aligned"
    (place / "train.ko").write_bytes(b"x\n")
    (place / "licence").unlink()
    downloaded: list[str] = []

    def download(item: Download, destination: Path) -> None:
        downloaded.append(item.url)
        destination.write_bytes(files[destination.name])

    monkeypatch.setattr(corpora, "download", download)
    assert corpora.fetch("aligned") == place
    assert downloaded == ["https://example.org/train.ko", "https://example.org/licence"]
    corpora.fetch("aligned")
    assert len(downloaded) == 2


def test_fetching_what_ships_with_s2s_says_where_it_lies(world: World) -> None:
    world.describe("own", HEAD + 'shipped = ["train.en", "train.ko"]\n' + ALIGNED)
    place = world.manifests / "own"
    assert corpora.fetch("own") == place
    assert split_files("own/train") == {"en": place / "train.en", "ko": place / "train.ko"}


def test_what_is_made_of_a_package_says_how_until_it_is_there(world: World) -> None:
    facts = {"bytes": 2, "sha256": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"}
    made = "".join(
        f'[made."{file}"]\nbytes = {facts["bytes"]}\nsha256 = "{facts["sha256"]}"\n' for file in ALIGNED_FILES
    )
    world.describe("made", HEAD + 'made_of = "package==1"\n' + ALIGNED + made)
    place = world.files / "made"
    how = f"pip install package==1 && python {world.manifests / 'made' / 'make.py'} {place}"
    for action in (lambda: corpora.fetch("made"), lambda: corpora.where("made"), lambda: split_files("made/train")):
        with pytest.raises(CorpusError, match=re.escape(how)):
            action()
    for file in ALIGNED_FILES:
        (place / file).write_bytes(b"a\n")
    assert corpora.fetch("made") == corpora.where("made") == place
    assert split_files("made/train") == {"en": place / "train.en", "ko": place / "train.ko"}
    assert list(corpora.checksums("made")) == list(ALIGNED_FILES)
    (place / "train.en").write_bytes(b"abc\n")
    with pytest.raises(CorpusError, match=r"has 4 bytes, but the corpus has 2; get it again with: pip install"):
        split_files("made/train")


def test_checksums_are_those_of_the_files_that_are_there(world: World) -> None:
    world.describe("aligned", HEAD + ALIGNED, {"train.en": b"a\n", "train.ko": b"b\n"})
    (world.files / "aligned" / "train.ko").unlink()
    assert corpora.checksums("aligned") == {"train.en": sha256_of(world.files / "aligned" / "train.en")}
    world.describe("own", HEAD + 'shipped = ["train.en"]\n')
    (world.manifests / "own" / "train.en").write_bytes(b"a\n")
    assert corpora.checksums("own") == {"train.en": sha256_of(world.manifests / "own" / "train.en")}


def test_a_cache_that_cannot_be_written_is_done_without(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.describe("table", HEAD + TABLE, {"train.tsv": b"a\tb\tc\n"})
    (world.files / "in-the-way").write_text("")
    monkeypatch.setenv("S2S_CACHE", str(world.files / "in-the-way"))
    assert contents("table/train") == {"en": "c\n", "ko": "a\n"}
    assert "in-the-way: the cache cannot be written (Not a directory)" in caplog.text
