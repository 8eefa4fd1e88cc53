"""Parts shared by the recipe trees of the tasks: closed sections, the forms of a split, a tokenizer, the optimisation.

A default lives in its tree and nowhere else: here, or in the `recipe` module of a task.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, model_validator

LARGEST_SEED = 2**63 - 1


class Section(BaseModel):
    """A part of a recipe: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    left_to_data: ClassVar[tuple[str, ...]] = ()
    """Keys that, where a recipe does not give them, follow from the training data, or stay what a run began with."""

    @classmethod
    def required(cls) -> list[str]:
        """The keys that have no default."""
        return [name for name, field in cls.model_fields.items() if field.is_required()]


LIST = "list"
"""Tag of a split that is a list of parts."""
SetName = Annotated[str, Field(pattern=r"^[\w-]+$")]
"""Name of a set that is scored in each validation too."""
SplitName = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$"), Tag("corpus")]


def form_of(*forms: type[Section], parts: bool = False) -> Discriminator:
    """Tags a split with the name of its form; a table with no required key of another form is of the first.

    Where it may be a list of `parts`, one of these that stands alone is tagged as a list, which it should be.
    """

    def tag(split: object) -> str:
        if isinstance(split, str):
            return "corpus"
        if isinstance(split, list | tuple) or (parts and isinstance(split, dict) and "from" in split):
            return LIST
        keys = split if isinstance(split, dict) else getattr(split, "__dict__", {})
        return next((form for form in forms[1:] if keys.keys() & form.required()), forms[0]).__name__

    return Discriminator(tag)


class Tree(Section):
    """Recipe of one task, and how its data is written."""

    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    """Keys of `data` that name a split: "CORPUS/SPLIT", a path, or a table of one of the forms."""
    forms: ClassVar[tuple[type[Section], ...]]
    """Sections that the table of a split may be."""
    portion: ClassVar[type[Section] | None] = None
    """Section of an entry of a list of parts, where a split may be one; its key `from` is a split."""
    paths: ClassVar[tuple[str, ...]]
    """Keys of such a table that are paths; a bare path is short for a table with the first."""
    path_endings: ClassVar[tuple[str, ...]]
    """Endings of a bare path, in any case; one of `packed` may follow."""
    packed: ClassVar[tuple[str, ...]] = (".gz", ".xz", ".zst")
    """Endings of packed files."""
    conversions: ClassVar[Mapping[str, str]] = {}
    """Command that makes a file with such an ending of a FILE, by the ending of that."""
    used: ClassVar[tuple[str, ...]] = ("task", "seed", "data", "tokenizer", "model")
    """Dotted keys of the parts that a trained model is used by."""

    taken_over: ClassVar[tuple[str, ...]] = ("tokenizer", "model")
    """Dotted keys of what a training has from the run that it starts from."""
    may_differ: ClassVar[tuple[str, ...]] = ("model.dropout", "model.initialization")
    """Those among them that no weights depend on, so that a recipe may give other values."""

    task: str = Field(description="what is trained; chooses this tree")
    title: str = Field(default="", description="one line on what the recipe shows")
    seed: int = Field(default=1, ge=0, le=LARGEST_SEED, description="random seed: weights, dropout, data, sampling")

    _trainings: dict[str, Self] = PrivateAttr(default_factory=dict)

    if TYPE_CHECKING:  # each tree declares them after its own parts, so that they are written last
        variants: dict[str, tuple[str, ...]]

    @classmethod
    def is_path(cls, split: str) -> bool:
        """Whether a split is a bare path."""
        name = split.lower()
        return name.removesuffix(next(filter(name.endswith, cls.packed), "")).endswith(cls.path_endings)

    @classmethod
    def endings(cls) -> str:
        """Endings of a bare path in words."""
        *others, last = cls.path_endings
        return f"{', '.join(others)} or {last}" if others else last

    @classmethod
    def uses(cls, keys: Sequence[str | int]) -> bool:
        """Whether a nested key lies in a part that a trained model is used by, or holds one."""
        key = ".".join(map(str, keys)) + "."
        return any(key.startswith(f"{part}.") or f"{part}.".startswith(key) for part in cls.used)

    def compared(self) -> dict[str, tuple[str, ...]]:
        """Overrides of each training that the recipe compares, by name."""
        return dict(self.variants)

    def results(self) -> tuple[str, ...]:
        """Files in a run folder that a training of the recipe writes after its scores."""
        return ("plots/curves.png", "report.html")

    @property
    def trainings(self) -> dict[str, Self]:
        """Recipes of the trainings compared, by name, as read by `s2s.recipe.load`."""
        return self._trainings


class Tokenizer(Section):
    """How text becomes tokens; trained by `s2s train` on the training text."""

    kind: Literal["subword", "words", "characters", "bytes"] = Field(
        default="subword", description="SentencePiece subwords, words split at white space, characters, or bytes"
    )
    model: Literal["unigram", "bpe"] = Field(default="unigram", description="SentencePiece model, for subword")
    vocabulary_size: int = Field(default=4000, ge=8, description="largest vocabulary, with the four special tokens")
    byte_fallback: bool = Field(default=True, description="encode unknown characters as bytes, for subword")
    minimum_count: int = Field(default=1, ge=1, description="words or characters seen less often are unknown")
    punctuation: bool = Field(default=False, description="punctuation marks are tokens of their own, for words")


