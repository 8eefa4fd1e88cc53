"""The module s2s.js in Node: one process that answers calls one after another."""

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

RUNTIME = Path(__file__).resolve().parent.parent / "s2s" / "web" / "s2s.js"
SCRIPT = """
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { load, readTokenizer } from "./runtime.mjs";
const answers = {
  async model({ folder, calls }) {
    const model = await load(folder);
    return calls.map(({ call, text, options }) => {
      try { return model[call](text, options); } catch (problem) { return { failure: problem.message }; }
    });
  },
  tokenizer({ file, lines, tokens, characters }) {
    const tokenizer = readTokenizer(file, new Uint8Array(readFileSync(file)), characters);
    const encoded = lines.map((line) => tokenizer.encode(line));
    return { encoded, decoded: tokens.map((row) => tokenizer.decode(row)) };
  },
};
const plain = (_, value) => (value instanceof Float32Array ? Array.from(value) : value);
for await (const line of createInterface({ input: process.stdin })) {
  const { what, ...given } = JSON.parse(line);
  let answer;
  try { answer = await answers[what](given); } catch (problem) { answer = { failure: problem.message }; }
  console.log(JSON.stringify(answer, plain));
}
"""


class Module:
    """The module's models and tokenizers; a failure is answered as `{"failure": message}`."""

    def __init__(self, node: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        place = Path(self._folder.name)
        # all that is inside the module, which exports no more than people need
        inside = RUNTIME.read_text(encoding="utf-8") + "\nexport { readTokenizer };\n"
        (place / "runtime.mjs").write_text(inside, encoding="utf-8")
        (place / "script.mjs").write_text(SCRIPT, encoding="utf-8")
        command = [node, "--max-old-space-size=4096", str(place / "script.mjs")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, what: str, **given: Any) -> Any:
        """Answer of `model` (folder, calls) or `tokenizer` (file, lines, tokens, characters)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"what": what, **given}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=60)
        self._folder.cleanup()
