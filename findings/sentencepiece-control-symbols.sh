#!/usr/bin/env bash
# A control symbol takes its own spelling out of the training text, and that of all that looks like it.
#
# Expected: as its documentation says that control symbols only reserve ids and are never given for text, text that
# happens to spell one is learned and encoded like any other.
# Version: sentencepiece 0.2.3, Python 3.11.
# Seen: with the symbol <mine>, nothing is learned of the characters in "x<mine>y"; they are unknown afterwards, with
# unigram and with BPE, though every line has them. With a name that no word can end in, such as <mine> and U+2581,
# the same text comes back whole.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sentencepiece==0.2.3
cat > "$folder/learn.py" <<'END'
import io
import sys

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

LINES = [f"x<mine>y word{number % 9}" for number in range(300)]
for kind in ("unigram", "bpe"):
    unknown = {}
    for symbol in ("<mine>", "<mine>\u2581"):
        written = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=iter(LINES), model_writer=written, model_type=kind, vocab_size=40,
            hard_vocab_limit=False, character_coverage=1.0, control_symbols=[symbol], minloglevel=2,
        )
        model = SentencePieceProcessor(model_proto=written.getvalue())
        unknown[symbol] = model.unk_id() in model.encode(LINES[0])
        print(kind, symbol, model.encode(LINES[0], out_type=str), "unknown:", unknown[symbol])
    if list(unknown.values()) != [True, False]:
        sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/learn.py"
