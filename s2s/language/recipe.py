"""The recipe tree of language models: every value that one depends on, its default, its rule and its unit."""

from typing import Annotated, Literal, Self

from pydantic import Field, Tag, model_validator

from s2s.recipe.sections import (
    Initialization,
    Optimization,
    Section,
    SetName,
    SplitName,
    Tokenizer,
    Tree,
    Variants,
    form_of,
)
from s2s.text.normalization import Normalization


class TextFile(Section):
    """One text: a plain file, all plain files of a folder, or a column of a table."""

    file: str = Field(
        min_length=1,
        description="path of the text, UTF-8; of a folder, whose .txt files are read in the order of their names; or"
        " of a .jsonl or .parquet, a document a row; all but .parquet also .gz, .xz, .zst",
    )
    column: str = Field(default="text", min_length=1, description="key or column of the text in a .jsonl or .parquet")


class WrittenText(Section):
    """Text written into the recipe itself."""

    text: str = Field(min_length=1, description="the text")
    repeat: int = Field(default=1, ge=1, description="number of times it is repeated")


Text = Annotated[
    SplitName | Annotated[TextFile, Tag("TextFile")] | Annotated[WrittenText, Tag("WrittenText")],
    form_of(TextFile, WrittenText),
]


class LanguageData(Section):
    """Where the text comes from, and how it is cut into batches."""

    train: Text = Field(
        description='training text: "CORPUS/SPLIT", the path of a {file}, or {text, repeat} written here'
    )
    validation: Text | None = Field(
        default=None, description="validation text, in the same forms; default: the end of the training text"
    )
    validation_share: float = Field(default=0.1, gt=0, lt=1, description="share held out of train, without validation")
    test: Text | None = Field(default=None, description="test text, scored once when training has ended")
    also_validate: dict[SetName, Text] = Field(
        default={}, description="texts that are scored in each validation too, by name; they choose no weights"
    )
    cut: Literal["stream", "chunks", "lines"] = Field(
        default="stream",
        description="stream: consecutive chunks, the state carried from one to the next and detached (truncated"
        " back-propagation through time); chunks: windows at random places, each from a state of zeros; lines:"
        " each line a sequence of its own, packed",
    )
    window: int = Field(default=128, ge=1, description="tokens of a chunk; of lines, those that a row counts for")
    rows: int = Field(default=32, ge=1, description="batch size, in chunks or lines")


class TextTokenizer(Tokenizer):
    """How text becomes tokens."""

    left_to_data = ("normalization",)

    kind: Literal["subword", "words", "characters", "bytes"] = Field(
        default="characters",
        description="characters, words split at white space, SentencePiece subwords, or bytes: all 256 of them, of a"
        " text of any encoding, such as a log, which comes back byte for byte",
    )
    symbols: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = Field(
        default=(), description="the whole vocabulary in this order, without special tokens; others are refused"
    )
    normalization: Normalization = Field(
        default="none",
        description="of the text, before it is split: Unicode's nfc, nfd or nfkc, SentencePiece's nmt_nfkc (NFKC,"
        " spaces alike, marks without width dropped), or none; it is written as the rule leaves it",
    )

    @model_validator(mode="after")
    def _symbols_fit(self) -> Self:
        if self.symbols and self.kind in ("subword", "bytes"):
            raise ValueError(f"symbols: are for characters and words (kind is {self.kind})")
        if self.normalization != "none" and self.kind == "bytes":
            raise ValueError(f"normalization: bytes stay as they are (given {self.normalization}); leave it out")
        if self.symbols and self.normalization != "none":
            raise ValueError(f"normalization: symbols are taken as they are (given {self.normalization}); leave it out")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("symbols: lists one twice; give each once")
        if len(self.symbols) == 1:
            raise ValueError("symbols: must be at least 2 (given 1); with one there is nothing to predict")
        for symbol in self.symbols:
            if len(symbol) != 1 if self.kind == "characters" else symbol.split() != [symbol]:
                raise ValueError(f'symbols: "{symbol}" is not one of {self.kind}')
        if self.punctuation and self.kind != "words":
            raise ValueError(f"punctuation: is for words only (kind is {self.kind})")
        return self


class LanguageDropout(Section):
    """Dropout rates: probabilities of setting to zero, in training only; those of AWD-LSTM (Merity et al. 2018)."""

    vocabulary: float = Field(default=0.0, ge=0, lt=1, description="embedding dropout: tokens, everywhere in a batch")
    embedding: float = Field(default=0.0, ge=0, lt=1, description="on embedded tokens")
    layers: float = Field(default=0.0, ge=0, lt=1, description="between recurrent layers")
    output: float = Field(default=0.0, ge=0, lt=1, description="on the top layer's outputs")
    recurrent_weights: float = Field(default=0.0, ge=0, lt=1, description="weight drop: one mask a chunk")
    variational: bool = Field(default=True, description="one mask a row, the same at every step")


