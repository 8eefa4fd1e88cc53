"""The recipe tree of translation: every value that a translator depends on, its default, its rule and its unit."""

import math
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from s2s.formats.read import ENDINGS
from s2s.recipe.sections import Optimization, Section, TeacherForcing, Tokenizer, Tree, Variants
from s2s.text.conventions import unquoting
from s2s.text.normalization import Normalization
from s2s.translation.data import FileSplit, PairSplit, Portion, TableSplit, TranslationData
from s2s.translation.languages import BleuTokenizer
from s2s.translation.lengths import LEAST_LENGTH_RATIO, longest_output


class PairTokenizer(Tokenizer):
    """How sentence pairs become tokens."""

    left_to_data = ("source_normalization", "target_normalization")

    kind: Literal["subword", "words", "characters"] = Field(
        default="subword", description="SentencePiece subwords, words split at white space, or characters"
    )
    target_kind: Literal["subword", "words", "characters"] | None = Field(
        default=None, description="kind of the target's tokens, where it is another; needs joint = false"
    )
    joint: bool = Field(default=True, description="one vocabulary for both languages, or one for each")
    sampling: float = Field(
        default=0.0, ge=0, le=1, description="subword regularisation: unigram alpha, or rate of BPE dropout; 0 is off"
    )
    source_normalization: Normalization = Field(
        default="nmt_nfkc",
        description="of sources, before they are split: Unicode's nfc, nfd or nfkc, SentencePiece's nmt_nfkc (NFKC,"
        " spaces alike, marks without width dropped), or none, which is the default of words and characters",
    )
    target_normalization: Normalization = Field(
        default="none", description="of targets, by the same rules; outputs are written as the rule leaves them"
    )

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, given: Any) -> Any:
        listed = isinstance(given, dict) and given.get("kind") in ("words", "characters")
        return {"source_normalization": "none", **given} if listed else given

    @property
    def sides(self) -> tuple[Self, Self]:
        """The settings of source and target."""
        return self, self.model_copy(update={"kind": self.target_kind or self.kind})

    @property
    def rules(self) -> tuple[Normalization, Normalization]:
        """The normalisation of source and target."""
        return self.source_normalization, self.target_normalization


class Dropout(Section):
    """Dropout rates: probabilities of setting to zero, in training only."""

    embedding: float = Field(default=0.0, ge=0, lt=1, description="on embedded tokens")
    layers: float = Field(default=0.0, ge=0, lt=1, description="between recurrent layers")
    output: float = Field(default=0.0, ge=0, lt=1, description="on encoder outputs and on the decoder's readout")
    variational: bool = Field(default=False, description="one mask a sentence, the same at every step")
    source_words: float = Field(default=0.0, ge=0, lt=1, description="word dropout: source tokens")
    target_words: float = Field(default=0.0, ge=0, lt=1, description="word dropout: target tokens fed to the decoder")


