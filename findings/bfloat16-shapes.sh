#!/usr/bin/env bash
# A bfloat16 product keeps more than a megabyte for each number of rows that it has met.
#
# Expected: the memory of a process does not depend on how many shapes its products have had, and a new number of rows
# takes no longer than a known one.
# Version: torch 2.13.0 (with oneDNN 3.12.0) on a CPU with AMX, one thread.
# Seen: 300 products (rows, 384) x (384, 1536) with 500 to 799 rows made the process 420 to 590 MiB larger, 900 more
# with 900 to 1,799 rows another 1,100 MiB; 300 with always 700 rows, 3 MiB. The first product of a shape took 3 to 4
# times as long as a later one (3.7 against 0.9 ms). oneDNN compiles code for each shape and keeps the last 1,024;
# float32 products stay at 4 MiB. ONEDNN_PRIMITIVE_CACHE_CAPACITY sets the number kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import os
import statistics
import sys
import time

import torch

flags = open("/proc/cpuinfo").read().split()
if "amx_bf16" not in flags:
    sys.exit(print("this CPU has no amx_bf16, with which this was seen: nothing to see"))
torch.set_num_threads(1)


def products(dtype, rows):
    """MiB that the process grows by, and median milliseconds of a product."""
    pages, seconds = [], []
    for count in (None, *rows):
        pages.append(int(open("/proc/self/statm").read().split()[1]))
        if count:
            start = time.perf_counter()
            torch.nn.functional.linear(values[dtype][:count], weight[dtype])
            seconds.append(time.perf_counter() - start)
    return (pages[-1] - pages[0]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1000 * statistics.median(seconds)


types = torch.bfloat16, torch.float32
weight = {dtype: torch.ones(1536, 384, dtype=dtype) for dtype in types}
values = {dtype: torch.ones(1000, 384, dtype=dtype) for dtype in types}
shapes = range(500, 800)
with torch.inference_mode():
    for dtype in types:
        products(dtype, range(1000, 900, -1))
        same, new, known = products(dtype, [700] * 300), products(dtype, shapes), products(dtype, shapes)
        for name, (grown, duration) in (("one shape", same), ("300 new shapes", new), ("the 300 again", known)):
            print(f"{dtype}, {name}: {grown:.0f} MiB more, {duration:.2f} ms a product")
        if dtype == torch.bfloat16 and not (new[0] > 100 > 10 * same[0] and new[1] > 2 * known[1]):
            sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
