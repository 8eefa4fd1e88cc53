"""Encoded pairs: what is kept, what is cached, what a damaged or contested cache does."""

import errno
import io
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import s2s.cache
import s2s.files
from s2s.corpus.sources import Source
from s2s.errors import DataError
from s2s.text import encoded as cache
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import CharacterTokenizer, WordTokenizer
from s2s.translation.encoded import EncodedPairs, encode_pairs
from s2s.translation.recipe import Decoding

WORDS = WordTokenizer([f"w{number}" for number in range(50)])
PAIRS = [(" ".join(f"w{i % 50}" for i in range(n)), " ".join(f"w{i % 7}" for i in range(n + 1))) for n in range(1, 30)]


class Counted:
    """Pairs that count how often they are read."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self.reads = 0

    def __call__(self) -> Iterator[tuple[str, str]]:
        self.reads += 1
        return iter(self.pairs)


def encode(
    pairs: Counted,
    cache: Path,
    *,
    identity: str = "some pairs",
    tokenizer: Tokenizer = WORDS,
    max_tokens: int = 100,
    max_length_ratio: float = 9.0,
) -> EncodedPairs:
    source = Source(pairs, identity, "phrases/train")
    return encode_pairs(
        source, tokenizer, tokenizer, max_tokens=max_tokens, max_length_ratio=max_length_ratio, cache=cache
    )


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "encoded").iterdir() if path.suffix != ".lock")


def test_pairs_come_back_as_their_tokens_in_order(tmp_path: Path) -> None:
    encoded = encode(Counted(PAIRS), tmp_path)
    assert len(encoded) == len(PAIRS)
    for index, (source, target) in enumerate(PAIRS):
        assert encoded.source[index].tolist() == WORDS.encode(source)
        assert encoded.target[index].tolist() == WORDS.encode(target)
    assert encoded.source.lengths.tolist() == [len(source.split()) for source, _ in PAIRS]
    assert encoded.target.lengths.tolist() == [len(target.split()) for _, target in PAIRS]
    assert encoded.source.lengths.dtype == np.int32
    assert encoded.dropped == {}
    for index in (-1, len(PAIRS)):
        with pytest.raises(IndexError):
            encoded.source[index]


def test_more_sentences_than_the_buffer_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_BUFFERED_SEQUENCES", 4)
    encoded = encode(Counted(PAIRS), tmp_path)
    assert [encoded.target[index].tolist() for index in range(len(PAIRS))] == [WORDS.encode(t) for _, t in PAIRS]


def test_filters_count_each_dropped_pair_once_and_by_its_reason(tmp_path: Path) -> None:
    pairs = [("", "w1"), ("w1", "  "), ("w1", "w1 " * 11), ("w1 " * 11, "w1"), ("w1", "w1 " * 7), ("w1", "w1 " * 8)]
    encoded = encode(Counted(pairs), tmp_path, max_tokens=10, max_length_ratio=2.0)
    assert encoded.dropped == {"empty side": 2, "longer than 10 tokens": 2, "length ratio above 2": 1}
    assert [encoded.target[index].size for index in range(len(encoded))] == [7]
    assert encode(Counted(pairs), tmp_path, max_tokens=10, max_length_ratio=2.0).dropped == encoded.dropped


def test_a_second_call_reads_nothing_and_another_key_reads_again(tmp_path: Path) -> None:
    pairs = Counted(PAIRS)
    first = encode(pairs, tmp_path)
    again = encode(pairs, tmp_path)
    assert pairs.reads == 1
    assert again.source[3].tolist() == first.source[3].tolist()
    encode(pairs, tmp_path, identity="other pairs")
    encode(pairs, tmp_path, tokenizer=CharacterTokenizer(list("w0123456789 ")), max_tokens=1000)
    encode(pairs, tmp_path, max_tokens=99)
    encode(pairs, tmp_path, max_length_ratio=8.0)
    assert pairs.reads == 5
    assert len(names(tmp_path)) == 5


@pytest.mark.parametrize(("vocabulary", "size"), [(2**16 - 4, 2), (2**16 - 3, 4)])
def test_tokens_take_two_bytes_while_the_vocabulary_allows(vocabulary: int, size: int, tmp_path: Path) -> None:
    tokenizer = WordTokenizer([f"w{number}" for number in range(vocabulary)])
    encoded = encode(Counted([(f"w{vocabulary - 1}", "w0")]), tmp_path, tokenizer=tokenizer)
    assert encoded.source[0].tolist() == [vocabulary + 3]
    assert encoded.source[0].itemsize == size


def test_sentences_are_mapped_and_read_only(tmp_path: Path) -> None:
    sentence = encode(Counted(PAIRS), tmp_path).source[5]
    assert not sentence.flags.writeable
    assert not sentence.flags.owndata


@pytest.mark.parametrize("name", ["source.tokens", "target.offsets", "source.lengths", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_built_again(name: str, damage: str, tmp_path: Path) -> None:
    pairs = Counted(PAIRS)
    encode(pairs, tmp_path)
    (folder,) = names(tmp_path)
    path = tmp_path / "encoded" / folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    encoded = encode(pairs, tmp_path)
    assert pairs.reads == 2
    assert [encoded.source[index].tolist() for index in range(len(PAIRS))] == [WORDS.encode(s) for s, _ in PAIRS]
    assert names(tmp_path) == [folder]


@pytest.mark.parametrize("name", ["meta.json", "target.tokens"])
def test_a_cache_that_cannot_be_read_is_said_and_left_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(Counted(PAIRS), tmp_path)
    (folder,) = names(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "encoded" / folder).iterdir()}
    opened = io.open

    def refuse(path: object, *arguments: object, **options: object) -> object:
        if isinstance(path, Path) and path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", refuse)
        with pytest.raises(DataError, match=rf"is there and cannot be read \(.*{name}: Permission denied\); ask its"):
            encode(Counted(PAIRS), tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "encoded" / folder).iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="needs modes")
def test_others_may_read_the_cache_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        encode(Counted(PAIRS), tmp_path)
    finally:
        os.umask(before)
    (folder,) = names(tmp_path)
    assert stat.S_IMODE((tmp_path / "encoded" / folder).stat().st_mode) == 0o755


def test_builders_at_the_same_time_share_one_result(tmp_path: Path) -> None:
    barrier = threading.Barrier(4, timeout=30)
    results: list[EncodedPairs] = []
    reads = 0

    def pairs() -> Iterator[tuple[str, str]]:
        nonlocal reads
        reads += 1
        yield from PAIRS

    def build() -> None:
        barrier.wait()
        source = Source(pairs, "the same", "same")
        results.append(encode_pairs(source, WORDS, WORDS, max_tokens=100, max_length_ratio=9, cache=tmp_path))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [encoded.source[28].tolist() for encoded in results] == [WORDS.encode(PAIRS[28][0])] * 4
    assert len(names(tmp_path)) == reads == 1


def test_a_failure_while_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, str]]:
        yield PAIRS[0]
        raise DataError("train.de: line 2 is not UTF-8")

    source = Source(broken, "broken", "broken")
    with pytest.raises(DataError, match="line 2 is not UTF-8"):
        encode_pairs(source, WORDS, WORDS, max_tokens=9, max_length_ratio=9, cache=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("pair", [(1, 14), (7, 52), (3, 3), (20, 21), (6, 38), (29, 261)])
def test_the_longest_output_holds_each_target_that_was_kept(tmp_path: Path, pair: tuple[int, int]) -> None:
    source, target = ("w1 " * length for length in pair)
    ratio = encode(Counted([("w1", "w1"), (source, target)]), tmp_path, max_tokens=1000).longest_ratio
    decoding = Decoding().settled(ratio)
    assert decoding.longest_output(pair[0] + 1) >= pair[1] + 1
    if ratio > 2:
        assert decoding.longest_output(pair[0] + 1) <= pair[1] + 2
    assert Decoding(max_length_ratio=1.5).settled(ratio).max_length_ratio == 1.5
    assert Decoding(min_length_ratio=50).settled(ratio).max_length_ratio == 50


def test_lines_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    pairs = [("w1", "w2"), ("", "w1"), ("w3 é", "w4  漢")]
    source = Source(Counted(pairs), "some", "some")
    kept = encode_pairs(source, WORDS, WORDS, max_tokens=9, max_length_ratio=9, cache=tmp_path, keep_text=True)
    assert kept.texts is not None
    lines = [[side[row].tobytes().decode() for row in range(len(kept))] for side in kept.texts]
    assert lines == [["w1", "w3 é"], ["w2", "w4  漢"]]
    assert encode(Counted(pairs), tmp_path).texts is None


def test_nothing_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"phrases/train: none of 2 pairs is left \(2 longer than 3 tokens\)"):
        encode(Counted([("w1 " * 5, "w1"), ("w1", "w1 " * 4)]), tmp_path, max_tokens=3)
    with pytest.raises(DataError, match="phrases/train: there are no pairs"):
        encode(Counted([]), tmp_path)
    assert names(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    found = encode(Counted(PAIRS), tmp_path / "file")
    kept = encode(Counted(PAIRS), tmp_path / "folder")
    assert [row.tolist() for row in found.source] == [row.tolist() for row in kept.source]
    assert "file: the cache cannot be written (Not a directory), so what belongs there is made for" in caplog.text


def test_where_nothing_can_be_written_the_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(s2s.cache, "temporary_folder", lambda: tmp_path / "file" / "temporary")
    with pytest.raises(
        DataError,
        match=r"phrases/train: .* cannot be kept in .*/file/encoded: Not a directory; name another folder in S2S_CACHE",
    ):
        encode(Counted(PAIRS), tmp_path / "file")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device; free some space"):
        encode(Counted(PAIRS), tmp_path)
    assert names(tmp_path) == []


def test_an_encoding_that_was_stopped_goes_on_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s.translation.encoded._BLOCK", 4)
    monkeypatch.setattr("s2s.translation.encoded._SAVED", 8)
    stop, encoded = [21], list[str]()

    def read() -> Iterator[tuple[str, str]]:
        for number, pair in enumerate([("", "w1"), *PAIRS]):
            if number in stop:
                raise KeyboardInterrupt
            yield pair

    class Counting(WordTokenizer):
        def encode_all(self, lines: Sequence[str]) -> list[list[int]]:
            encoded.extend(lines)
            return super().encode_all(lines)

    tokenizer = Counting([f"w{number}" for number in range(50)])

    def encode(cache: Path) -> EncodedPairs:
        pairs = Source(read, "identity", "pairs")
        return encode_pairs(pairs, tokenizer, WORDS, max_tokens=20, max_length_ratio=9, cache=cache, keep_text=True)

    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path / "stopped")
    (left,) = (tmp_path / "stopped/encoded").glob(".*.tmp")
    with (left / "source.tokens").open("ab") as file:
        file.write(b"half of a block")
    s2s.files.remove_unfinished()
    stop.clear()
    encoded.clear()
    encode(tmp_path / "other")
    assert len(encoded) == 30
    encoded.clear()
    encode(tmp_path / "stopped")
    assert len(encoded) == 30 - 16, "what was saved was encoded again"
    folders = [
        next(path for path in (tmp_path / name / "encoded").iterdir() if path.is_dir()) for name in ("other", "stopped")
    ]
    assert not left.exists()
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()