class Optimization(Section):
    """Steps, schedules, limits, and which weights are kept."""

    start: str | None = Field(
        default=None,
        min_length=1,
        description="run folder of a finished training, whose best weights, tokenizers and scaling this one begins"
        " with; [model], [tokenizer] and the like are then those of the run; default: new weights",
    )
    accumulate: int = Field(default=1, ge=1, description="gradient accumulation: batches of one optimizer step")
    epochs: float | None = Field(default=None, gt=0, description="limit: epochs, passes over the training data")
    steps: int | None = Field(default=None, ge=1, description="limit: optimizer steps")
    minutes: float | None = Field(default=None, gt=0, description="limit: minutes of training")
    optimizer: Literal["adam", "adamw", "muon", "sgd", "asgd"] = Field(
        default="adamw",
        description="update rule; muon is adamw but for matrices, whose momentum it makes orthogonal; asgd is sgd whose"
        " weights are averaged once validation stalls",
    )
    learning_rate: float = Field(default=2e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(
        default=0.0, ge=0, description="weight decay: decoupled with adamw and muon, L2 with the others"
    )
    momentum: float = Field(default=0.0, ge=0, lt=1, description="momentum of sgd")
    averaging_validations: int = Field(
        default=5, ge=1, description="asgd averages once a validation is worse than the best of those so many before"
    )
    schedule: Literal["constant", "inverse_square_root", "cosine", "plateau"] = Field(
        default="cosine", description="learning rate after the warm-up; plateau halves it when validation stalls"
    )
    restarts: int = Field(
        default=0,
        ge=0,
        description="warm restarts: raised by one with --resume, the best weights go on with a new optimizer and a new"
        " curve of the learning rate",
    )
    warmup_steps: int = Field(default=400, ge=0, description="steps over which the learning rate rises from zero")
    plateau_validations: int = Field(default=2, ge=1, description="validations without a better score before halving")
    clip_norm: float = Field(default=1.0, ge=0, description="gradient clipping: largest total norm; 0 is off")
    moving_average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the weights' moving average, validated and saved; 0 is off"
    )
    average_last: int = Field(
        default=0, ge=0, description="checkpoint averaging: of this many last validations, kept if better; 0 is off"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of matrix products; auto: bfloat16 autocast where the device computes it natively"
    )
    validate_every: int | None = Field(default=None, ge=1, description="steps between validations; default: an epoch")
    log_every: int = Field(default=50, ge=1, description="steps between lines of metrics.jsonl")
    save_every: int = Field(default=500, ge=1, description="steps between checkpoints, besides those of validations")
    metric: Literal["nats_per_token", "accuracy", "bleu", "chrf", "exact_match", "mase", "loss"] = Field(
        default="nats_per_token", description="validation score whose best weights are kept"
    )
    patience_validations: int | None = Field(
        default=None, ge=1, description="early stopping: validations without a better score; default: never"
    )

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        if self.epochs is None and self.steps is None and self.minutes is None:
            raise ValueError("epochs: give a limit: epochs, steps or minutes")
        if self.schedule == "cosine" and self.epochs is None and self.steps is None:
            raise ValueError("schedule: cosine falls to zero at the end, so it needs a limit in epochs or steps")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum: is for sgd only (given {self.momentum} with {self.optimizer})")
        if self.moving_average and self.optimizer == "asgd":
            given = self.moving_average
            raise ValueError(f"moving_average: asgd has an average of its own (given {given}); set it to 0")
        return self


class ForcingRate(Section):
    """Scheduled sampling: how often a model that reads its own output is fed the true value (Bengio et al. 2015)."""

    schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = Field(
        default="constant", description="how the rate falls from `rate` towards `floor` over the steps"
    )
    rate: float = Field(default=1.0, ge=0, le=1, description="probability of the gold token, or true value, at step 0")
    floor: float = Field(default=0.0, ge=0, le=1, description="lowest teacher forcing rate")
    steps: int = Field(
        default=1000,
        ge=1,
        description="optimizer steps: linear reaches the floor after them; exponential falls by a"
        " factor e in them; inverse_sigmoid is k of k / (k + exp(step / k))",
    )

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.floor > self.rate:
            raise ValueError(f"floor: must be at most rate (given {self.floor}, rate is {self.rate})")
        return self


class TeacherForcing(ForcingRate):
    """Scheduled sampling: how often the decoder is fed the gold token instead of its own (Bengio et al. 2015)."""

    feed: Literal["greedy", "sampled"] = Field(default="greedy", description="the model's own token: best or sampled")


Initialization = Annotated[
    Literal["uniform", "orthogonal", "torch"],
    Field(
        description="uniform in ±0.1; orthogonal recurrent and Xavier input matrices; LSTM forget bias 1 in both;"
        " torch: that of torch.nn, uniform in ±1/sqrt(hidden_size)"
    ),
]
Overrides = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Variants = Annotated[
    dict[VariantName, Overrides],
    Field(description="trainings to compare: a name for each, and its overrides KEY=VALUE"),
]