class Seq2SeqModel(Section):
    """An encoder, an attention and a decoder."""

    cell: Literal["elman", "gru", "lstm"] = Field(default="gru", description="recurrent cell")
    embedding_size: int = Field(default=256, ge=1, description="units of a token's embedding and of the readout")
    hidden_size: int = Field(default=384, ge=1, description="units of the decoder's state")
    encoder_layers: int = Field(default=1, ge=1, description="recurrent layers; from the third on they are residual")
    decoder_layers: int = Field(default=1, ge=1, description="recurrent layers, residual as the encoder's")
    bidirectional: bool = Field(default=True, description="read the source in both directions")
    encoder_hidden_size: int | None = Field(
        default=None, ge=1, description="units of each encoder direction; default: hidden_size shared by the directions"
    )
    attention: Literal["dot", "scaled_dot", "general", "concat", "location", "none"] = Field(
        default="general", description="attention score (Luong et al. 2015; concat as in Bahdanau et al. 2015)"
    )
    attention_size: int | None = Field(default=None, ge=1, description="units of concat; default: hidden_size")
    location_positions: int = Field(
        default=128, ge=1, description="source positions that location attention can point at; later ones are not seen"
    )
    wiring: Literal["luong", "gnmt"] = Field(
        default="luong",
        description="luong: the top layer's state is the attention's query; gnmt: the first layer's is, and the layers"
        " above receive the context (needs decoder_layers of at least 2)",
    )
    input_feeding: bool = Field(
        default=False, description="the readout of a step is input of the next (Luong et al. 2015, section 3.3)"
    )
    bridge: Literal["learned", "last", "zeros"] = Field(
        default="learned", description="decoder's first state: a projection of the encoder's last, a copy, or zeros"
    )
    tied_embeddings: Literal["none", "target", "all"] = Field(
        default="target", description="weight tying: none, target embedding and output layer, or source embedding too"
    )
    initialization: Literal["uniform", "orthogonal"] = Field(
        default="orthogonal",
        description="uniform in ±0.1, or orthogonal recurrent and Xavier input matrices; LSTM forget bias 1 in both",
    )
    dropout: Dropout = Dropout()

    @property
    def directions(self) -> int:
        """D, the directions that the encoder reads in."""
        return 2 if self.bidirectional else 1

    @property
    def encoder_units(self) -> int:
        """Hidden units of the encoder for each direction."""
        return self.encoder_hidden_size or self.hidden_size // self.directions

    @property
    def memory_size(self) -> int:
        """Units that the encoder leaves at each source position (all directions)."""
        return self.encoder_units * self.directions

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.encoder_hidden_size is None and self.hidden_size % self.directions:
            raise ValueError(
                f"hidden_size: must be even to be shared by two encoder directions (given {self.hidden_size});"
                " choose an even one or set encoder_hidden_size"
            )
        if self.attention in ("dot", "scaled_dot") and self.memory_size != self.hidden_size:
            raise ValueError(
                f"attention: {self.attention} needs encoder and decoder of one size, but the encoder leaves"
                f" {self.memory_size} units ({self.directions} x {self.encoder_units}) and the decoder has"
                f" {self.hidden_size}; choose general, or equal sizes"
            )
        if self.bridge == "last" and self.memory_size != self.hidden_size:
            raise ValueError(
                f"bridge: last copies the encoder's state, but it has {self.memory_size} units"
                f" ({self.directions} x {self.encoder_units}) and the decoder {self.hidden_size}; choose learned"
            )
        if self.wiring == "gnmt" and self.decoder_layers < 2:
            raise ValueError(
                f"wiring: gnmt gives the context to the layers above the first, so decoder_layers must be at least 2"
                f" (given {self.decoder_layers})"
            )
        return self


class Training(Optimization):
    """The optimisation of a translator: batches, loss and teacher forcing besides what every training has."""

    batch_tokens: int = Field(default=3000, ge=1, description="batch size, in padded tokens of its longer side")
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="probability spread over the vocabulary")
    r_drop: float = Field(
        default=0.0,
        ge=0,
        description="weight of what two dropout masks make of a sentence differently (Wu et al. 2021); 0 is off",
    )
    teacher_forcing: TeacherForcing = TeacherForcing()
    metric: Literal["bleu", "chrf", "exact_match", "nats_per_token"] = Field(
        default="bleu",
        description="validation score whose best weights are kept, ties decided by nats_per_token; chrf takes the"
        " place of bleu where most references are shorter than four tokens",
    )


class Decoding(Section):
    """Beam search."""

    left_to_data = ("max_length_ratio",)

    beam: int = Field(default=5, ge=1, description="beam size: hypotheses of each sentence; 1 is greedy")
    length_normalization: Literal["none", "average", "gnmt"] = Field(
        default="average", description="divide a log-probability by nothing, the length, or ((5 + length) / 6)^alpha"
    )
    length_alpha: float = Field(default=0.6, ge=0, description="alpha of gnmt (Wu et al. 2016, equation 14)")
    coverage_penalty: float = Field(default=0.0, ge=0, description="beta of gnmt's coverage penalty; 0 is off")
    no_repeat_ngram: int = Field(default=0, ge=0, description="size of n-grams that may not occur twice; 0 is off")
    min_length_ratio: float = Field(default=0.0, ge=0, description="shortest output, in tokens per source token")
    max_length_ratio: float | None = Field(
        default=None,
        gt=0,
        description="longest output, in tokens per source token, plus 10 tokens; default: at least 2, and what the"
        " longest target of the training pairs needs",
    )
    batch_lines: int = Field(default=64, ge=1, description="batch size, in sentences")
    copy_unknown: bool = Field(
        default=False,
        description="write the source word attended to most in the place of an unknown one; for words and characters;"
        " runs with it export to onnx only",
    )

    def longest_output(self, source_tokens: int) -> int:
        """Most tokens of an output, its END counted, for so many of a source, its END counted."""
        return longest_output(source_tokens, self.longest_ratio)

    @property
    def longest_ratio(self) -> float:
        """Longest output in tokens per source token, without `lengths.EXTRA_TOKENS`."""
        return LEAST_LENGTH_RATIO if self.max_length_ratio is None else self.max_length_ratio

    def settled(self, longest_ratio: float) -> Self:
        """The same with a longest output of at least this many tokens per source token, unless the recipe gives one."""
        if self.max_length_ratio is not None:
            return self
        ratio = max(longest_ratio, LEAST_LENGTH_RATIO, self.min_length_ratio)
        return self.model_copy(update={"max_length_ratio": ratio})


