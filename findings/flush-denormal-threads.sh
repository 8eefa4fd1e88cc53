#!/usr/bin/env bash
# torch.set_flush_denormal(True) holds for the thread that calls it: half of a tensor is flushed to zero.
#
# Expected: after set_flush_denormal(True), which returns True, denormal results are zero in all of a tensor.
# Version: torch 2.13.0 on Linux, x86-64, two threads.
# Seen: where torch has computed anything with two threads before, the first half of a result is zero and the second
# half 7.5e-39; where the call comes before all else, the other thread starts with the setting of the first and
# everything is zero. The documentation speaks of the CPU and not of threads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys

import torch

torch.set_num_threads(2)
late = sys.argv[1] == "late"
if late:
    torch.ones(1 << 20).mul(2)
if not torch.set_flush_denormal(True):
    sys.exit(print("this CPU cannot flush denormal numbers: nothing to see"))
halves = torch.full((1 << 20,), 1.5e-38).mul(0.5).view(2, -1)  # the least normal number is 1.18e-38
zero = (halves == 0).double().mean(1).tolist()
print(f"{sys.argv[1]}: zeros in the first half {zero[0]:.0%}, in the second {zero[1]:.0%}")
if zero != ([1, 0] if late else [1, 1]):
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py" early
"$folder/venv/bin/python" "$folder/find.py" late
