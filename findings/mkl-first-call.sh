#!/usr/bin/env bash
# The first call of a vector function computes a part of its results to 12 bits, in some processes.
#
# Expected: torch.exp of a tensor is the same in each call and in each process on one machine.
# Version: torch 2.13.0 (with MKL 2024.2) on Linux, x86-64 with AVX-512, two cores, two threads.
# Seen: MKL seems to choose the code of its vector functions at their first call. Where two threads make that call
# together, one of them gets a less accurate kind: of 2,356 processes 83 (on a busy machine, 5 of 458) had a first
# exp, log, tanh or erf whose second half was off by up to 2.4e-4, some 4,000 units in the last place, while the
# second call was right. After a call by one thread alone, as for a small tensor, this did not happen. Each process
# here is forked from one that has imported torch and called nothing, which saves the time of the import.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import array
import itertools
import os
import sys
import time

import torch

SIZE = 65536
if not torch.backends.mkl.is_available():
    sys.exit(print("this torch has no MKL: nothing to see"))
if len(os.sched_getaffinity(0)) < 2:
    sys.exit(print("one core: two threads never make the first call together, nothing to see"))
BUFFER = bytearray(array.array("f", [0.01 + 4 * i / SIZE for i in range(SIZE)]))


def worst(name, settle):
    """The largest relative difference between the first and second call in a new process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        torch.set_num_threads(2)
        function, values = getattr(torch, name), torch.frombuffer(BUFFER, dtype=torch.float32)
        if settle:
            function(values[:64])
        first, second = function(values).double(), function(values).double()
        os.write(writer, repr(((first - second) / second).abs().max().item()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as answer:
        return float(answer.read())


functions, stop = itertools.cycle(("exp", "log", "tanh", "erf")), time.monotonic() + 90
plain, settled = [], []
while sum(error > 0 for error in plain) < 5 and time.monotonic() < stop:
    name = next(functions)
    plain.append(worst(name, settle=False))
    settled.append(worst(name, settle=True))
for name, errors in (("first call", plain), ("after a call by one thread", settled)):
    off = sum(error > 0 for error in errors)
    print(f"{name}: {off} of {len(errors)} processes differ, by {max(errors):.1e} at most")
if not any(plain) or any(settled):
    sys.exit("no longer as seen, or the machine is too busy for two threads to run at once")
END
"$folder/venv/bin/python" "$folder/find.py"
