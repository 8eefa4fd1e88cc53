"""Drawing the next token: temperature, top-k and top-p. Knows no model."""

import torch
from torch import Tensor


def draw(
    logits: Tensor, generator: torch.Generator, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """(N, V) -> (N,), a token for each row, drawn from softmax(logits / temperature) after what is unlikely is cut.

    Temperature 0 is the most likely token, of equal ones the lowest. `top_k` keeps the k most likely tokens, 0 all
    (Fan et al. 2018); `top_p` the fewest whose probabilities reach p together (Holtzman et al. 2020).
    """
    if temperature == 0.0:
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
