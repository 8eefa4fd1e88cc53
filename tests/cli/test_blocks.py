"""`s2s translate` of files: by several processes as by one, and on from where it was stopped."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, CompletedProcess

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import phrases, small_run

import s2s as s2s_package
from s2s.cli.blocks import BATCHES, MANY_BYTES, begin_workers, growing
from s2s.cli.commands import main
from s2s.errors import RunError, S2SError
from s2s.export.export import export
from s2s.workers import can_fork

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(s2s_package.__file__).parents[1])}
forks = pytest.mark.skipif(not can_fork(), reason="needs processes that fork")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export, which a process opens in a fraction of the time that importing torch takes; batches of 4 lines."""
    folder = tmp_path_factory.mktemp("blocks")
    export(small_run(folder / "run", decoding={"batch_lines": 4}), folder / "bundle", "onnx")
    return folder / "bundle"


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [source for source, _ in phrases()[:30]]
    lines[3:3] = ["", "Write {name} at https://a.example/b."]
    Path("lines").write_text("\n".join(lines) + "\n")
    return Path("lines")


def here(bundle: Path, *arguments: str, code: int = 0) -> str:
    """Standard output of the command in this process, which is one worker."""
    command = ["translate", str(bundle), "--input", "lines", *arguments]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def apart(bundle: Path, *arguments: str, before: str = "") -> CompletedProcess[str]:
    """The command in a process of its own, after a line of Python."""
    command = ["translate", str(bundle), "--input", "lines", *arguments]
    program = f"import os; {before}\nfrom s2s.cli.commands import main; main({command!r})"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)


@forks
@pytest.mark.parametrize(
    "options",
    ["--nbest 2", "--format jsonl --tokens --split", "--protect --beam 2", "--prefix 나는"],
)
def test_several_processes_write_what_one_writes(bundle: Path, text: Path, options: str) -> None:
    found = apart(bundle, "--workers", "3", *options.split())
    assert (found.stdout, found.returncode) == (here(bundle, *options.split()), 0)


@forks
def test_a_killed_worker_changes_nothing_that_is_written(bundle: Path, text: Path) -> None:
    before = """
from s2s.cli import blocks; make = blocks.Making.block
def block(making, lines):
    if not os.path.exists("begun"):
        open("begun", "w").close()
        os.kill(os.getpid(), 9)
    return make(making, lines)
blocks.Making.block = block
"""
    found = apart(bundle, "--workers", "2", before=before)
    assert (found.stdout, found.returncode) == (here(bundle), 0)
    assert "a worker was killed by signal 9" in found.stderr


@forks
@pytest.mark.parametrize("workers", [1, 2])
def test_a_command_that_is_killed_goes_on_and_writes_the_same(bundle: Path, text: Path, workers: int) -> None:
    """Killed when two blocks are written; the second time others are made, and none of these."""
    whole, rows = here(bundle, "--nbest", "2"), 2 * BATCHES * 4
    options = ["--nbest", "2", "--output", "out", "--workers", str(workers)]
    blocks = """
from s2s.cli import blocks
class Counter(blocks.Counter):
    added = 0
    def update(self, *counts):
        self.added += bool(counts and counts[0])
        if self.added == 2: os.kill(os.getpid(), 9)
        super().update(*counts)
blocks.Counter = Counter
"""
    assert apart(bundle, *options, before=blocks).returncode == -9
    assert not Path("out").exists()
    assert len(Path("out.part").read_text().splitlines()) == 2 * rows
    marked = "*" * 20 + whole[20:]
    Path("out.part").write_text("".join(marked.splitlines(keepends=True)[: rows + 3]) + "half a l")
    assert apart(bundle, *options, "--resume").returncode == 0
    assert Path("out").read_text() == marked
    assert sorted(os.listdir()) == ["lines", "out"]


def test_another_command_does_not_go_on_with_what_is_there(bundle: Path, text: Path) -> None:
    here(bundle, "--output", "out")
    whole = Path("out").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s2s.cli.blocks.Making.block", None)
        with pytest.raises(TypeError):
            CliRunner().invoke(
                main, ["translate", str(bundle), "--input", "lines", "--output", "out"], catch_exceptions=False
            )
    assert Path("out").read_text() == whole
    said = here(bundle, "--output", "out", "--resume", "--beam", "2", code=1)
    assert "out.part: is of another command (other beam); give that one, or remove the file" in said
    Path("lines").write_text("another\n" + text.read_text())
    assert "(other input)" in here(bundle, "--output", "out", "--resume", code=1)
    here(bundle, "--output", "out")  # begins anew
    assert len(Path("out").read_text().splitlines()) == 33
    assert sorted(os.listdir()) == ["lines", "out"]