class Evaluation(Section):
    """How translations are scored."""

    bleu_tokenizer: BleuTokenizer = Field(
        default="auto", description="sacreBLEU's; auto: by the name of data.target and the script of the references"
    )
    symbols: bool | None = Field(
        default=None,
        description="outputs are strings of symbols, as pronunciations are, and have word and phone error rates;"
        " default: whether the references look so",
    )


class TranslationRecipe(Tree):
    """A recurrent translator: data, tokenizer, model, training and search."""

    forms = (FileSplit, TableSplit, PairSplit)
    portion = Portion
    paths = ("table", "source", "target")
    path_endings = (".tsv", *ENDINGS)
    conversions: ClassVar = {".csv": unquoting("FILE", ",")}
    may_differ = (*Tree.may_differ, "tokenizer.sampling")
    used = ("task", "data.source", "data.target", "data.max_tokens", "data.test", "data.protect", "data.augment",
            "tokenizer", "model", "decoding")  # fmt: skip

    task: Literal["translation"] = Field(description="what is trained; chooses this tree")
    data: TranslationData
    tokenizer: PairTokenizer = PairTokenizer()
    model: Seq2SeqModel = Seq2SeqModel()
    training: Training
    decoding: Decoding = Decoding()
    evaluation: Evaluation = Evaluation()
    variants: Variants = Field(default={})

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        kind, target_kind = (side.kind for side in self.tokenizer.sides)
        if self.tokenizer.punctuation and "words" not in (kind, target_kind):
            raise ValueError(f"tokenizer.punctuation: is for words only (kind is {kind})")
        if self.tokenizer.sampling and "subword" not in (kind, target_kind):
            raise ValueError(f"tokenizer.sampling: is for subword only (kind is {kind})")
        if self.tokenizer.joint and kind != target_kind:
            raise ValueError(
                f"tokenizer.target_kind: one vocabulary has one kind (given {target_kind}, kind is {kind}); set"
                " tokenizer.joint = false"
            )
        tagged = bool(self.data.tags)
        if self.model.attention == "location" and self.data.max_tokens + tagged >= self.model.location_positions:
            raise ValueError(
                f"model.location_positions: must be above data.max_tokens, since the end of a sentence takes a position"
                f"{', and a tag' if tagged else ''} (given {self.model.location_positions}, max_tokens is"
                f" {self.data.max_tokens})"
            )
        if self.decoding.copy_unknown and (self.tokenizer.kind == "subword" or self.model.attention == "none"):
            raise ValueError(
                "decoding.copy_unknown: needs words or characters, and attention (tokenizer.kind is"
                f" {self.tokenizer.kind}, model.attention {self.model.attention}); set it to false"
            )
        if self.model.attention == "none" and self.decoding.coverage_penalty:
            raise ValueError("decoding.coverage_penalty: needs attention, and model.attention is none; set it to 0")
        if self.decoding.min_length_ratio > (self.decoding.max_length_ratio or math.inf):
            raise ValueError(
                f"decoding.min_length_ratio: must be at most max_length_ratio (given {self.decoding.min_length_ratio},"
                f" max_length_ratio is {self.decoding.max_length_ratio})"
            )
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            raise ValueError("model.tied_embeddings: all shares one embedding, which needs tokenizer.joint = true")
        return self
