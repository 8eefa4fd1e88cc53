#!/usr/bin/env bash
# polib refuses a PO file with a comment that has no blank behind its #, which gettext's tools take.
#
# Expected: "#Jane Doe, 2024" is a comment of a translator, as "# Jane Doe, 2024" is.
# Version: polib 1.2.0; gettext's msgfmt 0.21 takes the file. GIMP 2.10.34 has such a comment (po-libgimp/pa.po, line 6).
# Seen: OSError: Syntax error in po file (line 1), and no entry of the file is read. A "#" alone in a line is taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polib==1.2.0
cat > "$folder/find.py" <<'END'
import sys

import polib

entry = 'msgid "a"\nmsgstr "b"\n'
for comment in ("# Jane Doe, 2024", "#", "#Jane Doe, 2024"):
    try:
        found = f"{len(polib.pofile(comment + chr(10) + entry))} entry"
    except OSError as problem:
        found = str(problem)
    print(f"{comment!r}: {found}")
if not found.startswith("Syntax error"):
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
