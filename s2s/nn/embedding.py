"""Token embeddings."""

import math

from torch import Tensor, nn

from s2s.device import product_type


class Embedding(nn.Embedding):
    """A table of token vectors, read out times sqrt(E) (Vaswani et al. 2017, section 3.4).

    Small weights suit the output layer that shares them; unit-sized values suit the recurrent layer that reads them.
    Without the factor the first thousand steps learn little but word frequencies.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., E), in the type of the products that read them."""
        return (super().forward(tokens) * math.sqrt(self.embedding_dim)).to(product_type(self.weight))

    def reset_parameters(self) -> None:
        """Sample the weights, but on the meta device: for `normal_` there torch imports its compiler, in seconds."""
        if not self.weight.is_meta:
            super().reset_parameters()
