"""Find and fetch corpora, and lay their splits out as plain text files aligned by line."""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2s.corpus.fetch import Download, download, sha256_of
from s2s.corpus.split import hold_out
from s2s.errors import CorpusError
from s2s.files import building, shipped

LAYOUT_VERSION = 1
"""Raised whenever the same inputs would be laid out differently, so that no old layout is taken for a new one."""


class Table(BaseModel):
    """How the lines of a corpus's tables divide into columns, and, for a table in one piece, what is held out of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = Field(
        min_length=2, description="Names of all columns, in order, the languages among them."
    )
    separator: str = Field(default="\t", min_length=1, description="What stands between two columns.")
    file: str | None = Field(default=None, description="The one file to split into train and held_out.")
    held_out: dict[str, int] = Field(default={}, description="Splits held out of that file: pairs in each.")


class Manifest(BaseModel):
    """What `corpora/<name>/corpus.toml` says of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1, description="What the corpus is, in one line.")
    languages: tuple[str, ...] = Field(
        description="Names of the sides of its pairs: language codes, or words like phones."
    )
    licence: str = Field(min_length=1, description="The licence, or honestly what is known of it.")
    citation: str = Field(min_length=1, description="Whom to cite or attribute.")
    note: str = Field(default="", description="What a user of the corpus has to know besides.")
    files: dict[str, Download] = Field(default={}, description="The files to fetch, by the name each is kept under.")
    table: Table | None = Field(default=None, description="The form of the files that are tables.")
    splits: dict[str, str | dict[str, str]] = Field(
        default={}, description="Each split: its files by language, or the name of a table."
    )
    shipped: tuple[str, ...] = Field(default=(), description="Files that lie beside the manifest and come with s2s.")

    @property
    def split_names(self) -> tuple[str, ...]:
        """Every split there is, those held out of a table in one piece included."""
        held_out = ("train", *self.table.held_out) if self.table and self.table.file else ()
        return (*self.splits, *held_out)

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        for split, content in self.splits.items():
            if isinstance(content, str) and self.table is None:
                raise ValueError(f"splits.{split}: {content} is a table; describe its columns under [table]")
            if isinstance(content, dict) and not set(content) <= set(self.languages):
                raise ValueError(
                    f"splits.{split}: has {', '.join(content)}, but languages are {', '.join(self.languages)}"
                )
        for file in self._files_of_splits():
            if file not in self.files and file not in self.shipped:
                raise ValueError(f"{file} belongs to a split, but is not among the files")
        if self.table and not set(self.languages) <= set(self.table.columns):
            raise ValueError(f"table.columns: {', '.join(self.table.columns)} must hold {', '.join(self.languages)}")
        if self.table and self.table.file and len(self.languages) != 2:
            raise ValueError("table.file: only a table of two languages can be split")
        return self

    def _files_of_splits(self) -> Iterator[str]:
        if self.table and self.table.file:
            yield self.table.file
        for content in self.splits.values():
            if isinstance(content, dict):
                yield from content.values()
            elif isinstance(content, str):
                yield content


def manifests_folder() -> Path:
    """The folder that holds one folder with a `corpus.toml` for each corpus."""
    return shipped("corpora")


def names() -> list[str]:
    """The corpora that s2s knows, in alphabetical order."""
    return sorted(path.parent.name for path in manifests_folder().glob("*/corpus.toml"))


