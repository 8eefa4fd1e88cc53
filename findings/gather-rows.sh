#!/usr/bin/env bash
# tensor[index] takes rows two to four times as slowly as tensor.index_select(0, index).
#
# Expected: both copy the same whole rows, so both take the same time.
# Version: torch 2.13.0 on a CPU (x86-64 with AVX-512), one thread.
# Seen: on rows of 64 to 384 float32 numbers [] took 1.8 to 3.8 times as long (5,000 of 30,000 rows of 64: 440 against
# 120 microseconds; 5 of 5 matrices of 20 x 384: 25 against 7). The results are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import statistics
import sys
import time

import torch

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(1)
slower = []
for shape, rows in (((30000, 64), 5000), ((4000, 384), 3000), ((64, 20, 384), 320), ((5, 20, 384), 5)):
    table = torch.randn(shape, generator=generator)
    index = torch.randint(shape[0], (rows,), generator=generator)
    assert torch.equal(table[index], table.index_select(0, index))
    seconds = {"[]": [], "index_select": []}
    for _ in range(200):
        for name, take in (("[]", table.__getitem__), ("index_select", lambda i: table.index_select(0, i))):
            start = time.perf_counter()
            take(index)
            seconds[name].append(time.perf_counter() - start)
    plain, selected = (1e6 * statistics.median(times) for times in seconds.values())
    slower.append(plain / selected)
    print(f"{rows} rows of {shape}: [] {plain:.0f} us, index_select {selected:.0f} us, {plain / selected:.1f} times")
if max(slower) < 2 or min(slower) < 1.2:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
