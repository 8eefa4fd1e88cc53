"""The part of a translator's recipe that names its sentence pairs: the forms of a split, and what is made of them."""

import re
from typing import TYPE_CHECKING, Annotated, Self, cast

from pydantic import Field, Tag, create_model, model_validator

from s2s.recipe.sections import LIST, Section, SetName, SplitName, form_of
from s2s.text.languages import parts_of


class FileSplit(Section):
    """Two plain text files, aligned by line."""

    source: str = Field(description="path of the source file, one sentence a line, UTF-8; .gz, .xz, .zst accepted")
    target: str = Field(description="path of the target file, aligned with the source by line")


class TableSplit(Section):
    """One file of pairs: a table with a column for each language, a translation memory, or a catalogue of messages."""

    table: str = Field(
        description="path of a file: .tsv (UTF-8), .xlsx, .parquet and .jsonl have a column for each language, or a"
        " `translation` with both; of .tmx, .po, .xlf and .xliff finished units are read (not those that are fuzzy,"
        " obsolete, empty, not approved, or that need translation; the log counts them); all but .xlsx and .parquet"
        " also .gz, .xz, .zst"
    )
    columns: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="names of all columns when a .tsv or .xlsx has no header line"
    )
    source_column: str | None = Field(
        default=None,
        description="column, or code of the language, of the source; default: data.source; codes may be written as en,"
        " EN, eng or en_US where the file has one language that they fit",
    )
    target_column: str | None = Field(default=None, description="that of the target; default: data.target")


class PairSplit(Section):
    """Pairs written into the recipe itself."""

    pairs: Annotated[tuple[Annotated[tuple[str, str], Field(strict=False)], ...], Field(strict=False)] = Field(
        min_length=1, description='list of ["source", "target"]'
    )


_Forms = (
    SplitName
    | Annotated[FileSplit, Tag("FileSplit")]
    | Annotated[TableSplit, Tag("TableSplit")]
    | Annotated[PairSplit, Tag("PairSplit")]
)
Split = Annotated[_Forms, form_of(FileSplit, TableSplit, PairSplit)]


class Portion(Section):
    """One of the parts of a split that is a list."""

    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the tokens of an epoch, of both sides, for data.train; where each part has one, in"
        " proportion to the others; default: read whole once an epoch",
    )
    tag: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="name of a token that each source of the part begins with; runs with it export to onnx only",
    )

    @property
    def split(self) -> Split:
        """What the part is read from."""
        return cast(Split, getattr(self, "from"))


if not TYPE_CHECKING:  # no class statement can name a field `from`, which is a word of Python
    named = {"from": (Split, Field(description="a split in any other form"))}
    Portion = create_model("Portion", __base__=Portion, __doc__=Portion.__doc__, **named)

_Parts = Annotated[tuple[Portion, ...], Field(strict=False, min_length=1), Tag(LIST)]
Mixture = Annotated[_Forms | _Parts, form_of(FileSplit, TableSplit, PairSplit, parts=True)]
"""A split, or a list of parts."""


class Augmentation(Section):
    """Training pairs that are read once more in another form, others in each epoch: shares of all pairs."""

    capitals: float = Field(default=0.0, ge=0, le=1, description="share in capitals, the target too")
    title: float = Field(default=0.0, ge=0, le=1, description="share in title case, the target too")
    small: float = Field(default=0.0, ge=0, le=1, description="share with the source in small letters")
    unmarked: float = Field(default=0.0, ge=0, le=1, description="share with no final mark in the source")

    @property
    def shares(self) -> dict[str, float]:
        """Those above 0."""
        return {form: share for form, share in self if share}


class TranslationData(Section):
    """Where the sentence pairs come from, and which are kept."""

    source: str = Field(description="source language: a column or file of the corpus, for example de")
    target: str = Field(description="target language, for example en")
    train: Mixture = Field(
        description='training pairs: "CORPUS/SPLIT", the path of a {table}, {source, target} files, {pairs} written'
        " here, or a list of parts, tables {from, share, tag}, of these forms"
    )
    validation: Mixture = Field(description="validation pairs, in the same forms; the best weights are chosen on them")
    test: Mixture | None = Field(default=None, description="test pairs, scored once when training has ended")
    also_validate: dict[SetName, Mixture] = Field(
        default={}, description="pairs that are scored in each validation too, by name; they choose no weights"
    )
    max_tokens: int = Field(default=100, ge=1, description="longest side of a training pair that is kept, in tokens")
    max_length_ratio: float = Field(
        default=9.0, ge=1, description="longest side of a training pair, in tokens per token of the shorter, plus 5"
    )
    protect: bool | Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=False,
        description="mask what must not change: numbers of several digits, addresses, {placeholders}, tags, emoji; or a"
        " list of regular expressions of more; runs with it export to onnx only",
    )
    augment: Augmentation = Augmentation()

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the training sources, each once."""
        return tuple(dict.fromkeys(part.tag for part in portions(self.train) if part.tag))

    @property
    def always_tagged(self) -> bool:
        """Whether there is no training source without a tag."""
        return bool(self.tags) and all(part.tag for part in portions(self.train))

    @model_validator(mode="after")
    def _are_patterns(self) -> Self:
        for pattern in self.protect if isinstance(self.protect, tuple) else ():
            try:
                empty = re.compile(pattern).search("")
            except re.error as problem:
                raise ValueError(f"protect: must be regular expressions (given {pattern!r}: {problem})") from None
            if empty:
                raise ValueError(f"protect: must be regular expressions that find something (given {pattern!r})")
        return self

    @model_validator(mode="after")
    def _forms_are_known(self) -> Self:
        given = [form for form in ("capitals", "title", "small") if form in self.augment.shares]
        for language in (self.source, self.target) if given else ():
            if {"tr", "tur", "turkish", "az", "aze", "azj", "azb", "azerbaijani"}.intersection(parts_of(language)[:1]):
                raise ValueError(
                    f"augment: capitals and small letters of {language} are not those of other languages (i and İ, ı"
                    f" and I), and s2s does not know them; leave out {', '.join(given)}"
                )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        shares = [part.share for part in portions(self.train)]
        given = sum(share or 0.0 for share in shares)
        if None in shares and given >= 1:
            raise ValueError(f"train: shares leave nothing to the parts without one (they add up to {given:g})")
        also = {f"also_validate.{name}": split for name, split in self.also_validate.items()}
        for name, split in {"validation": self.validation, "test": self.test, **also}.items():
            for number, part in enumerate(portions(split), start=1):
                if part.share is not None:
                    raise ValueError(f"{name}, entry {number}.share: is for data.train only; leave it out")
                if part.tag and part.tag not in self.tags:
                    known = ", ".join(self.tags) or "there is none"
                    raise ValueError(f"{name}, entry {number}.tag: {part.tag} is no tag of data.train ({known})")
            tagged = [part.tag for part in portions(split)]
            if self.always_tagged and split is not None and not (tagged and all(tagged)):
                raise ValueError(
                    f"{name}: each part of data.train has a tag, so each here needs one: a list of parts, in the form"
                    f' [{{from = "...", tag = "{self.tags[0]}"}}]'
                )
        return self


def portions(split: object) -> tuple[Portion, ...]:
    """The parts of a split that is a list; none of any other."""
    return split if isinstance(split, tuple) else ()
