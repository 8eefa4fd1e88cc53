"""Corpora, found: their manifests, their files on this machine, and their splits as plain files."""

import hashlib
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2s.cache import cache_root, hold, in_cache
from s2s.corpus.fetch import Download, Kept, download, sha256_of
from s2s.corpus.split import hold_out
from s2s.errors import CorpusError
from s2s.files import building, shipped
from s2s.recipe.messages import did_you_mean

LAYOUT_VERSION = 1
"""To be raised when the same inputs are laid out differently, so that no old layout is taken for a new one."""


class Table(BaseModel):
    """Columns of a corpus's tables and, for a table in one piece, the splits held out of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = Field(min_length=2, description="Names of all columns in order, languages among them.")
    separator: str = Field(default="\t", min_length=1, description="Text between two columns.")
    file: str | None = Field(default=None, description="The one file to split into train and held_out.")
    held_out: dict[str, int] = Field(default={}, description="Splits held out of that file: pairs in each.")


class Manifest(BaseModel):
    """Content of `corpora/<name>/corpus.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1, description="One line on the corpus.")
    languages: tuple[str, ...] = Field(description="Names of the sides of its pairs: codes, or words like phones.")
    licence: str = Field(min_length=1, description="The licence, or all that is known of it.")
    citation: str = Field(min_length=1, description="Whom to cite or attribute.")
    note: str = Field(default="", description="Anything else that a user of the corpus has to know.")
    files: dict[str, Download] = Field(default={}, description="The files to fetch, by the name each is kept under.")
    made: dict[str, Kept] = Field(default={}, description="Files that make.py beside the manifest writes to a folder.")
    made_of: str = Field(default="", description="Package that it makes them of, as pip takes it.")
    table: Table | None = Field(default=None, description="The form of the files that are tables.")
    splits: dict[str, str | dict[str, str]] = Field(
        default={}, description="Each split: its files by language, or the name of a table."
    )
    shipped: tuple[str, ...] = Field(default=(), description="Files that lie beside the manifest and come with s2s.")

    @property
    def split_names(self) -> tuple[str, ...]:
        """All splits, those held out of a table in one piece included."""
        held_out = ("train", *self.table.held_out) if self.table and self.table.file else ()
        return (*self.splits, *held_out)

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        languages = ", ".join(self.languages)
        files = [self.table.file] if self.table and self.table.file else []
        for split, content in self.splits.items():
            if isinstance(content, str) and self.table is None:
                raise ValueError(f"splits.{split}: {content} is a table; describe its columns under [table]")
            if isinstance(content, dict) and not set(content) <= set(self.languages):
                raise ValueError(f"splits.{split}: has {', '.join(content)}, but languages are {languages}")
            files += [content] if isinstance(content, str) else content.values()
        for file in files:
            if file not in {*self.files, *self.made, *self.shipped}:
                raise ValueError(f"{file} belongs to a split, but is not among the files")
        if self.table and not set(self.languages) <= set(self.table.columns):
            raise ValueError(f"table.columns: {', '.join(self.table.columns)} must hold {languages}")
        if self.table and self.table.file and len(self.languages) != 2:
            raise ValueError("table.file: only a table of two languages can be split")
        return self


def manifests_folder() -> Path:
    """Folder with a folder for each corpus, which has its `corpus.toml`."""
    return shipped("corpora")


def names() -> list[str]:
    """Names of the corpora that s2s knows, sorted."""
    return sorted(path.parent.name for path in manifests_folder().glob("*/corpus.toml"))


def load_manifest(name: str) -> Manifest:
    """Manifest of a corpus; CorpusError if there is none of that name, or if it breaks a rule."""
    known = names()
    if name not in known:
        raise CorpusError(f"no corpus is named {name}{did_you_mean(name, known)} (there are {', '.join(known)})")
    path = manifests_folder() / name / "corpus.toml"
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = (f"\n  {'.'.join(map(str, fault['loc'])) or 'corpus'}: {fault['msg']}" for fault in error.errors())
        raise CorpusError(f"{path} breaks these rules:{''.join(faults)}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise CorpusError(f"{path} is not readable as TOML: {error}") from None


def folder(name: str, root: Path | None = None) -> Path:
    """Folder of the files of a corpus: in root, else in `S2S_CORPORA`, else in the user's cache.

    Those of a corpus that ships with s2s are beside its manifest. Raises CorpusError as load_manifest does.
    """
    if load_manifest(name).shipped:
        return manifests_folder() / name
    return Path(root or os.environ.get("S2S_CORPORA") or cache_root() / "corpora").expanduser() / name


def where(name: str, root: Path | None = None) -> Path:
    """Folder of a corpus that is on this machine, whole; CorpusError, which says how to get it, for others."""
    manifest = load_manifest(name)
    for file in (*manifest.files, *manifest.made):
        _present(name, manifest, file, root)
    return folder(name, root)


def fetch(name: str, root: Path | None = None) -> Path:
    """Downloads missing or wrong files of a corpus; returns its folder, verified. CorpusError as in download.

    One that is made of a package is a CorpusError, which says how, until it is there.
    """
    place, manifest = folder(name, root), load_manifest(name)
    for file, item in manifest.files.items():
        if not item.is_verified(place / file):
            download(item, place / file)
    for file, kept in manifest.made.items():
        if not kept.is_verified(place / file):
            raise CorpusError(f"corpus {name} is not downloaded but made: {_how_to_get(name, manifest, root)}")
    return place


def split_files(name_and_split: str, root: Path | None = None) -> dict[str, Path]:
    """Plain text file of each language of a split such as `multi30k/train`, aligned by line.

    A split that is a table, or part of one, is first laid out as plain files in the cache, once per content.
    Raises CorpusError for an unknown corpus or split, and for files that are not on this machine or not of their size.
    """
    name, _, split = name_and_split.partition("/")
    manifest = load_manifest(name)
    known = manifest.split_names
    if split not in known:
        listed = ", ".join(f"{name}/{each}" for each in known) or "none: its files are for other tasks"
        raise CorpusError(f"corpus {name} has no split {split!r}{did_you_mean(split, known)} (there are {listed})")
    content = manifest.splits.get(split)
    if isinstance(content, dict):
        return {language: _present(name, manifest, file, root) for language, file in content.items()}
    laid_out = _laid_out(name, manifest, split, root)
    return {language: laid_out / f"{split}.{language}" for language in manifest.languages}


def checksums(name: str, root: Path | None = None) -> dict[str, str]:
    """SHA-256 of each file of a corpus that is on this machine, by file name."""
    manifest, place = load_manifest(name), folder(name, root)
    files = (*manifest.files, *manifest.made, *manifest.shipped)
    return {file: sha256_of(place / file) for file in files if (place / file).is_file()}


def _present(name: str, manifest: Manifest, file: str, root: Path | None) -> Path:
    """Path of a fetched file, which must have the size in the manifest, or of one that comes with s2s."""
    path = folder(name, root) / file
    if file in manifest.shipped:
        return path
    get_it = _how_to_get(name, manifest, root)
    if not path.is_file():
        looked = f"looked in {path.parent} for {file}"
        raise CorpusError(f"corpus {name} is not on this machine ({looked}); get it with: {get_it}")
    if cache_root() in path.parents:
        hold(path.parent)
    found, expected = path.stat().st_size, (manifest.files | manifest.made)[file].bytes
    if found != expected:
        raise CorpusError(f"{path}: has {found:,} bytes, but the corpus has {expected:,}; get it again with: {get_it}")
    return path


def _how_to_get(name: str, manifest: Manifest, root: Path | None) -> str:
    """Command that gets the files of a corpus."""
    if manifest.made:
        script, place = manifests_folder() / name / "make.py", folder(name, root)
        return f"pip install {manifest.made_of} && python {shlex.quote(str(script))} {shlex.quote(str(place))}"
    return f"s2s corpora fetch {name}" + (f" --corpora {root}" if root else "")


def _laid_out(name: str, manifest: Manifest, split: str, root: Path | None) -> Path:
    """Cache folder with the `<split>.<language>` files of that split and those made with it, built if need be."""
    assert manifest.table is not None
    file = manifest.splits.get(split, manifest.table.file)
    assert isinstance(file, str)
    path = _present(name, manifest, file, root)
    key = f"{LAYOUT_VERSION}\n{manifest.model_dump_json()}\n{file} {sha256_of(path)}\n"
    place = Path("splits") / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def laid_out(root: Path) -> Path:
        with building(root / place) as build:
            if build is not None:
                for made, rows in _rows(path, manifest, split).items():
                    for column, language in enumerate(manifest.languages):
                        text = "".join(f"{row[column]}\n" for row in rows)
                        (build / f"{made}.{language}").write_text(text, encoding="utf-8", newline="\n")
        hold(root / place)
        return root / place

    try:
        return in_cache(cache_root(), laid_out)
    except OSError as error:
        fault = f"{cache_root() / place}: cannot be written: {error.strerror or error}"
        raise CorpusError(f"{fault}; S2S_CACHE names another folder") from error


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
                fault = f"{path}, line {number:,}: not valid UTF-8 ({error.reason})"
                raise CorpusError(f"{fault}; fetch the corpus again") from None
            if len(cells) != len(table.columns):
                expected = f"{len(table.columns)} columns ({', '.join(table.columns)})"
                fault = f"{path}, line {number:,}: expected {expected}, found {len(cells)}"
                raise CorpusError(f"{fault}; fetch the corpus again")
            yield tuple(cells[column] for column in chosen)
