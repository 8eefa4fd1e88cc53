#!/usr/bin/env bash
# A sentence splitter ends Japanese and Korean sentences behind a quotation that they go on after.
#
# Expected: as its description says that it rather leaves two sentences together than cuts one, a quotation followed
# by a particle (to, irago: "said that"), with no blank between, stays in its sentence; so does a decimal number.
# Version: sentencex 1.0.32, Python 3.11.
# Seen: four sentences are cut behind the closing quote, before to or irago, and one within a number in full-width
# digits. In French "M." (Monsieur) ends one. English and German abbreviations are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sentencex==1.0.32
cat > "$folder/find.py" <<'END'
import sys

from sentencex import segment

SENTENCES = [
    ("ja", "彼は「はい。」と言った。"),
    ("ja", "彼女は「本当？」と聞いた。"),
    ("ja", "価格は３．５万円です。"),
    ("ko", "그는 “안녕.”이라고 말했다."),
    ("ko", "그녀는 “어디 가요?”라고 물었다."),
    ("fr", "M. Dupont est là."),
]
RIGHT = [("en", "Dr. Smith met Mr. Jones at 5 p.m. on Monday."), ("de", "Das ist z. B. ein Hund.")]
found = {sentence: segment(language, sentence) for language, sentence in SENTENCES + RIGHT}
for sentence, pieces in found.items():
    print(" | ".join(pieces))
cut = [len(found[sentence]) > 1 for _, sentence in SENTENCES]
if not all(cut) or any(len(found[sentence]) > 1 for _, sentence in RIGHT):
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
