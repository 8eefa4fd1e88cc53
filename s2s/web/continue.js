/* The page of a language model: it continues a text, shown while it is written. */
"use strict";

const prompt = element("prompt"), written = element("written");
let request = null;

function options() {
  const number = (id) => element(id).valueAsNumber;
  return {
    length: number("length"), seed: number("seed"),
    temperature: element("greedy").checked ? 0 : number("temperature"),
  };
}

/** Shows a text, what was given of it in soft letters. */
function show(text, begun) {
  const shown = text.startsWith(begun) ? begun : "";
  written.replaceChildren(make("span", { className: "soft" }, shown), text.slice(shown.length));
}

async function write() {
  forgetProblem();
  request?.abort();
  const own = request = new AbortController(), begun = prompt.value, onText = (text) => show(text, begun);
  onText(begun);
  element("stop").disabled = false;
  written.ariaBusy = "true";
  try {
    const answer = await engine.generate(begun, { ...options(), signal: own.signal, onText });
    onText(answer.text);
    announce(answer.text);
  } catch (problem) {
    showProblem(problem);
  }
  if (own !== request) return;
  element("stop").disabled = true;
  written.ariaBusy = "false";
}

element("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
element("stop").addEventListener("click", () => {
  request.abort();
  element("go").focus();
});
element("copy").addEventListener("click", ({ target }) => copy(written.textContent, target));
element("greedy").addEventListener("change", ({ target }) => {
  element("temperature").disabled = element("seed").disabled = target.checked;
});
showCard(given.cards[0]);
