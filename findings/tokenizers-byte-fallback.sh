#!/usr/bin/env bash
# A decoder of byte pieces throws away whole characters when the beginning of another one follows them.
#
# Expected: the ByteFallback decoder, made to read what SentencePiece models write, gives the same text: each character
# whose bytes are all there, and U+FFFD for a byte that is none's, as where a text is cut off within a character.
# Version: tokenizers 0.22.1, sentencepiece 0.2.1, Python 3.11.
# Seen: a run of byte pieces is taken as UTF-8 as a whole or not at all. With the three bytes of one character and the
# first of a second, SentencePiece gives the character and one U+FFFD, ByteFallback four U+FFFD; so a text that grows
# token by token loses, and has again, all that is spelled in bytes since the last other piece.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.22.1 sentencepiece==0.2.1
cat > "$folder/find.py" <<'END'
import io
import sys

import sentencepiece
from tokenizers import Tokenizer, decoders, models

LINES = ["the cat sat on the mat", "a dog ran and ran"] * 20
written = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(LINES), model_writer=written, vocab_size=300, byte_fallback=True, hard_vocab_limit=False,
    minloglevel=2,
)
theirs = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
vocabulary = [(theirs.id_to_piece(token), theirs.get_score(token)) for token in range(theirs.vocab_size())]
ours = Tokenizer(models.Unigram(vocabulary, unk_id=theirs.unk_id(), byte_fallback=True))
ours.decoder = decoders.Sequence(
    [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
tokens = theirs.encode("a cat 猫狗")
grown = [(theirs.decode(tokens[:end]), ours.decode(tokens[:end])) for end in range(len(tokens) - 5, len(tokens) + 1)]
for one, other in grown:
    print(f"{one!r:20} {other!r}")
cut = "a cat \N{CJK UNIFIED IDEOGRAPH-732B}"
if grown[3] != (cut + "\ufffd", "a cat " + 4 * "\ufffd") or grown[-1][0] != grown[-1][1] or grown[2] != (cut, cut):
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
