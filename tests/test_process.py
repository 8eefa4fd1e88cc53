"""The process from outside: asked to stop at any moment it says one line; started as one of several it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import s2s
from s2s.cli.commands import main

PACKAGE = str(Path(s2s.__file__).parents[1])


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PACKAGE, "S2S_CACHE": str(tmp_path / "cache"), **more}


@pytest.mark.parametrize("imports", [1, 250, 1100, 1900])
def test_sigterm_after_so_many_imports_is_one_line(tmp_path: Path, imports: int) -> None:
    """The moments are counted in the lines that Python writes for each import; few more come than a training has."""
    command = [sys.executable, "-X", "importtime", "-m", "s2s", "train", "tiny-en-ko", "training.steps=1000000"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
    ) as process:
        assert process.stderr is not None
        seen, said = 0, []
        for line in process.stderr:
            is_import = line.startswith("import time:")
            seen += is_import
            said += [] if is_import else [line]
            ready = any(name in line for name in (" s2s.process", " s2s.errors")) if imports == 1 else seen >= imports
            if ready or "weights on cpu" in line:
                process.send_signal(signal.SIGTERM)
                break
        said += [line for line in process.stderr if not line.startswith("import time:")]
    assert "Traceback" not in "".join(said)
    if process.returncode == -signal.SIGTERM:  # before any code of s2s
        assert imports == 1
    else:
        assert process.returncode == 130, said
        assert said[-1] == "s2s: interrupted\n" or said[-1].startswith("s2s: stopped at step ")


@pytest.mark.parametrize(
    ("number", "rank", "said"),
    [(signal.SIGINT, "0", "s2s: interrupted\n"), (signal.SIGTERM, "0", "s2s: interrupted\n"), (signal.SIGINT, "1", "")],
)
def test_leaving_removes_what_is_unfinished_and_writes_what_was_printed(
    tmp_path: Path, number: signal.Signals, rank: str, said: str
) -> None:
    """Of several processes the first alone says so."""
    ranks = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    program = (
        "import os, sys; from pathlib import Path; from s2s.process import leave_when_asked; import s2s.files;"
        "leave_when_asked(); print('a line');\n"
        f"with s2s.files.writing(Path('out.txt')) as path: path.touch(); os.kill(os.getpid(), {number:d})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path, **ranks),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "a line\n", said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ranks", "code"),
    [
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, 1),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "0"}, 1),
        ({"WORLD_SIZE": "1", "RANK": "0"}, 0),
        ({"WORLD_SIZE": "2"}, 0),
    ],
)
def test_one_of_several_processes_refuses_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: dict[str, str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {**ranks, "S2S_CACHE": str(tmp_path / "cache")}
    done = CliRunner().invoke(main, ["train", "tiny-en-ko", "--dry-run"], env=own, catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    if code:
        assert done.stderr == (
            "s2s: this is one of 2 processes started together (WORLD_SIZE=2), and only s2s train of a recipe without"
            " variants, started by torchrun, runs in several; start one process\n"
        )
        assert not list(tmp_path.iterdir())
