"""A translator as `s2s export --format onnx` writes it, run by onnxruntime. Imports neither torch nor the recipes."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_args, get_type_hints

import numpy as np

from s2s.errors import RunError
from s2s.text.tokenizer import Tokenizer, load_tokenizers
from s2s.translation.lengths import longest_output
from s2s.translation.reading import Reading
from s2s.translation.search.hypotheses import Floats, Hypothesis, Normalization, SearchOptions
from s2s.translation.search.lone import lone_search

if TYPE_CHECKING:
    from s2s.device import Precision

FORMAT = 2
"""Number of the layout of a bundle."""
NEXT = "next_"
"""Beginning of the name of an output that is an input of the next step."""


class BundleDecoding(NamedTuple):
    """What [decoding] of the run's recipe says, with the longest output decided."""

    beam: int
    length_normalization: Normalization
    length_alpha: float
    coverage_penalty: float
    no_repeat_ngram: int
    min_length_ratio: float
    max_length_ratio: float
    batch_lines: int
    copy_unknown: bool = False

    @property
    def longest_ratio(self) -> float:
        """Longest output in tokens per source token."""
        return self.max_length_ratio

    def longest_output(self, source_tokens: int) -> int:
        """Most tokens of an output, its END counted, for so many of a source, its END counted."""
        return longest_output(source_tokens, self.max_length_ratio)


class BundleState(NamedTuple):
    """Where the search of a sentence stands."""

    memory: dict[str, Floats]
    """what attention reads, the same at every step"""
    layers: dict[str, Floats]
    """(1, K, H) each"""

    def reorder(self, parents: list[int]) -> "BundleState":
        """K', for each new hypothesis the old one that it continues."""
        return BundleState(self.memory, {name: part.take(parents, 1) for name, part in self.layers.items()})


