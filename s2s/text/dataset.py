"""Sentence pairs as memory-mapped token ids, encoded once and kept in a cache.

A cache folder holds, for each side, `tokens` (ids one after another), `offsets` (int64, where each sentence begins,
and the end) and `lengths` (int32), and `meta.json`, which says how large each file must be.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from tqdm import tqdm

from s2s.errors import DataError
from s2s.text.tokenizer import Tokenizer

Pairs = Callable[[], Iterator[tuple[str, str]]]

_FORMAT = 1
_SIDES = ("source", "target")
_PARTS = ("tokens", "offsets", "lengths")
_BUFFERED_SENTENCES = 8192  # some MB


class EncodedPairs:
    """Sentence pairs as token ids without special ids, mapped from files and not held in memory."""

    source_lengths: NDArray[np.int32]
    """(N,) tokens of each source."""
    target_lengths: NDArray[np.int32]
    """(N,) tokens of each target."""
    dropped: dict[str, int]
    """How many pairs were left out, by reason."""

    def __init__(self, folder: Path) -> None:
        """Maps the files of a folder; ValueError when one is missing or is not as large as it was."""
        try:
            meta = json.loads((folder / "meta.json").read_bytes())
            sizes = {name: (folder / name).stat().st_size for name in meta["bytes"]}
            if sizes != meta["bytes"]:
                raise ValueError(f"{folder}: files have {sizes} bytes, not {meta['bytes']}")
            self.dropped = dict(meta["dropped"])
            self._tokens = [_mapped(folder / f"{side}.tokens", meta["types"][side]) for side in _SIDES]
            self._offsets = [_mapped(folder / f"{side}.offsets", "int64") for side in _SIDES]
            self.source_lengths, self.target_lengths = (_mapped(folder / f"{side}.lengths", "int32") for side in _SIDES)
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{folder}: {error}") from error

    def __len__(self) -> int:
        """N, the pairs."""
        return len(self.source_lengths)

    def source(self, index: int) -> NDArray[np.integer]:
        """(S,) token ids of a source; read-only."""
        return self._sentence(0, index)

    def target(self, index: int) -> NDArray[np.integer]:
        """(T,) token ids of a target; read-only."""
        return self._sentence(1, index)

    def _sentence(self, side: int, index: int) -> NDArray[np.integer]:
        offsets = self._offsets[side]
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        sentence: NDArray[np.integer] = self._tokens[side][offsets[index] : offsets[index + 1]]
        return sentence


def encode_pairs(
    pairs: Pairs,
    identity: str,
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_tokens: int,
    max_length_ratio: float,
    cache: Path,
    description: str,
) -> EncodedPairs:
    """Token ids of the pairs that pass the filters, from the cache or else encoded into it.

    `identity` stands for the content of `pairs`: it, the tokenizers and the filters are the key. Dropped are pairs
    with an empty side, with a side of more than `max_tokens`, and those whose longer side has more than
    `max_length_ratio` times the tokens of the shorter plus 5. DataError when none are left, or the cache cannot be
    written.
    """
    key = _key(identity, source_tokenizer, target_tokenizer, max_tokens, max_length_ratio)
    folder = cache / "encoded" / key
    found = _opened(folder)
    if found is not None:
        return found
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(os.getpid()), dir=folder.parent))
        keep = _Filter(max_tokens, max_length_ratio)
        _write(temporary, pairs, source_tokenizer, target_tokenizer, keep, description)
        _install(temporary, folder)
    except OSError as error:
        raise DataError(
            f"{description}: the encoded pairs cannot be kept in {folder.parent}: {error.strerror or error};"
            " free some space, or name another folder in S2S_CACHE"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return EncodedPairs(folder)


def identity_of(paths: Sequence[Path]) -> str:
    """SHA-256 over the contents of files, in their order; DataError names one that cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where s2s keeps what it can make again: the environment's S2S_CACHE, else the user's cache."""
    named = os.environ.get("S2S_CACHE")
    return Path(named) if named else user_cache_path("s2s")


class _Filter:
    """Decides which pairs are kept, and counts the others by reason."""

    def __init__(self, max_tokens: int, max_length_ratio: float) -> None:
        self.dropped: Counter[str] = Counter()
        self._max_tokens = max_tokens
        self._max_length_ratio = max_length_ratio

    def passes(self, source_length: int, target_length: int) -> bool:
        """Whether a pair of these lengths, in tokens, is kept."""
        shorter, longer = sorted((source_length, target_length))
        if shorter == 0:
            reason = "empty side"
        elif longer > self._max_tokens:
            reason = f"longer than {self._max_tokens:,} tokens"
        elif longer > self._max_length_ratio * shorter + 5:
            reason = f"length ratio above {self._max_length_ratio:g}"
        else:
            return True
        self.dropped[reason] += 1
        return False


class _SideWriter:
    """Appends sentences to the three files of a side, through a buffer."""

    def __init__(self, folder: Path, side: str, token_type: str, stack: ExitStack) -> None:
        """Opens the files; `stack` closes them."""
        self._type = token_type
        self._files = [stack.enter_context((folder / f"{side}.{part}").open("wb")) for part in _PARTS]
        self._end = 0
        self._tokens: list[int] = []
        self._lengths: list[int] = []
        self._files[1].write(np.zeros(1, np.int64).tobytes())

    def append(self, tokens: Sequence[int]) -> None:
        """Takes one sentence."""
        self._tokens.extend(tokens)
        self._lengths.append(len(tokens))
        if len(self._lengths) == _BUFFERED_SENTENCES:
            self._write()

    def finish(self) -> None:
        """Writes what is left, down to the disk."""
        self._write()
        for file in self._files:
            _sync(file)

    def _write(self) -> None:
        lengths = np.asarray(self._lengths, np.int32)
        ends = self._end + np.cumsum(lengths, dtype=np.int64)
        for file, part in zip(self._files, (np.asarray(self._tokens, self._type), ends, lengths), strict=True):
            file.write(part.tobytes())
        self._end += len(self._tokens)
        self._tokens.clear()
        self._lengths.clear()


def _write(folder: Path, pairs: Pairs, source: Tokenizer, target: Tokenizer, keep: _Filter, description: str) -> None:
    """Encodes the pairs that `keep` lets through into the files of a folder."""
    types = {side: _token_type(tokenizer) for side, tokenizer in zip(_SIDES, (source, target), strict=True)}
    read = kept = 0
    with ExitStack() as stack:
        sources, targets = (_SideWriter(folder, side, types[side], stack) for side in _SIDES)
        for source_line, target_line in tqdm(pairs(), desc=description, unit=" pairs", disable=None, leave=False):
            read += 1
            source_tokens, target_tokens = source.encode(source_line), target.encode(target_line)
            if keep.passes(len(source_tokens), len(target_tokens)):
                kept += 1
                sources.append(source_tokens)
                targets.append(target_tokens)
        sources.finish()
        targets.finish()
    if not kept:
        raise DataError(_nothing_left(description, read, keep.dropped))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    meta = {"description": description, "types": types, "dropped": dict(keep.dropped), "bytes": sizes}
    with (folder / "meta.json").open("wb") as file:
        file.write((json.dumps(meta, indent=1) + "\n").encode())
        _sync(file)


def _nothing_left(description: str, read: int, dropped: Counter[str]) -> str:
    if not read:
        return f"{description}: there are no pairs; check the files that the recipe names"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return (
        f"{description}: none of {read:,} pairs is left ({reasons}); check the files, or raise data.max_tokens or"
        " data.max_length_ratio"
    )


def _install(temporary: Path, folder: Path) -> None:
    """Renames a finished folder into place, unless another process was first; what is damaged there makes way."""
    _sync_folder(temporary)
    try:
        temporary.rename(folder)
    except OSError:
        if _opened(folder) is not None:
            return
        if not folder.exists():
            raise
        damaged = temporary.with_name(temporary.name + ".damaged")
        folder.rename(damaged)
        temporary.rename(folder)
        shutil.rmtree(damaged, ignore_errors=True)
    _sync_folder(folder.parent)


def _opened(folder: Path) -> EncodedPairs | None:
    try:
        return EncodedPairs(folder)
    except ValueError:
        return None


def _key(identity: str, source: Tokenizer, target: Tokenizer, max_tokens: int, max_length_ratio: float) -> str:
    parts = [_FORMAT, identity, source.fingerprint, target.fingerprint, max_tokens, float(max_length_ratio)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _token_type(tokenizer: Tokenizer) -> str:
    return "uint16" if tokenizer.vocabulary_size <= 2**16 else "int32"


def _mapped(path: Path, token_type: str) -> NDArray[Any]:
    return np.memmap(path, dtype=token_type, mode="r").view(np.ndarray)


def _temporary_prefix(process: int) -> str:
    return f".partial-{platform.node()}-{process}-"


def _remove_stale(parent: Path) -> None:
    """Removes what builders of this machine left behind that no longer run."""
    for folder in parent.glob(f".partial-{platform.node()}-*"):
        process = folder.name.removeprefix(f".partial-{platform.node()}-").partition("-")[0]
        if process.isdigit() and not _runs(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
