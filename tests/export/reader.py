import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import sentencepiece

folder = Path(sys.argv[1])
bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
tokens, decoding, files = bundle["tokens"], bundle["decoding"], bundle["tokenizers"]
source, target = (
    sentencepiece.SentencePieceProcessor(model_file=str(folder / files[side])) for side in ("source", "target")
)
encoder, step = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "step"))


def outputs(session, values):
    given = {each.name: values[each.name] for each in session.get_inputs()}
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, given), strict=True))


def translate(line):
    read = [*source.encode(line), tokens["end"]]
    values = outputs(encoder, {"tokens": np.array([read]), "lengths": np.array([len(read)])})
    written, last = [], tokens["start"]
    for _ in range(int(len(read) * decoding["max_length_ratio"]) + decoding["extra_tokens"]):
        found = outputs(step, {**values, "tokens": np.array([[last]])})
        values |= {name: found["next_" + name] for name in bundle["states"]}
        scores = found["log_probabilities"][0, 0]
        scores[[tokens["pad"], tokens["unknown"], tokens["start"]]] = -np.inf
        last = int(scores.argmax())
        if last == tokens["end"]:
            break
        written.append(last)
    return target.decode(written)


for line in sys.stdin:
    print(translate(line))
