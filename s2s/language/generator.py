"""Continuation of prompts by a language model and its tokenizer."""

from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from tqdm import tqdm

from s2s.device import Compute, Precision, choose_compute
from s2s.errors import DataError
from s2s.language.model import LanguageModel, build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.nn.weights import frozen, load_model
from s2s.run import RunFolder, read_run
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.text.tokenizer import Tokenizer, load_tokenizers
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer


class Continuation(NamedTuple):
    """A prompt with its continuation."""

    text: str
    log_probability: float
    """of the continuation, with the end of the line that ended it, at temperature 1, in nats"""
    tokens: tuple[str, ...]
    """of the continuation"""


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
        tokenizer, compute = load_tokenizers(folder.path)[0], choose_compute(device, precision)
        build = partial(build_language_model, recipe.model, tokenizer.vocabulary_size)
        model = load_model(build, folder.require_best())
        return cls(model, tokenizer, recipe, compute)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 1,
        samples: int = 1,
    ) -> list[Continuation]:
        """Continue a prompt by `length` tokens, as many times as `samples` says, all in one batch.

        Lines that were trained on one by one end early. DataError for a prompt with characters or words that the
        vocabulary lacks, and for an empty one where the model knows no beginning of a line; TypeError for a prompt that
        is no text, ValueError for a number out of its range, as on the command line.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"prompt: a text is wanted (given {prompt!r}); an empty one is the start of a line")
        for name, value, least in (
            ("length", length, 0),
            ("top_k", top_k, 0),
            ("seed", seed, 0),
            ("samples", samples, 1),
        ):
            if not isinstance(value, Integral) or not least <= value < 2**63:
                raise ValueError(f"{name}: must be a whole number of at least {least} (given {value!r})")
        require_temperature(temperature)
        if not (isinstance(top_p, Real) and 0 < top_p <= 1):
            raise ValueError(f"top_p: must be above 0 and at most 1, where 1 is off (given {top_p!r})")
        with self.compute.entered():
            return self._generate(prompt, length, samples, seed, temperature=temperature, top_k=top_k, top_p=top_p)

    def _generate(self, prompt: str, length: int, samples: int, seed: int, **sampling: Any) -> list[Continuation]:
        begin = self._begin(prompt)
        generator = torch.Generator(device=self.compute.device).manual_seed(seed)
        written: list[Tensor] = []
        log_probabilities = torch.zeros(samples, device=self.compute.device)
        finished = torch.zeros(samples, dtype=torch.bool, device=self.compute.device)
        tokens = torch.tensor([begin] * samples, device=self.compute.device)
        state = None
        forbidden = self._forbidden().to(self.compute.device)
        bar = tqdm(total=length, desc="generate", unit=" tokens", disable=None, delay=2, leave=False)
        with torch.inference_mode(), self.compute.autocast(), bar:
            for _ in range(length):
                readout, _, state = self.model(tokens, state)
                logits = self.model.logits(readout[:, -1]).float()
                allowed = logits.masked_fill(forbidden, -torch.inf)
                chosen = sample(allowed, generator, **sampling)
                each = logits.log_softmax(dim=1).gather(1, chosen[:, None])[:, 0]
                log_probabilities += each.where(~finished, 0.0)
                written.append(chosen.where(~finished, PAD))
                if self._ends():
                    finished = finished | (chosen == END)
                tokens = chosen[:, None]
                bar.update()
                if bool(finished.all()):
                    break
        rows = torch.stack(written, dim=1).tolist() if written else [[] for _ in range(samples)]
        return [
            self._continuation(prompt, row, float(value)) for row, value in zip(rows, log_probabilities, strict=True)
        ]

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
        if isinstance(self.tokenizer, ListTokenizer):
            what = "character" if isinstance(self.tokenizer, CharacterTokenizer) else "word"
            lacking = self.tokenizer.lacking(prompt)
        else:
            what = "word"
            lacking = [word for word in dict.fromkeys(prompt.split()) if UNKNOWN in self.tokenizer.encode(word)]
        if lacking:
            shown = ", ".join(map(repr, lacking))
            raise DataError(f"the prompt has the {what} {shown}, which the training text lacks; leave it out")

    def _forbidden(self) -> Tensor:
        """(V,), True for tokens that are never written: special ids, but END where the model was trained on it."""
        forbidden = torch.zeros(self.tokenizer.vocabulary_size, dtype=torch.bool)
        if not self.closed:
            forbidden[[PAD, UNKNOWN, START]] = True
            forbidden[END] = isinstance(self.tokenizer, CharacterTokenizer) and not self._ends()
        return forbidden

    def _continuation(self, prompt: str, row: list[int], log_probability: float) -> Continuation:
        if self._ends() and END in row:
            row = row[: row.index(END)]
        tokens = tuple(self.tokenizer.token(token) for token in row)
        if isinstance(self.tokenizer, CharacterTokenizer):
            return Continuation(prompt + self.tokenizer.decode(row), log_probability, tokens)
        # words of prompt and continuation are joined together, with the spaces that the tokenizer sets
        lines: list[list[int]] = [[]]
        for token in self._encode(prompt) + row:
            if token == END and not self.closed:
                lines.append([])
            else:
                lines[-1].append(token)
        return Continuation("\n".join(self.tokenizer.decode(line) for line in lines), log_probability, tokens)


def require_temperature(temperature: float) -> None:
    """ValueError for what is no temperature: below 1e-6, dividing by it would overflow."""
    if not (isinstance(temperature, Real) and (temperature == 0 or 1e-6 <= temperature <= 1e6)):
        raise ValueError(f"temperature: must be 0, which is greedy, or from 1e-6 to 1e6 (given {temperature!r})")


def sample(
    logits: Tensor, generator: torch.Generator, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """(N, V) -> (N,), a token for each row, sampled from softmax(logits / temperature) without the unlikely tokens.

    Temperature 0, or one that float32 takes for it, is the most likely token, of equal ones the lowest. `top_k` keeps
    the k most likely tokens, 0 all (Fan et al. 2018); `top_p` the fewest whose probabilities reach p together
    (Holtzman et al. 2020).
    """
    if temperature < torch.finfo(torch.float32).tiny:
        return logits.argmax(dim=1)
    # the largest is taken off first, or a low temperature would overflow
    scaled = (logits - logits.max(dim=1, keepdim=True).values) / temperature
    if 0 < top_k < scaled.shape[1]:
        scaled = scaled.masked_fill(scaled < scaled.topk(top_k, dim=1).values[:, -1:], -torch.inf)
    if top_p < 1.0:
        ranked, order = scaled.sort(dim=1, descending=True, stable=True)
        before = ranked.softmax(dim=1).cumsum(dim=1) - ranked.softmax(dim=1)
        cut = torch.zeros_like(scaled, dtype=torch.bool).scatter(1, order, before >= top_p)
        scaled = scaled.masked_fill(cut, -torch.inf)
    return torch.multinomial(scaled.softmax(dim=1), 1, generator=generator)[:, 0]
