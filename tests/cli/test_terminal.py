"""What the command line sets for its process."""

import os
import sys

import pytest

from s2s.cli.terminal import WAITING, wait_passively


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"KMP_BLOCKTIME": "200"}])
def test_threads_wait_passively_unless_the_user_chose(chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(chosen))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    wait_passively()
    assert os.environ == (chosen or WAITING)


def test_a_process_that_has_torch_already_keeps_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setitem(sys.modules, "torch", sys)
    wait_passively()
    assert os.environ == {}
