"""A corpus of many pairs: encoding, killed and restarted, then batches; seconds, and peak memory of all processes.

    python tests/large.py 5000000 /tmp/large-corpus

Takes disk for the corpus and its cache, some 100 bytes a pair each. Memory is the PSS of the process and those that it
started, sampled each half second.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from random import Random

BATCHES = 200
_ENCODE, _STEP = "encode", "step"


def make(pairs: int, folder: Path) -> None:
    """Files of short lines of words of a Zipfian vocabulary."""
    chance, words = (
        Random(1),
        [f"{first}{second}{third}" for first in "bdgklm" for second in "aeiou" for third in "nrst"],
    )
    every = [words[min(int(chance.paretovariate(0.7)), len(words)) - 1] for _ in range(1 << 16)]
    with (folder / "a.de").open("w") as source, (folder / "a.en").open("w") as target:
        for number in range(pairs):
            begin, count = chance.randrange(len(every) - 12), chance.randint(2, 8)
            source.write(" ".join(every[begin : begin + count]) + f" {number % 9973}\n")
            target.write(" ".join(every[begin + 1 : begin + 1 + count]) + "\n")


def work(what: str, folder: Path) -> None:
    """Encode the files, or sample batches of what is encoded: what a training does before and between its steps."""
    from s2s.text.batches import BatchSampler, collate
    from s2s.text.tokenizer import load_tokenizers, save_tokenizers, train_tokenizers
    from s2s.translation.data import FileSplit
    from s2s.translation.encoded import encode_pairs
    from s2s.translation.pairs import open_split
    from s2s.translation.recipe import Tokenizer

    start = time.perf_counter()
    split = FileSplit(source=str(folder / "a.de"), target=str(folder / "a.en"))
    pairs = open_split(split, source="de", target="en", corpora=None)
    if not (folder / "tokenizer.model").exists():
        save_tokenizers(*train_tokenizers(Tokenizer(vocabulary_size=1000), True, pairs.read), folder)
        print(f"  tokenizer after {time.perf_counter() - start:.1f} s", flush=True)
    tokenizers = load_tokenizers(folder)
    encoded = encode_pairs(pairs, *tokenizers, max_tokens=100, max_length_ratio=9, cache=folder / "cache")
    print(f"  {len(encoded):,} pairs after {time.perf_counter() - start:.1f} s", flush=True)
    if what == _STEP:
        sampler = BatchSampler(encoded.source.lengths, encoded.target.lengths, batch_tokens=4000, seed=1)
        count = sampler.count(0)
        for number, rows in enumerate(sampler.batches(0, count // 2)):
            collate([encoded.source[row] for row in rows], [encoded.target[row] for row in rows])
            if number == 0:
                print(f"  first of {count:,} batches after {time.perf_counter() - start:.1f} s", flush=True)
            if number == BATCHES:
                break


def memory(process: int) -> int:
    """PSS in bytes of a process and its children."""
    total, children = 0, [process]
    while children:
        each = children.pop()
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
            children += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except OSError:
            continue
    return total


def run(what: str, folder: Path, kill: bool = False) -> None:
    """A stage in a process of its own, killed after its first saved block if asked for."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, __file__, what, str(folder)])
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        if kill and any((folder / "cache" / "encoded").glob(".*/progress.json")):
            process.kill()
        time.sleep(0.5)
    seconds, used = time.perf_counter() - start, os.times()
    print(
        f"{what}{' (killed)' * kill}: {seconds:.1f} s, CPU so far {used[2] + used[3]:.0f} s, peak {peak / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    first, place = sys.argv[1], Path(sys.argv[2])
    if first in (_ENCODE, _STEP):
        work(first, place)
    else:
        place.mkdir(parents=True)
        make(int(first), place)
        run(_ENCODE, place, kill=True)
        run(_ENCODE, place)
        run(_STEP, place)
