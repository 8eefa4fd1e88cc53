"""How far back a loss reaches: its gradient by earlier states (Bengio et al. 1994; Pascanu et al. 2013)."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from s2s.figures.charts import STYLES, WIDE, Axis, Chart, Line, axis_of, number
from s2s.language.model import LanguageModel
from s2s.language.recipe import LanguageRecipe
from s2s.language.text import EncodedText, Stream, cut
from s2s.plots import save

DISTANCES = 100
"""Largest distance in tokens."""
READ_BEFORE = 50
"""Tokens of running text that are read before the first of these states."""
ROWS = 32
"""Places in a text whose losses are taken; of lines, the batches searched for the longest."""
SHOWN = (1, 2, 5, 10, 20, 50, 100)
SMALLEST = -10
"""Power of ten below which a share is not drawn."""


@torch.enable_grad()
def gradient_norms(model: LanguageModel, tokens: Tensor, targets: Tensor, before: int = 0) -> list[float]:
    """(B, T), (B,) -> norms of the gradient of the last token's loss by the state 1, 2, ... tokens before.

    A norm is over all layers and parts of a state, and the mean of the rows; states after the first `before` tokens are
    looked at. `targets` follow the last tokens.
    """
    state = None
    if before:
        with torch.no_grad():
            state = model(tokens[:, :before]).state
    states = []
    for at in range(before, tokens.shape[1]):
        if state is not None:
            state = tuple(part if part.requires_grad else part.detach().requires_grad_() for part in state)
            states.append(state)
        readout, _, state = model(tokens[:, at : at + 1], state)
    nats = -model.scored(readout[:, -1], targets).log_probability.sum()
    parts = torch.autograd.grad(nats, [part for each in states for part in each])
    squares = torch.stack([part.double().square().sum(dim=(0, 2)) for part in parts])
    norms = squares.view(len(states), -1, len(tokens)).sum(dim=1).sqrt().mean(dim=1)
    return [float(norm) for norm in norms.flip(0)]


def gradients_of(model: LanguageModel, text: EncodedText, recipe: LanguageRecipe, device: torch.device) -> list[float]:
    """Norms by distance at places all over a text, or in its longest lines; none where they are too short."""
    before = 0
    if recipe.data.cut == "lines":
        batches = list(islice(cut(text, recipe).batches(0, 0), ROWS))
        batch = max(batches, key=lambda each: 0 if each.lengths is None else int(each.lengths.min()))
        assert batch.lengths is not None
        size = min(int(batch.lengths.min()), DISTANCES + 1)
    else:
        size = min(READ_BEFORE + DISTANCES, len(text.tokens) - 1)
        batch = next(Stream(text, rows=min(ROWS, (len(text.tokens) - 1) // size), window=size).batches(0, 0))
        before = min(READ_BEFORE, size // 3)
    if size < 3:
        return []
    norms = gradient_norms(model, batch.inputs[:, :size].to(device), batch.targets[:, size - 1].to(device), before)
    return norms if norms[0] else []


def gradient_chart(named: Mapping[str, Sequence[float]]) -> Chart:
    """Norms compared with that at distance 1, of some runs by name, in powers of ten."""
    lines = [
        Line(name, [(at, power) for at, power in enumerate(powers(norms), start=1)], STYLES[place % len(STYLES)])
        for place, (name, norms) in enumerate(named.items())
    ]
    least = min((power for line in lines for _, power in line.points if power is not None), default=0.0)
    low = math.floor(min(least, -1.0))
    ticks = [(float(power), f"1e{power}" if power else "1") for power in range(0, low - 1, low // 6)]
    x = axis_of("tokens between state and loss", (), low=1.0, high=max(2.0, *(len(line.points) for line in lines)))
    return Chart("Gradient by distance", x, Axis("norm, that at distance 1 is 1", low, 0.5, ticks), lines, width=WIDE)


def gradient_table(named: Mapping[str, Sequence[float]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the same numbers, and the distance at which less than a tenth and a hundredth are left."""
    longest = max(map(len, named.values()))
    shown = [at for at in SHOWN if at <= longest]
    rows = []
    for name, norms in named.items():
        shares = [norm / norms[0] for norm in norms]
        below = [next((str(at) for at, each in enumerate(shares, 1) if each < part), "–") for part in (0.1, 0.01)]
        rows.append([name, *(number(shares[at - 1]) if at <= len(shares) else "–" for at in shown), *below])
    return ["distance", *map(str, shown), "below 10 % from", "below 1 % from"], rows


def powers(norms: Sequence[float]) -> list[float | None]:
    """Powers of ten of norms compared with the first, none for those below SMALLEST."""
    found = (math.log10(norm / norms[0]) if norm else -math.inf for norm in norms)
    return [power if power >= SMALLEST else None for power in found]


def plot_gradients(norms: Sequence[float], path: Path, title: str) -> None:
    """Draw them; axes are the same for all, so that plots stand side by side."""
    figure = Figure(figsize=(4.2, 3.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(range(1, len(norms) + 1), [norm / norms[0] for norm in norms])
    axes.set(xlabel="tokens between state and loss", ylabel="gradient, 1 at distance 1")
    axes.set(xlim=(0, DISTANCES), ylim=(10.0**SMALLEST, 3.0))
    axes.yaxis.set_major_formatter("{x:.0e}")  # texts are drawn as they are, and the default has markup
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    save(figure, path)