def load_manifest(name: str) -> Manifest:
    """The manifest of a corpus; CorpusError if there is none of that name, or if it breaks a rule."""
    known = names()
    if name not in known:
        raise CorpusError(f"no corpus is named {name}{_did_you_mean(name, known)}; there are: {', '.join(known)}")
    path = manifests_folder() / name / "corpus.toml"
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(map(str, fault['loc'])) or 'corpus'}: {fault['msg']}" for fault in error.errors()
        )
        raise CorpusError(f"{path} breaks these rules:\n{faults}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise CorpusError(f"{path} is not readable as TOML: {error}") from None


def cache_root() -> Path:
    """Where s2s keeps what it can make or fetch again: `S2S_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("S2S_CACHE") or platformdirs.user_cache_path("s2s")).expanduser()


def folder(name: str, root: Path | None = None) -> Path:
    """Where the files of a corpus are looked for: in root, else in `S2S_CORPORA`, else in the user's cache.

    Those of a corpus that ships with s2s lie beside its manifest. Raises CorpusError as load_manifest does.
    """
    if load_manifest(name).shipped:
        return manifests_folder() / name
    return Path(root or os.environ.get("S2S_CORPORA") or cache_root() / "corpora").expanduser() / name


def fetch(name: str, root: Path | None = None) -> Path:
    """Download what is missing or wrong of a corpus, and return the folder that holds it, verified.

    Files that are complete are verified and kept. Raises CorpusError as download does.
    """
    place = folder(name, root)
    for file, item in load_manifest(name).files.items():
        if not item.is_verified(place / file):
            download(item, place / file)
    return place


def split_files(name_and_split: str, root: Path | None = None) -> dict[str, Path]:
    """The plain text file of each language of a split such as `multi30k/train`, aligned by line.

    A split that is a table, or part of one, is first laid out as plain files in the cache, once per content.
    Raises CorpusError for an unknown corpus or split, and for files that are not on this machine or not of their size.
    """
    name, _, split = name_and_split.partition("/")
    manifest = load_manifest(name)
    there = manifest.split_names
    if not split or split not in there:
        fault = f"corpus {name} has no split {split!r}{_did_you_mean(split, there)}"
        listed = ", ".join(f"{name}/{known}" for known in there) or "none: its files are for other tasks"
        raise CorpusError(f"{fault}; there are: {listed}")
    content = manifest.splits.get(split)
    if isinstance(content, dict):
        return {language: _present(name, manifest, file, root) for language, file in content.items()}
    laid_out = _laid_out(name, manifest, split, root)
    return {language: laid_out / f"{split}.{language}" for language in manifest.languages}


def checksums(name: str, root: Path | None = None) -> dict[str, str]:
    """SHA-256 of each file of a corpus that is on this machine, by file name."""
    manifest, place = load_manifest(name), folder(name, root)
    files = (*manifest.files, *manifest.shipped)
    return {file: sha256_of(place / file) for file in files if (place / file).is_file()}


def _present(name: str, manifest: Manifest, file: str, root: Path | None) -> Path:
    """The path of a fetched file, which must have the size that the manifest says, or of one that comes with s2s."""
    path = folder(name, root) / file
    if file in manifest.shipped:
        return path
    get_it = f"s2s corpora fetch {name}" + (f" --corpora {root}" if root else "")
    if not path.is_file():
        raise CorpusError(
            f"corpus {name} is not on this machine (looked in {path.parent} for {file}); get it with: {get_it}"
        )
    found, expected = path.stat().st_size, manifest.files[file].bytes
    if found != expected:
        raise CorpusError(f"{path}: has {found:,} bytes, but the corpus has {expected:,}; get it again with: {get_it}")
    return path


def _laid_out(name: str, manifest: Manifest, split: str, root: Path | None) -> Path:
    """The cache folder with the `<split>.<language>` files of that split and those made with it, built if need be."""
    assert manifest.table is not None
    file = manifest.splits.get(split, manifest.table.file)
    assert isinstance(file, str)
    path = _present(name, manifest, file, root)
    key = f"{LAYOUT_VERSION}\n{manifest.model_dump_json()}\n{file} {sha256_of(path)}\n"
    place = cache_root() / "splits" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    try:
        with building(place) as build:
            if build is not None:
                for made, rows in _rows(path, manifest, split).items():
                    for column, language in enumerate(manifest.languages):
                        text = "".join(f"{row[column]}\n" for row in rows)
                        (build / f"{made}.{language}").write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CorpusError(
            f"{place}: cannot be written: {error.strerror or error}; S2S_CACHE names another folder"
        ) from error
    return place


def _rows(path: Path, manifest: Manifest, split: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    assert manifest.table is not None
    rows = list(_table_rows(path, manifest.table, manifest.languages))
    if split in manifest.splits:
        return {split: rows}
    return hold_out([(source, target) for source, target in rows], manifest.table.held_out)


def _table_rows(path: Path, table: Table, languages: Sequence[str]) -> Iterator[tuple[str, ...]]:
    chosen = [table.columns.index(language) for language in languages]
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                cells = line.removesuffix(b"\n").decode("utf-8").split(table.separator)
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{path}, line {number:,}: not valid UTF-8 ({error.reason}); fetch the corpus again"
                ) from None
            if len(cells) != len(table.columns):
                expected = f"{len(table.columns)} columns ({', '.join(table.columns)})"
                raise CorpusError(
                    f"{path}, line {number:,}: expected {expected}, found {len(cells)}; fetch the corpus again"
                )
            yield tuple(cells[column] for column in chosen)


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
