"""Kills at random moments, run by hand: python tests/kills.py SEED COUNT

Each ends a command with SIGKILL or SIGTERM at a random moment: a training, its resumption, the download of a corpus
from a local server, an evaluation, a table of results. Nothing may be lost: no output has a traceback, no downloaded
file is half there, and the run opens and in the end equals an undisturbed one.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]
OVERRIDES = ("training.steps=400", "training.validate_every=50", "training.save_every=20", "training.log_every=5")
TRAIN = ("train", "tiny-en-ko", *OVERRIDES, "--device", "cpu", "--out")
MANIFEST = """title = "Lines from a local server"
languages = ["en"]
licence = "CC0-1.0"
citation = "none"

[splits.train]
en = "train.en"

[files."train.en"]
url = "{url}"
bytes = {bytes}
sha256 = "{sha256}"
unencrypted = true
"""


class Slow(SimpleHTTPRequestHandler):
    """Sends a file in small pieces, so that a kill can come in between."""

    def copyfile(self, source: object, outputfile: object) -> None:
        while block := source.read(1 << 14):  # type: ignore[attr-defined]
            outputfile.write(block)  # type: ignore[attr-defined]
            time.sleep(0.01)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


class Kills:
    """A copy of the package with one corpus more, and the commands that are killed in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        for name in ("s2s", "recipes", "corpora"):
            shutil.copytree(ROOT / name, folder / "package" / name)
        (folder / "served").mkdir()
        data = b"".join(b"a line of text, number %d\n" % number for number in range(100_000))
        (folder / "served" / "train.en").write_bytes(data)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(folder / "served")))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_address[1]}/train.en"
        (folder / "package" / "corpora" / "served").mkdir()
        manifest = MANIFEST.format(url=url, bytes=len(data), sha256=sha256(data).hexdigest())
        (folder / "package" / "corpora" / "served" / "corpus.toml").write_text(manifest)
        self.content = data
        package = str(folder / "package")
        self.environment = {**os.environ, "PYTHONPATH": package, "S2S_CACHE": str(folder / "cache")}
        self.environment.pop("S2S_CORPORA", None)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "s2s", *arguments],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        """Output of a command that must succeed."""
        with self.start(*arguments) as process:
            said = process.communicate()[0]
        assert process.returncode == 0, (arguments, said)
        return said

    def kill(self, longest: float, *arguments: str) -> int:
        """Exit code of a command that a signal hits at a random moment, if it is not faster."""
        number = self.random.choice((signal.SIGKILL, signal.SIGTERM))
        with self.start(*arguments) as process:
            try:
                said = process.communicate(timeout=self.random.uniform(0.0, longest))[0]
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                said = process.communicate()[0]
        assert "Traceback" not in said, (arguments, said)
        assert "Exception ignored" not in said, (arguments, said)
        # SIGTERM itself ends a process only before the first line of s2s
        assert process.returncode in (0, 130, -number), (arguments, process.returncode, said)
        return process.returncode

    def check(self) -> None:
        """Whatever was killed, the files that are there are whole."""
        for path in (self.folder / "cache").glob("corpora/served/*"):
            assert path.name.startswith(".") or path.name.endswith(".part") or path.read_bytes() == self.content, path
        run = self.folder / "killed"
        if (run / "best.safetensors").exists():
            with self.start("translate", str(run), "--input", "line.txt") as process:
                said = process.communicate()[0]
            assert process.returncode == 0, said


def main(seed: int, count: int) -> None:
    """So many kills, then the end of the training that they hit."""
    with tempfile.TemporaryDirectory() as name:
        kills = Kills(Path(name), seed)
        (kills.folder / "line.txt").write_text("good morning\n")
        clock = time.perf_counter()
        kills.run(*TRAIN, "undisturbed")
        whole = time.perf_counter() - clock
        hit = 0
        for number in range(count):
            what = kills.random.choice(("train", "train", "fetch", "evaluate", "table"))
            if what == "train":
                code = kills.kill(whole, *TRAIN, "killed", "--resume")
            elif what == "fetch":
                code = kills.kill(3.0, "corpora", "fetch", "served")
                if code == 0:
                    shutil.rmtree(kills.folder / "cache" / "corpora" / "served", ignore_errors=True)
            elif what == "evaluate":
                code = kills.kill(whole / 2, "evaluate", "undisturbed", "--device", "cpu")
            else:
                code = kills.kill(1.0, "recipes", "table", "undisturbed")
            hit += code != 0
            kills.check()
            print(f"{number + 1} of {count}: {what}, exit code {code}", flush=True)
        kills.run(*TRAIN, "killed", "--resume")
        ended, other = (kills.folder / run / "best.safetensors" for run in ("killed", "undisturbed"))
        assert ended.read_bytes() == other.read_bytes()
        print(f"{hit} of {count} commands were ended; the training ended with the same bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
