#!/usr/bin/env bash
# Saving the same tensors with the same metadata gives other bytes in each process.
#
# Expected: equal input, equal file: one can compare checkpoints by checksum.
# Version: safetensors 0.8.0, NumPy 2.4.6, Python 3.11.
# Seen: with two or more entries of metadata their order in the header changes from process to process, since they go
# through a hash map with a random seed: 20 processes wrote 11 different files of one content with 4 entries. With one
# entry, or with none, the files are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import hashlib
import subprocess
import sys

import numpy as np
from safetensors.numpy import save

if len(sys.argv) > 1:
    metadata = {key: "1" for key in sys.argv[2:]}
    print(hashlib.sha256(save({"w": np.zeros(3), "b": np.ones(2)}, metadata=metadata)).hexdigest())
    sys.exit()
files = {}
for keys in ((), ("a",), ("a", "b", "c", "d")):
    command = [sys.executable, sys.argv[0], "save", *keys]
    files[len(keys)] = len({subprocess.check_output(command) for _ in range(20)})
    print(f"{len(keys)} entries of metadata: {files[len(keys)]} different files from 20 processes")
if files[0] != 1 or files[1] != 1 or files[4] == 1:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
