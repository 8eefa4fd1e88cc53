#!/usr/bin/env bash
# A confidence interval for BLEU takes 50 kilobytes of memory for each sentence.
#
# Expected: a resample needs the counts of each sentence (ten numbers) once, so memory hardly grows with the
# resamples.
# Version: sacrebleu 2.6.0, NumPy 2.4.6, Python 3.11.
# Seen: corpus_score(..., n_bootstrap=1000) copies the counts of all sentences for all resamples at once: 10,000
# sentences take 470 MiB more than the score alone, which takes 100. It grows with their number, so 500,000 sentences
# would take 24 GB.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sacrebleu==2.6.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import random
import resource
import sys

import numpy as np  # already there when memory is measured
from sacrebleu.metrics.bleu import BLEU

SENTENCES = 10_000
generator = random.Random(1)
words = [f"w{i}" for i in range(1000)]
references = [" ".join(generator.choices(words, k=12)) for _ in range(SENTENCES)]
outputs = [" ".join(w if generator.random() < 0.7 else "x" for w in line.split()) for line in references]


def peak():
    """MiB of memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


score = BLEU().corpus_score(outputs, [references])
plain = peak()
interval = BLEU().corpus_score(outputs, [references], n_bootstrap=1000)
more = peak() - plain
print(f"{SENTENCES} sentences, {score}\nthe score alone: {plain:.0f} MiB; with an interval {more:.0f} MiB more,"
      f" {more * 2**20 / SENTENCES / 1000:.0f} kB a sentence")
if more < 300:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
