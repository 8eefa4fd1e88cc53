"""What the command line sets for its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2s.cli.commands import main
from s2s.cli.terminal import WAITING, wait_passively


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"KMP_BLOCKTIME": "200"}])
def test_threads_wait_passively_unless_the_user_chose(chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(chosen))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("s2s.workers.QUOTA", Path("/none"))
    wait_passively()
    assert os.environ == (chosen or WAITING)


def test_a_process_that_has_torch_already_keeps_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setitem(sys.modules, "torch", sys)
    wait_passively()
    assert os.environ == {}


@pytest.mark.parametrize("command", ["train", "translate", "evaluate", "score", "distil", "backtranslate", "generate",
                                     "forecast", "serve", "bench", "report"])  # fmt: skip
def test_every_command_that_computes_takes_a_number_of_threads(command: str) -> None:
    names = {name for option in main.commands[command].params for name in option.opts}
    assert {"--threads", "--device"} <= names


def test_threads_are_set_before_torch_is_imported() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from s2s.cli.commands import main\n"
        "said = CliRunner().invoke(main, ['forecast', 'no-run', '--threads', '1']).stderr\n"
        "assert 'no-run: no such run folder' in said, said\n"
        "import torch; assert torch.get_num_threads() == 1, torch.get_num_threads()"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "2"}, check=True)


def test_a_container_with_a_share_of_the_cores_computes_with_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr("s2s.workers.QUOTA", tmp_path / "cpu.max")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for chosen, threads in (({}, "1"), ({"OMP_NUM_THREADS": "7"}, "7")):
        monkeypatch.setattr(os, "environ", dict(chosen))
        wait_passively()
        assert os.environ["OMP_NUM_THREADS"] == threads
