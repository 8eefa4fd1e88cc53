#!/usr/bin/env bash
# The product of two int8 matrices is not exact where oneDNN has AVX2 and no VNNI.
#
# Expected: torch._int_mm gives the products of int8 matrices in int32, whatever the CPU; none of these sums is near the
# bounds of int32.
# Version: torch 2.13.0 (with oneDNN 3.12.0), one thread; ONEDNN_MAX_CPU_ISA, oneDNN's own setting, holds it to AVX2.
# Seen: (64, 384) x (384, 1152) of whole numbers from -127 to 127: held to AVX2 99.9 % of the results are wrong, by up
# to 108,735, without a message; with numbers from -63 to 63 none. Products are added in pairs in 16 bits there, and
# saturate. With AVX-512 and VNNI, or AMX, all are exact.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'PY'
import sys

import torch

if "avx2" not in open("/proc/cpuinfo").read().split():
    sys.exit(print("this CPU has no AVX2, with which this was seen: nothing to see"))
torch.set_num_threads(1)
torch.manual_seed(1)
shares = {}
for largest in (63, 127):
    left = torch.randint(-largest, largest + 1, (64, 384), dtype=torch.int8)
    right = torch.randint(-largest, largest + 1, (384, 1152), dtype=torch.int8)
    exact = left.long() @ right.long()
    wrong = torch._int_mm(left, right).long() - exact
    shares[largest] = (wrong != 0).double().mean().item()
    print(f"up to {largest}: {100 * shares[largest]:.1f} % wrong, by up to {wrong.abs().max().item():,}")
changed = shares[63] > 0 or shares[127] < 0.1
sys.exit("this has changed" if changed else None)
PY
ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" "$folder/find.py"
