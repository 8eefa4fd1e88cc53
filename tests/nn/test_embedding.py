"""The embedding table."""

import math

import torch

from s2s.nn.embedding import Embedding


def test_a_token_reads_its_row_times_the_root_of_the_units() -> None:
    embedding = Embedding(7, 9)
    tokens = torch.tensor([[0, 6, 3], [3, 3, 1]])
    torch.testing.assert_close(embedding(tokens), embedding.weight[tokens] * 3.0)


def test_the_gradient_of_a_row_is_scaled_alike_and_counts_each_use() -> None:
    embedding = Embedding(4, 16)
    embedding(torch.tensor([2, 2, 1])).sum().backward()  # type: ignore[no-untyped-call]
    assert embedding.weight.grad is not None
    assert embedding.weight.grad[:, 0].tolist() == [0.0, 4.0, 8.0, 0.0]


@torch.no_grad()
def test_weights_of_deviation_one_over_root_e_are_read_out_unit_sized() -> None:
    torch.manual_seed(1)
    embedding = Embedding(400, 64)
    torch.nn.init.normal_(embedding.weight, std=1 / math.sqrt(64))
    assert abs(float(embedding(torch.arange(400)).std()) - 1.0) < 0.02
