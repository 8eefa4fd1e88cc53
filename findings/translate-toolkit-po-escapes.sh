#!/usr/bin/env bash
# translate-toolkit drops the backslash of escapes in PO files that gettext decodes: \101 is read as 101.
#
# Expected: texts of a PO file are read as msgfmt reads them, escapes with octal and hexadecimal numbers decoded.
# Version: translate-toolkit 3.20.4; gettext's msgfmt 0.21 takes the file and decodes all four.
# Seen: of "a\101b" the text is a101b (gettext: aAb), of "a\x41b" ax41b (aAb), of "a\ab" aab, and of "a\vb" avb (the
# control characters BEL and VT). Escapes \n \t \r \" \\ are decoded. Setting a unit's target writes the changed text.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet translate-toolkit==3.20.4
cat > "$folder/find.py" <<'END'
import sys

from translate.storage.pypo import pofile

expected = {r"a\101b": "aAb", r"a\x41b": "aAb", r"a\ab": "a\ab", r"a\vb": "a\vb", r"a\tb": "a\tb", r"a\"b": 'a"b'}
header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
entries = "".join(f'msgid "{number}"\nmsgstr "{text}"\n\n' for number, text in enumerate(expected))
store = pofile.parsestring((header + entries).encode())
read = [str(unit.target) for unit in store.units if unit.source]
for text, found, right in zip(expected, read, expected.values(), strict=True):
    print(f"{text}: {found!r}, gettext {right!r}")
if read != ["a101b", "ax41b", "aab", "avb", "a\tb", 'a"b']:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
