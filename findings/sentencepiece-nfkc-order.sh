#!/usr/bin/env bash
# The rules nfkc and nmt_nfkc of SentencePiece are not NFKC where marks stand in another order than the canonical one.
#
# Expected: a normaliser of the rule nfkc gives what Unicode's NFKC gives, so that two spellings of one text are one.
# Version: sentencepiece 0.2.3, Python 3.11.
# Seen: a map takes the longest match and reorders nothing. Vietnamese "ậ" typed as a, circumflex, dot below stays two
# characters where NFKC has one; typed with the dot first, it is the one. So the same word has two tokenizations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sentencepiece==0.2.3
cat > "$folder/find.py" <<'END'
import sys
import unicodedata

from sentencepiece import SentencePieceNormalizer

typed, canonical = "a\u0302\u0323", "a\u0323\u0302"
differs = []
for rule in ("nfkc", "nmt_nfkc"):
    normalizer = SentencePieceNormalizer(
        rule_name=rule, add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=False
    )
    for text in (typed, canonical):
        given, expected = normalizer.normalize(text), unicodedata.normalize("NFKC", text)
        print(f"{rule}: {text!a} -> {given!a}, NFKC: {expected!a}")
        differs.append(given != expected)
if differs != [True, False, True, False]:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