def test_what_fails_leaves_nothing_unless_it_is_to_be_resumed(bundle: Path, text: Path) -> None:
    Path("out").write_text("before")
    text.write_bytes(text.read_bytes() + b"\xff\n")
    assert "is not valid UTF-8" in here(bundle, "--output", "out", code=1)
    assert sorted(os.listdir()) == ["lines", "out"]
    assert "is not valid UTF-8" in here(bundle, "--output", "out", "--resume", code=1)
    assert Path("out").read_text() == "before"
    assert Path("out.part").exists()


JOB = {"beam": 5}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=12), st.integers(0, 40), st.integers(1, 3))
def test_a_file_goes_on_behind_its_last_whole_block(
    tmp_path_factory: pytest.TempPathFactory, left: bytes, length: int, rows: int
) -> None:
    path = tmp_path_factory.mktemp("part") / "out"
    whole = b"".join(b"%d\n" % number for number in range(12))
    part = path.with_name("out.part")
    with pytest.raises(KeyError), growing(path, JOB, rows, resume=True):
        raise KeyError
    part.write_bytes(whole[:length])
    blocks = whole[:length].count(b"\n") // rows
    with growing(path, JOB, rows, resume=True) as (file, kept):
        assert kept == blocks * rows
        file.writelines(whole.decode().splitlines(keepends=True)[kept:])
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == ["out"]


@pytest.mark.parametrize("name", ["out.part", "out.part.json"])
@pytest.mark.parametrize("resume", [False, True])
def test_files_of_others_are_not_taken_for_a_part(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(RunError, match=r"out\.part: exists, and was not begun by s2s translate; rename it and out\."):
        grow(tmp_path / "out", resume=resume)
    assert (tmp_path / name).read_text() == "mine\n"
    assert os.listdir(tmp_path) == [name]


def grow(path: Path, *, resume: bool, text: str = "", problem: Exception | None = None) -> int:
    """Rows that a file has already, to which some are written, or a problem comes."""
    with growing(path, JOB, 1, resume=resume) as (file, kept):
        file.write(text)
        if problem:
            raise problem
    return kept


def test_what_is_interrupted_at_the_end_is_whole_and_a_full_disk_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        if path.suffix == ".part":
            raise KeyboardInterrupt

    path = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("s2s.files._sync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            grow(path, resume=True, text="a\nb\n")
    with pytest.raises(OSError, match="No space") as caught:
        grow(path, resume=True, problem=OSError(errno.ENOSPC, "No space"))
    assert caught.value.filename == str(path)
    assert grow(path, resume=True) == 2
    assert path.read_text() == "a\nb\n"


def test_one_process_at_a_time_writes_a_file(tmp_path: Path) -> None:
    program = (
        "from s2s.cli.blocks import growing; from pathlib import Path\n"
        f"with growing(Path('out'), {JOB}, 1, resume=True): pass"
    )
    with growing(tmp_path / "out", JOB, 1, resume=False):
        second = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENVIRONMENT, stderr=PIPE, text=True)
    assert "RunError: out: another process is writing it" in second.stderr.replace(f"{tmp_path}/", "")


def test_the_mode_of_a_file_and_a_link_to_it_stay(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    with growing(tmp_path / "link", JOB, 1, resume=False) as (file, _):
        file.write("after\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after\n"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("options", [["--resume"], ["--resume", "--output", "/dev/null"]])
def test_what_cannot_go_on_is_refused(bundle: Path, text: Path, options: list[str]) -> None:
    assert "--resume" in here(bundle, *options, code=2 if len(options) == 1 else 1)


def test_a_pipe_is_not_shared_out(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert begin_workers(None, None) == 1
    with pytest.raises(S2SError, match="--workers 2: is for files"):
        begin_workers(2, None)
    monkeypatch.setattr("s2s.cli.blocks.can_fork", lambda: False)
    with pytest.raises(S2SError, match="--workers 2: processes share a model on Linux only"):
        begin_workers(2, tmp_path)


@forks
@pytest.mark.parametrize(
    ("threads", "size", "workers"), [("3", MANY_BYTES + 1, 3), ("3", MANY_BYTES, 1), ("1", 9**6, 1)]
)
def test_large_files_are_shared_out_to_as_many_processes_as_there_may_be_threads(
    threads: str, size: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": threads})
    monkeypatch.setattr("s2s.cli.blocks.sys.modules", {})
    (tmp_path / "lines").write_bytes(b"\n" * size)
    assert begin_workers(None, tmp_path / "lines") == workers
    assert os.environ["OMP_NUM_THREADS"] == ("1" if workers > 1 else threads)
