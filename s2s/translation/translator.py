"""Raw lines in, raw lines out: tokenizers, and an engine that searches. Imports neither torch nor the recipes."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from s2s.errors import DataError, RunError
from s2s.recipe.arguments import list_of_texts, shortened
from s2s.text.placeables import Masked, invented
from s2s.text.special import PAD, START, UNKNOWN, tags_of
from s2s.text.tokenizer import Tokenizer, framed, has_loop
from s2s.text.wordlist import ListTokenizer
from s2s.translation.bundle import BundleDecoding, BundleEngine, is_bundle, open_bundle
from s2s.translation.lengths import EXTRA_TOKENS
from s2s.translation.nbest import different, with_masks
from s2s.translation.outputs import BLANK, Alternative, Translation, united
from s2s.translation.reading import Reading
from s2s.translation.search.hypotheses import Hypothesis, SearchOptions

if TYPE_CHECKING:
    from s2s.device import Precision
    from s2s.translation.engine import TorchEngine
    from s2s.translation.recipe import Decoding

log = logging.getLogger("s2s")

BATCH_TOKENS = 8192
"""Padded source tokens searched together at most, whatever the recipe's number of lines."""


class Translator:
    """Frozen copies of one model, or of an ensemble of models that share their tokenizers.

    Many threads may use one: on a CPU they search side by side, on a GPU one after the other. Long texts are translated
    fastest by several processes of one thread, as s2s translate --workers starts them; here no process is started.
    """

    def __init__(
        self,
        engine: "TorchEngine | BundleEngine",
        source: Tokenizer,
        target: Tokenizer,
        decoding: "Decoding | BundleDecoding",
        learned_tokens: int | None = None,
        reading: Reading = Reading(),  # noqa: B008  it cannot be changed
    ) -> None:
        """`learned_tokens` are those of the longest line that the training may have kept, without a tag."""
        self.engine = engine
        self.source = source
        self.target = target
        self.decoding = decoding
        self.batch_lines = decoding.batch_lines
        self.learned_tokens = learned_tokens
        self.tags = tags_of(source.symbols)
        self.reading = reading
        self.copies = decoding.copy_unknown
        self.prefix: tuple[int, ...] = ()
        """Target tokens that each translation begins with"""
        self.has_warned = False
        self.has_bar = True
        """Whether many lines have a progress bar, on a terminal"""

    @classmethod
    def load(cls, *runs: str | Path, device: str = "auto", precision: "Precision" = "float32") -> Self:
        """Open one run folder, or several as an ensemble that averages their probabilities.

        A bundle, which `s2s export --format onnx` has written, is opened as a run folder is, alone and without torch.
        Raises RunError for a folder that is missing or damaged, or whose languages or tokenizers differ, and TypeError
        for a list of folders.
        """
        if not runs:
            raise RunError("Translator.load: no run folder is given; name one, or several of an ensemble")
        for path in runs:
            if not isinstance(path, str | Path):
                raise TypeError(
                    f"Translator.load: a run folder is a str or a Path (given {path!r:.60}); give several of an"
                    " ensemble one by one, as in Translator.load(*folders)"
                )
        folders = [Path(path) for path in runs]
        bundles = [folder for folder in folders if is_bundle(folder)]
        if bundles and len(folders) > 1:
            raise RunError(f"{bundles[0]}: is a bundle, which is no part of an ensemble; give it alone, or run folders")
        if bundles:
            return cls(*open_bundle(folders[0], device, precision))
        from s2s.translation.engine import open_runs

        return cls(*open_runs(folders, device, precision))

    def with_batch(self, lines: int) -> Self:
        """The same translator, searching so many lines together."""
        other = copy(self)
        other.batch_lines = lines
        return other

    def with_prefix(self, text: str) -> Self:
        """The same translator, whose translations begin with a text; DataError where the vocabulary cannot spell it.

        White space at its end counts only where it is a token. RunError for a run that masks what must not change.
        """
        if self.reading.protect:
            raise RunError(
                "prefix: the run was trained with data.protect, and what must not change would not stand once behind a"
                " given beginning; leave it out, or take a run without"
            )
        other, tokens = copy(self), self.target.encode(text)
        written = self.target.decode(tokens)
        if UNKNOWN in tokens or written.strip() != text.strip():
            raise DataError(
                f"prefix {shortened(repr(text))}: the vocabulary of the target cannot spell it (it would be"
                f" {shortened(repr(written))}); choose another beginning"
            )
        other.prefix = tuple(tokens)
        return other

    def in_precision(self, precision: "Precision") -> Self:
        """The same translator with matrix products of another type."""
        other = copy(self)
        other.engine = self.engine.in_precision(precision)
        return other

    def copying(self) -> Self:
        """The same translator, with unknown words of its outputs copied from the source; RunError for subwords."""
        if not (isinstance(self.source, ListTokenizer) and isinstance(self.target, ListTokenizer)):
            raise RunError("--copy-unknown: is for words and characters; subwords spell what they do not know")
        other = copy(self)
        other.copies = True
        return other

    def translate(
        self,
        lines: Iterable[str],
        *,
        beam: int | None = None,
        nbest: int = 1,
        attention: bool = False,
        tag: str | Sequence[str | None] | None = None,
        protect: bool | None = None,
    ) -> list[Translation]:
        """Translate lines of raw text, in their order; a blank line stays blank.

        `beam` is the recipe's unless given; it is widened to `nbest`, the translations returned of each line. Their
        texts differ; there are fewer where a beam four times as wide finds no more. `tag` is the tag of all lines, or a
        list has that of each, None for none; it counts in no limit of length. What must not change is masked where the
        run was trained so (data.protect) and, with `protect`, translated around in other runs; False is neither. Raises
        DataError for a tag that the training had not, and where a line has none and each of the training had one,
        TypeError for anything but texts, and for one text instead of lines, and ValueError for a beam or nbest below 1.
        """
        lines = list_of_texts("lines", lines)
        width = self.decoding.beam if beam is None else beam
        for name, value in (("beam", width), ("nbest", nbest)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}: must be a whole number of at least 1 (given {value!r})")
        tags, read = self.line_tags(tag, len(lines)), self.reading.masked(lines, protect)
        encoded = [
            self.encode(each.text, own) if each and each.text.strip() else []
            for each, own in zip(read, tags, strict=True)
        ]
        self._warn_of_long(lines, encoded)
        results = [BLANK] * len(lines)
        with self.engine.entered(), _bar(len(lines) if self.has_bar else 1) as progress:
            for group in self.groups([len(tokens) for tokens in encoded]):
                given = [(read[index] or Masked(""), encoded[index]) for index in group]
                found = self._best(given, max(width, nbest), nbest, attention)
                for index, (masked, source), hypotheses in zip(group, given, found, strict=True):
                    if hypotheses:
                        results[index] = self._translation(lines[index], masked, source, hypotheses, attention)
                    else:
                        read[index] = None
                if progress is not None:
                    progress.update(len(group))
        around = [index for index, each in enumerate(read) if each is None]
        for index, whole in zip(
            around, self._around([(lines[each], tags[each]) for each in around], beam, nbest), strict=True
        ):
            results[index] = whole
        return results

    def _around(self, lines: Sequence[tuple[str, str | None]], beam: int | None, nbest: int) -> Iterator[Translation]:
        """Lines, each with its tag, translated in parts around what must not change."""
        documents = [self.reading.around(line) for line, _ in lines]
        sentences = [sentence for document in documents for sentence in document.sentences]
        tags = [tag for document, (_, tag) in zip(documents, lines, strict=True) for _ in document.sentences]
        found = iter(self.translate(sentences, beam=beam, nbest=nbest, tag=tags, protect=False) if sentences else ())
        for document in documents:
            whole = united(document, [next(found) for _ in document.sentences])
            yield whole._replace(flags=(*whole.flags, "around"))

    def encode(self, line: str, tag: str | None) -> list[int]:
        """Token ids of a source, that of its tag before them."""
        return [*([self.tags[tag]] if tag else []), *self.source.encode(line)]

    def line_tags(self, tag: str | Sequence[str | None] | None, lines: int) -> list[str | None]:
        """The tag of each line; errors as of `translate`."""
        tags = [tag] * lines if tag is None or isinstance(tag, str) else [*tag]
        if len(tags) != lines:
            raise ValueError(f"tag: must be one for all lines, or one for each (given {len(tags):,} for {lines:,})")
        known = ", ".join(self.tags) or "there is none"
        for each in dict.fromkeys(tags):
            if each is not None and each not in self.tags:
                raise DataError(f"tag: {each} is none of the training's tags ({known})")
            if each is None and self.reading.always_tagged:
                raise DataError(f"tag: each source of the training had one, so one is needed; give one of {known}")
        return tags

    def _own_tokens(self, source: Sequence[int]) -> int:
        """Tokens of a source but for its tag, which counts in no limit of length."""
        return len(source) - (len(source) > 0 and source[0] in self.tags.values())

    def _is_long(self, source: Sequence[int]) -> bool:
        return self.learned_tokens is not None and self._own_tokens(source) > self.learned_tokens

    def _warn_of_long(self, lines: Sequence[str], encoded: Sequence[list[int]]) -> None:
        """Say so the first time that a line is longer than any that was learned: searching it can take minutes."""
        found = next((place for place, tokens in enumerate(encoded) if self._is_long(tokens)), None)
        if found is not None and not self.has_warned:
            self.has_warned = True
            log.warning(
                "a line has %s tokens (%r...), and training kept lines of at most %s: longer ones are translated badly"
                " and slowly, and are flagged `long`; split them into sentences",
                f"{self._own_tokens(encoded[found]):,}", lines[found][:30], f"{self.learned_tokens:,}",
            )  # fmt: skip

    def groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of lines that are not blank, longest first, in batches of similar lengths."""
        group: list[int] = []
        for index in sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i]):
            longest = lengths[group[0]] if group else 0
            if group and (len(group) >= self.batch_lines or (len(group) + 1) * longest > BATCH_TOKENS):
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def _best(
        self, given: Sequence[tuple[Masked, list[int]]], beam: int, nbest: int, attention: bool
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of sources as they are read, with their tokens; none where masks are lost in all."""
        search = partial(self._search, attention=attention)
        if self.reading.protect:
            return with_masks(search, self.target.decode, given, beam, nbest)
        return different(search, self.target.decode, [source for _, source in given], beam, nbest)

    def _search(self, sources: Sequence[list[int]], beam: int, nbest: int, attention: bool) -> list[list[Hypothesis]]:
        decoding = self.decoding
        options = SearchOptions(
            forbidden=(PAD, START, *([] if self.copies else [UNKNOWN]), *self.target.symbols.values()),
            prefix=self.prefix,
            no_repeat_ngram=decoding.no_repeat_ngram,
            length_normalization=decoding.length_normalization,
            length_alpha=decoding.length_alpha,
            coverage_penalty=decoding.coverage_penalty,
            keep_attention=attention or self.copies,
        )
        sentences = [framed(tokens) for tokens in sources]
        lengths = [self._own_tokens(tokens) for tokens in sentences]
        least = len(self.prefix) + EXTRA_TOKENS if self.prefix else 0
        longest = [max(decoding.longest_output(length), least) for length in lengths]
        shortest = [
            min(int(length * decoding.min_length_ratio), most) for length, most in zip(lengths, longest, strict=True)
        ]
        return self.engine.search(sentences, options, beam=beam, nbest=nbest, longest=longest, shortest=shortest)

    def _text(self, masked: Masked, hypothesis: Hypothesis) -> str:
        """Text of a hypothesis; unknown words are those that were attended to most, where they are copied."""
        if not self.copies or UNKNOWN not in hypothesis.tokens:
            return masked.filled(self.target.decode(hypothesis.tokens))
        assert isinstance(self.source, ListTokenizer)
        assert isinstance(self.target, ListTokenizer)
        if hypothesis.attention is None:
            raise RunError("copy_unknown: needs a model with attention, and this has none; leave it out")
        words = self.source.split(masked.text)
        attended = hypothesis.attention[:, -1 - len(words) : -1].argmax(axis=1)
        written = (
            words[place] if token == UNKNOWN else self.target.token(token)
            for token, place in zip(hypothesis.tokens, attended, strict=False)
        )
        return masked.filled(self.target.join(written))

    def _labels(self, tokenizer: Tokenizer, masked: Masked, tokens: Sequence[int]) -> tuple[str, ...]:
        """Labels of tokens, with the pieces in the place of masks."""
        labels = map(tokenizer.token, tokens)
        return tuple(map(masked.filled, labels) if self.reading.protect else labels)

    def _translation(
        self, line: str, masked: Masked, source: list[int], hypotheses: list[Hypothesis], attention: bool
    ) -> Translation:
        best = hypotheses[0]
        nbest = tuple(Alternative(self._text(masked, each), each.score, each.log_probability) for each in hypotheses)
        unknown = tuple(self.source.lacking(masked.text)) if self.source.lacks(source) else ()
        made_up = invented(line, nbest[0].text)
        raised = {
            "truncated": best.truncated,
            "repeats": has_loop(nbest[0].text.split()),
            "long": self._is_long(source),
            "unknown": self.source.lacks(source),
            "invented": bool(made_up),
            **dict.fromkeys(self.reading.flags(self.source.normalize(line)), True),
        }
        tokens = best.tokens if best.truncated else framed(best.tokens)
        return Translation(
            *nbest[0],
            tuple(flag for flag, stands in raised.items() if stands),
            self._labels(self.target, masked, tokens),
            tuple(best.log_probabilities),
            self._labels(self.source, masked, framed(source)),
            best.attention if attention else None,
            nbest,
            unknown,
            made_up,
        )


def _bar(lines: int) -> AbstractContextManager[Any]:
    """A progress bar; None where nobody would see it: of a line alone, and without a terminal."""
    if lines == 1 or sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    from tqdm import tqdm

    bar: AbstractContextManager[Any] = tqdm(total=lines, desc="translate", unit=" lines", delay=2, leave=False)
    return bar