class LanguageModel(Section):
    """Recurrent layers that predict the next token."""

    cell: Literal["elman", "gru", "lstm"] = Field(default="lstm", description="recurrent cell")
    layers: int = Field(default=1, ge=1, description="recurrent layers")
    hidden_size: int = Field(default=256, ge=1, description="units of each layer's state")
    input: Literal["embedding", "one_hot"] = Field(default="embedding", description="what the first layer reads")
    embedding_size: int = Field(default=128, ge=1, description="units of a token's embedding")
    output: Literal["linear", "tied", "adaptive", "state"] = Field(
        default="linear",
        description="logits of an output layer, of one tied to the embedding, or the state itself; adaptive: for large"
        " vocabularies, tied, in clusters by frequency, of which the rarer have smaller vectors (adaptive softmax)",
    )
    cutoffs: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = Field(
        default=(),
        description="ids at which the later clusters of adaptive begin; default: V^(2/3) and V^(5/6) of V tokens",
    )
    initialization: Initialization = "orthogonal"
    dropout: LanguageDropout = LanguageDropout()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.output in ("tied", "adaptive") and self.input == "one_hot":
            raise ValueError(
                f'output: {self.output} needs input = "embedding" to share its weights with (input is one_hot)'
            )
        if self.cutoffs and self.output != "adaptive":
            raise ValueError(f'cutoffs: are those of output = "adaptive" (output is {self.output})')
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise ValueError(f"cutoffs: must rise (given {list(self.cutoffs)})")
        if self.output == "tied" and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"output: tied needs embedding_size equal to hidden_size (given {self.embedding_size} and"
                f" {self.hidden_size}); make them equal, or choose linear"
            )
        if self.input == "one_hot" and (self.dropout.vocabulary or self.dropout.embedding):
            raise ValueError("dropout.embedding: and dropout.vocabulary need an embedding (input is one_hot)")
        return self


class LanguageTraining(Optimization):
    """The optimisation of a language model: its penalties besides what every training has."""

    metric: Literal["nats_per_token", "accuracy"] = Field(
        default="nats_per_token", description="validation score whose best weights are kept"
    )
    activation_penalty: float = Field(
        default=0.0, ge=0, description="alpha: times the mean square of the top layer's outputs after dropout"
    )
    temporal_activation_penalty: float = Field(
        default=0.0, ge=0, description="beta: times the mean square of the outputs' change from step to step"
    )


class Sweep(Section):
    """The same small model from many seeds, trained side by side in one computation."""

    seeds: int = Field(ge=1, description="number of trainings, seeded from the recipe's seed upwards")
    hidden_sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = Field(
        default=(), description="a sweep for each of these sizes; default: model.hidden_size alone"
    )
    learned_accuracy: float = Field(
        default=1.0, gt=0, le=1, description="accuracy at which a training counts as having learned its text"
    )
    best_accuracy: float | None = Field(
        default=None, gt=0, le=1, description="best accuracy to be expected on fresh text, for the plot"
    )


class LanguageRecipe(Tree):
    """A recurrent language model: data, tokenizer, model and training."""

    forms = (TextFile, WrittenText)
    paths = ("file",)
    path_endings = (".txt", ".jsonl", ".parquet", "/")

    task: Literal["language"] = Field(description="what is trained; chooses this tree")
    data: LanguageData
    tokenizer: TextTokenizer = TextTokenizer()
    model: LanguageModel = LanguageModel()
    training: LanguageTraining
    sweep: Sweep | None = Field(default=None, description="train from many seeds and compare")
    variants: Variants = Field(default={})

    def compared(self) -> dict[str, tuple[str, ...]]:
        """Trainings of a sweep over several hidden sizes are named for their sizes."""
        sizes = self.sweep.hidden_sizes if self.sweep else ()
        swept = {f"hidden-{size}": (f"model.hidden_size={size}", "sweep.hidden_sizes=[]") for size in sizes}
        return super().compared() or dict(swept)

    def results(self) -> tuple[str, ...]:
        """A sweep also has its results."""
        return (*super().results(), *(("sweep.json",) if self.sweep else ()))

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        symbols, model = self.tokenizer.symbols, self.model
        sizes_follow = symbols and self.sweep and self.sweep.hidden_sizes
        if model.output == "state" and not sizes_follow and model.hidden_size != len(symbols):
            known = f"there are {len(symbols)} symbols" if symbols else "tokenizer.symbols is not given"
            raise ValueError(
                f"model.output: state takes the hidden units as logits, so hidden_size must be the number of"
                f" tokenizer.symbols (hidden_size is {model.hidden_size}, {known})"
            )
        if self.sweep and (model.input != "one_hot" or any(value for _, value in model.dropout if value is not True)):
            raise ValueError('sweep: runs small plain networks together: it needs model.input = "one_hot", no dropout')
        if self.sweep and self.sweep.hidden_sizes and self.variants:
            raise ValueError("sweep.hidden_sizes: cannot be combined with variants; name the sizes there")
        if self.sweep and self.training.start:
            raise ValueError("sweep: trains from many seeds, and training.start names weights to begin with; set one")
        coupled = self.training.optimizer == "asgd" or self.training.schedule == "plateau"
        if self.sweep and (coupled or self.training.patience_validations):
            raise ValueError(
                "sweep: asgd, plateau and patience_validations follow one validation score, but its trainings have one"
                " each; leave them out"
            )
        if self.sweep and self.training.clip_norm:
            raise ValueError(
                "sweep: clipping would couple the trainings that run together; set training.clip_norm = 0"
                f" (given {self.training.clip_norm})"
            )
        if self.sweep and (self.training.activation_penalty or self.training.temporal_activation_penalty):
            raise ValueError("sweep: the activation penalties are for single trainings; set them to 0")
        return self
