#!/usr/bin/env bash
# A confidence interval for chrF ends in a TypeError where some sentences match and some have nothing in common.
#
# Expected: corpus_score(..., n_bootstrap=1000) gives the score with its interval, as for BLEU.
# Version: sacrebleu 2.6.0, NumPy 2.4.6, Python 3.11.
# Seen: TypeError: don't know how to coerce float and float32. A resample without any match scores 0.0, every other a
# NumPy float32, and statistics.mean takes no mean of both. A translator after its first steps has such outputs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sacrebleu==2.6.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

outputs, references = ["a house", "x", "x", "x"], [["a house", "y", "y", "y"]]
print("BLEU:", BLEU(force=True).corpus_score(outputs, references, n_bootstrap=1000))
print("chrF without an interval:", CHRF().corpus_score(outputs, references))
try:
    print("chrF:", CHRF().corpus_score(outputs, references, n_bootstrap=1000))
except TypeError as error:
    print(f"chrF: TypeError: {error}")
else:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