class BundleEngine:
    """An encoder and a step, which search one sentence after the other."""

    on_gpu = False

    def __init__(self, folder: Path, states: Sequence[str]) -> None:
        """`states` are inputs of the step, of which the encoder gives the first and a step the next."""
        self.encoder, self.step = (_session(folder / f"{name}.onnx") for name in ("encoder", "step"))
        self._require_fitting(folder)
        self.states = [*states]
        self.begun = [each.name for each in self.encoder.get_outputs()]
        shapes = {each.name: each.shape for each in self.step.get_outputs()}
        self.attends, self.vocabulary_size = "attention" in shapes, shapes["log_probabilities"][-1]
        self.named = ["log_probabilities", *(NEXT + name for name in states), *["attention"] * self.attends]

    def _require_fitting(self, folder: Path) -> None:
        """RunError for an encoder and a step of two exports."""
        given = {each.name: each.shape for each in self.encoder.get_outputs()}
        read = {each.name: each.shape for each in self.step.get_inputs() if each.name != "tokens"}
        for name, shape in read.items():
            sizes = zip(given.get(name, ()), shape, strict=False)
            differ = any(one != other for one, other in sizes if isinstance(one, int) and isinstance(other, int))
            if name not in given or differ:
                raise RunError(
                    f"{folder}: encoder.onnx and step.onnx do not fit, so they are of two exports ({name} is"
                    f" {given.get(name, 'missing')} in one, {shape} in the other); export the run again"
                )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A context in which searches are made."""
        yield

    def in_precision(self, precision: "Precision") -> Self:
        """The same, where its weights have this precision."""
        require_precision(precision)
        return self

    def search(
        self,
        sources: Sequence[list[int]],
        options: SearchOptions,
        *,
        beam: int,
        nbest: int,
        longest: Sequence[int],
        shortest: Sequence[int],
    ) -> list[list[Hypothesis]]:
        """At most nbest hypotheses of each sentence, best first."""
        return [
            lone_search(self, source, options, beam=beam, nbest=nbest, longest=most, shortest=least)
            for source, most, least in zip(sources, longest, shortest, strict=True)
        ]

    def begin_lone(self, source: Sequence[int]) -> BundleState:
        """The S tokens of a sentence -> where its search starts."""
        given = {"tokens": np.array([source], np.int64), "lengths": np.array([len(source)], np.int64)}
        memory = dict(zip(self.begun, self.encoder.run(self.begun, given), strict=True))
        return BundleState(memory, {name: memory.pop(name) for name in self.states})

    def lone(self, tokens: list[int], state: BundleState) -> tuple[Floats, Floats | None, None, BundleState]:
        """Last tokens (K,) -> log-probabilities (K, V), attention (K, S), nothing, and the next state."""
        given = {"tokens": np.array([tokens], np.int64), **state.memory, **state.layers}
        log_probabilities, *found = self.step.run(self.named, given)
        following = BundleState(state.memory, dict(zip(self.states, found, strict=False)))
        return log_probabilities[0], found[-1][0] if self.attends else None, None, following

    def exact_of(self, readout: None) -> None:
        """Nothing: the log-probabilities are all that there is."""


def is_bundle(folder: Path) -> bool:
    """Whether a path is that of a bundle, and not of a run folder."""
    return (folder / "bundle.json").is_file() and not (folder / "recipe.toml").exists()


def open_bundle(
    folder: Path, device: str, precision: "Precision"
) -> tuple[BundleEngine, Tokenizer, Tokenizer, BundleDecoding, int, Reading]:
    """What a Translator of a bundle is made of; RunError for one that is damaged or holds no translator."""
    if device not in ("auto", "cpu"):
        raise RunError(f"{folder}: a bundle runs on the CPU (given {device}); give --device cpu, or the run folder")
    require_precision(precision)
    path = folder / "bundle.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        number, task = int(read["format"]), str(read["task"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(
            f"{path}: damaged, it cannot be read ({type(problem).__name__}: {problem}); export the run again"
        ) from None
    if number > FORMAT:
        raise RunError(
            f"{folder}: was written by a newer s2s (format {number}; this version reads {FORMAT}); update s2s"
        )
    if task != "translation":
        raise RunError(f"{folder}: holds no translator (its task is {task}); use its run folder")
    if not (folder / "step.onnx").exists():
        raise RunError(f"{folder}: has no step.onnx; s2s translate reads what s2s export --format onnx writes")
    try:
        decoding = _decoding(read["decoding"])
        engine, learned = BundleEngine(folder, read["states"]), int(read["max_tokens"])
        protect, card = read.get("protect", False), read["card"]
        protect = tuple(protect) if isinstance(protect, list) else protect is True
        ways = tuple(read.get("forms", ())), read.get("always_tagged") is True
        reading = Reading(str(card["source"]), str(card["target"]), protect, *ways)
    except (KeyError, TypeError, ValueError) as problem:
        what = f"{type(problem).__name__}: {problem}"
        raise RunError(f"{path}: damaged, it lacks what a translator needs ({what}); export the run again") from None
    source, target = load_tokenizers(folder)
    if engine.vocabulary_size != target.vocabulary_size:
        raise RunError(
            f"{folder}: its target tokenizer has {target.vocabulary_size:,} tokens, its step.onnx"
            f" {engine.vocabulary_size:,}, so they are of two exports; export the run again"
        )
    return engine, source, target, decoding, learned, reading


def _decoding(values: dict[str, Any]) -> BundleDecoding:
    """Checked values; KeyError for one that is missing, ValueError for a wrong one."""
    for name, kind in get_type_hints(BundleDecoding).items():
        value, words = values[name], get_args(kind)
        is_number = type(value) is kind or (type(value) is int and kind is float)
        if value not in words if words else not is_number or (name in ("beam", "batch_lines") and value < 1):
            raise ValueError(f"decoding.{name} is {value!r}")
    return BundleDecoding(**{name: values[name] for name in BundleDecoding._fields})


def require_precision(precision: "Precision") -> None:
    """RunError for another precision than that of a bundle, which was decided when it was written."""
    if precision not in ("auto", "float32"):
        raise RunError(f"precision {precision}: a bundle has none but that of its export; leave --precision out")


def _session(path: Path) -> Any:
    """What runs a graph."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise RunError(
            f"{path.parent}: a bundle is run by onnxruntime, which is not installed: pip install 's2s[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    # two wait for each other in a loop: 0.14 in place of 0.18 ms a step on quiet cores, and 0.9 beside other programs
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's own have no common class that is public
        raise RunError(f"{path}: cannot be read by onnxruntime ({problem}); export the run again") from None
