#!/usr/bin/env bash
# The first numbers that torch.randn samples depend on how many are asked for.
#
# Expected: with one seed, torch.randn(15) holds the first 15 numbers of torch.randn(16), as torch.rand and NumPy's
# generators do it.
# Version: torch 2.13.0 on a CPU, float32.
# Seen: none of the 15 are equal. Below 16 numbers there is another method, and a length that is no multiple of 16 has
# its last 16 numbers sampled again: randn(17) and randn(16) share 1 number of 16, randn(1000) and randn(1001) 998.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys

import numpy as np
import torch


def equal(sample, few, many):
    """How many of the first numbers two lengths share."""
    one, other = sample(few), sample(many)[:few]
    return int((one == other).sum())


def seeded():
    return torch.Generator().manual_seed(1)


samplers = {
    "torch.randn": lambda count: torch.randn(count, generator=seeded()),
    "torch.rand": lambda count: torch.rand(count, generator=seeded()),
    "numpy normal": lambda count: np.random.default_rng(1).standard_normal(count),
}
lengths = (15, 16), (16, 17), (16, 32), (1000, 1001)
shared = {name: [equal(sample, *pair) for pair in lengths] for name, sample in samplers.items()}
for name, counts in shared.items():
    print(name, *(f"{few} and {many}: {count} equal;" for (few, many), count in zip(lengths, counts)))
whole = [few for few, _ in lengths]
if shared["torch.rand"] != whole or shared["numpy normal"] != whole or max(shared["torch.randn"][:2]) > 2:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
