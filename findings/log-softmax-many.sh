#!/usr/bin/env bash
# torch.log_softmax in float32 is off by 1e-4, in one direction, for a row of a million numbers; logsumexp is not.
#
# Expected: the rounding of float32, some 1e-6 at values of 20, as `logits - logits.logsumexp(1)` has.
# Version: torch 2.13.0 on Linux, x86-64 with AVX-512, one thread.
# Seen: for a million numbers with a standard deviation of 4 every value is 9e-5 too high, and for 267,000 it is 3e-5:
# the exponentials are added one after the other, and the small ones are lost beside a large sum.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys

import torch

torch.manual_seed(1)
logits = 4 * torch.randn(4, 1_000_000)
exact = logits.double().log_softmax(1)
off = (logits.log_softmax(1) - exact).mean()
by_sum = (logits - logits.logsumexp(1, keepdim=True) - exact).mean()
print(f"log_softmax is off by {off:.1e} in the mean, logits less their logsumexp by {by_sum:.1e}")
if not (off > 2e-5 and abs(by_sum) < 5e-6):
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
