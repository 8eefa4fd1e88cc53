"""Random numbers of some rows are those that the whole batch has there."""

import pytest
import torch

from s2s.nn.layers import Dropout, dropout_mask
from s2s.nn.rows import Rows, for_rows, only_rows

LIKE = torch.zeros(0)


@pytest.mark.parametrize("taken", [slice(0, None, 2), slice(1, None, 2), slice(2, None, 3), slice(0, 1)])
def test_rows_have_the_masks_of_the_whole_batch_and_the_random_state_goes_on_alike(taken: slice) -> None:
    def sampled(rows: int) -> list[torch.Tensor]:
        torch.manual_seed(3)
        mask = Dropout(output=0.4, variational=False).mask(torch.zeros(rows, 0), 0.4, 5, steps=3)
        assert mask is not None
        pairs = dropout_mask(LIKE, 0.5, shape=(2 * rows, 7)).view(rows, 2, 7)  # two of each row, side by side
        choices = for_rows(lambda rows: torch.rand(4, rows, 1), rows, dim=1)
        weights = dropout_mask(LIKE, 0.5, shape=(6, 6), by_row=False)
        return [mask, pairs, choices.transpose(0, 1), weights, torch.rand(2)]

    whole = sampled(11)
    with only_rows(Rows(taken, 11)):
        some = sampled(len(range(11)[taken]))
    for all_rows, own in zip(whole[:3], some[:3], strict=True):
        assert torch.equal(own, all_rows[taken])
        assert own.is_contiguous() or own.transpose(0, 1).is_contiguous()
    for all_rows, own in zip(whole[3:], some[3:], strict=True):
        assert torch.equal(own, all_rows)
    assert all(torch.equal(a, b) for a, b in zip(sampled(11), whole, strict=True))
