"""Continuation of prompts by a language model and its tokenizer."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor
from tqdm import tqdm

from s2s.device import Compute, Precision, choose_compute
from s2s.errors import DataError
from s2s.language.model import CHUNK_LOGITS, LanguageModel, build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.language.sampling import Sampling, require_whole
from s2s.language.writing import Stops, Text, Writer
from s2s.nn.recurrent import State
from s2s.nn.weights import frozen, load_model
from s2s.recipe.arguments import shortened
from s2s.run import RunFolder, read_run
from s2s.text.batches import pad
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.text.tokenizer import Tokenizer, load_tokenizers
from s2s.text.wordlist import ByteTokenizer, CharacterTokenizer, ListTokenizer

ROWS = 128
"""Texts that are written together, at most."""
READ_TOKENS = 1 << 17
"""Padded tokens of prompts that are read together, at most, but for a longer one alone."""


class Continuation(NamedTuple):
    """A prompt with its continuation."""

    text: str
    """without the text that stopped it; of a model of bytes, those that are not UTF-8 are lone surrogates (PEP 383)"""
    log_probability: float
    """of the tokens, with the end of the line that ended them, at temperature 1, in nats"""
    tokens: tuple[str, ...]
    """of the continuation, those of the text that stopped it among them"""
    prompt: str
    seed: int
    stopped: Literal["length", "end", "stop"]
    """why it is no longer: all tokens are written, the line has ended, or the text of a stop was found"""


class Generator:
    """A frozen copy of a language model, which continues texts; many threads may use one."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, recipe: LanguageRecipe, compute: Compute) -> None:
        self.model = frozen(model, compute.device)
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.compute = compute
        self.closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed

    @classmethod
    def load(cls, run: str | Path, *, device: str = "auto", precision: Precision = "float32") -> Self:
        """Open a run folder; RunError for one that is missing, damaged or holds no language model."""
        folder = RunFolder(Path(run))
        recipe = read_run(folder, {"language": LanguageRecipe})
        tokenizer = load_tokenizers(folder.path)[0]
        compute = choose_compute(device, precision).require_floats("a language model")
        build = partial(build_language_model, recipe.model, tokenizer.vocabulary_size)
        model = load_model(build, folder.require_best())
        return cls(model, tokenizer, recipe, compute)

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 1,
        samples: int = 1,
    ) -> list[Continuation]:
        """Continue a prompt, or each of several, by `length` tokens, as many times as `samples` says, all in batches.

        The samples of each prompt have the seeds from `seed` on, and a text does not depend on those beside it. It ends
        before the first text of `stop`, which may be spread over tokens but not begin in the prompt; lines that were
        trained on one by one end early too. `min_p` leaves out what is less likely than that share of the most likely.
        DataError for a prompt with characters or words that the vocabulary lacks, and for an empty one where the model
        knows no beginning of a line; TypeError for a prompt that is no text, ValueError for a number out of its range.
        """
        require_whole("samples", samples, 1)
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if not isinstance(prompts, list | tuple):
            raise TypeError(f"prompt: a text is wanted, or a list of some (given {prompt!r})")
        sampling = Sampling(length, temperature, top_k, top_p, min_p, stop, seed)
        texts = self._texts(prompts, sampling, samples)
        for group in _groups(texts):
            bar = tqdm(total=length, desc="generate", unit=" tokens", disable=None, delay=2, leave=False)
            with bar:
                for _ in self._steps(group, sampling):
                    bar.update()
        return [self._continuation(text) for text in texts]

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 1,
    ) -> Iterator[str]:
        """The text of `generate` as it is written: the prompt, then each piece once no later token can change it.

        Errors are those of `generate`, raised before the first piece.
        """
        sampling = Sampling(length, temperature, top_k, top_p, min_p, stop, seed)
        (text,) = self._texts([prompt], sampling, 1)
        steps = self._steps([text], sampling)
        return (piece for _ in chain([None], steps, [None]) if (piece := text.taken()))

    def _texts(self, prompts: Sequence[str], sampling: Sampling, samples: int) -> list[Text]:
        """Texts to be written; each knows its prompt."""
        sampling.require()
        texts = []
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt: a text is wanted (given {prompt!r}); an empty one is the start of a line")
            begin = self._begin(prompt)
            for number in range(samples):
                writer = Writer(self.tokenizer)
                given = "".join(map(writer.add, self._encode(prompt))) if writer.joined else prompt
                texts.append(Text(prompt, begin, given, writer, Stops(sampling.stop), sampling.seed + number))
        return texts

    def _steps(self, texts: Sequence[Text], sampling: Sampling) -> Iterator[None]:
        """Write a token of each text at each step, until all have ended."""
        device, writing = self.compute.device, list(texts)
        state: State | None = None
        forbidden = self._forbidden().to(device)
        lengths: Tensor | None = torch.tensor([len(text.begin) for text in writing])
        tokens = pad([text.begin for text in writing]).to(device)
        for _ in range(sampling.length):
            with self.compute.entered(), torch.inference_mode(), self.compute.autocast():  # and not at the yield
                readout, _, state = self.model(tokens, state, lengths)
                last = readout[:, -1] if lengths is None else readout[torch.arange(len(writing)), lengths - 1]
                draws = torch.tensor([text.draw() for text in writing], dtype=torch.float64, device=device)
                chosen, each = self._sample(last, draws, sampling, forbidden)
                for text, token, value in zip(writing, chosen.tolist(), each.tolist(), strict=True):
                    text.add(token, value, ends=token == END and self._ends())
                tokens, lengths = chosen[:, None], None
                going = [row for row, text in enumerate(writing) if text.stopped is None]
                if len(going) < len(writing):
                    writing = [writing[row] for row in going]
                    tokens, state = tokens[going], tuple(part[:, going] for part in state)
            yield
            if not writing:
                return
        for text in writing:
            text.finish("length")

    def _sample(self, readout: Tensor, draws: Tensor, sampling: Sampling, forbidden: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H), (N,) -> tokens and their log-probabilities, (N,) each; of a large vocabulary a few rows at a time."""
        rows = max(1, CHUNK_LOGITS // self.tokenizer.vocabulary_size)
        tokens, values = [], []
        for part, given in zip(torch.split(readout, rows), torch.split(draws, rows), strict=True):
            logits = self.model.logits(part).float()
            tokens.append(sampling.sample(logits.masked_fill(forbidden, -torch.inf), given))
            values.append(logits.log_softmax(dim=1).gather(1, tokens[-1][:, None])[:, 0])
        return torch.cat(tokens), torch.cat(values)

    def _continuation(self, text: Text) -> Continuation:
        assert text.stopped
        tokens = tuple(map(self.tokenizer.token, text.tokens))
        return Continuation(text.taken(), text.log_probability, tokens, text.prompt, text.seed, text.stopped)

    def _ends(self) -> bool:
        """Whether the model was trained on lines, so that a text ends with its line."""
        return self.recipe.data.cut == "lines" and not self.closed

    def _begin(self, prompt: str) -> list[int]:
        """The tokens to read before the first is written."""
        self._check(prompt)
        tokens = self._encode(prompt)
        if self._ends():
            return [START, *tokens]
        if tokens:
            return tokens
        if isinstance(self.tokenizer, CharacterTokenizer) and not self.tokenizer.lacking("\n"):
            return self.tokenizer.encode("\n")
        if isinstance(self.tokenizer, CharacterTokenizer) or self.closed:
            raise DataError("the prompt is empty, and the model knows no beginning of a line; give it a first symbol")
        return [END]

    def _encode(self, prompt: str) -> list[int]:
        if isinstance(self.tokenizer, CharacterTokenizer):
            return self.tokenizer.encode(prompt)
        tokens: list[int] = []
        for number, line in enumerate(prompt.split("\n")):
            tokens += ([END] if number and not self.closed else []) + self.tokenizer.encode(line)
        return tokens

    def _check(self, prompt: str) -> None:
        if isinstance(self.tokenizer, ByteTokenizer):  # which has them all
            return
        given = shortened(repr(prompt))
        if any("\ud800" <= letter <= "\udfff" for letter in prompt):  # so Python reads a wrong byte of an argument
            raise DataError(f"the prompt {given} is not valid UTF-8; give it in UTF-8")
        if isinstance(self.tokenizer, ListTokenizer):
            what = "character" if isinstance(self.tokenizer, CharacterTokenizer) else "word"
            lacking = self.tokenizer.lacking(prompt)
        else:
            what = "word"
            lacking = [word for word in dict.fromkeys(prompt.split()) if UNKNOWN in self.tokenizer.encode(word)]
        if lacking:
            shown = ", ".join(map(repr, lacking))
            raise DataError(f"the prompt {given} has the {what} {shown}, which the training text lacks; leave it out")

    def _forbidden(self) -> Tensor:
        """(V,), True for tokens that are never written: special ids, but END where the model was trained on it."""
        forbidden = torch.zeros(self.tokenizer.vocabulary_size, dtype=torch.bool)
        if not self.closed:
            forbidden[[PAD, UNKNOWN, START]] = True
            forbidden[END] = isinstance(self.tokenizer, CharacterTokenizer) and not self._ends()
        return forbidden


def _groups(texts: Sequence[Text]) -> Iterator[list[Text]]:
    """Texts that are written together, in their order."""
    group: list[Text] = []
    longest = 0
    for text in texts:
        longest = max(longest, len(text.begin))
        if group and (len(group) == ROWS or (len(group) + 1) * longest > READ_TOKENS):
            yield group
            group, longest = [], len(text.begin)
        group.append(text)
    if group:
        yield group
