/* The translator's page: each line of the input is a line of the output. */
"use strict";

/** Milliseconds without a key before a line is translated, and before a result is announced. */
const PAUSE = 150, QUIET = 800;
const ALTERNATIVES = 5;
const HOW_TO_READ = "Each row is a word of the translation; its cells say in percent what was attended to.";
const WHOSE = "It is the model’s first choice that is shown.";
const FLAGS = {
  truncated: "Cut off: the translation reached the greatest length.",
  repeats: "Some words are repeated.",
  long: "Longer than any line in training: translate it sentence by sentence.",
  unknown: "Has characters or words that the model does not know.",
  invented: "Has a placeholder or tag that the source has not.",
  around: "Translated in parts, around what must not change.",
  sentences: "Several sentences: translate each by itself.",
  capitals: "In capitals, unlike the training.",
  title: "In title case, unlike the training.",
  full_width: "In full-width letters, unlike the training.",
};

const input = element("input"), mirror = element("mirror"), output = element("output"), reading = element("reading");
let card = given.cards[0];
/** A row for each line: {text, result, chosen, failed, typing, request, nbest, source: Element, target: Element, ...}. */
let rows = [], current = null, working = false, pause = 0, quiet = 0;

function newRow(text) {
  const row = { text, source: make("div"), target: make("div", { className: "line" }) };
  row.target.addEventListener("click", () => select(row));
  return change(row, text);
}

function change(row, text) {
  row.request?.abort();
  Object.assign(row, { text, result: null, chosen: null, nbest: null, alignment: null, failed: false, typing: true });
  row.source.replaceChildren(text || make("br"));
  row.target.classList.add("waiting");
  if (!text.trim()) row.target.replaceChildren(make("br"));
  return row;
}

/** Brings the rows up to the input; those of lines before and after what was edited stay. */
function edited() {
  const lines = input.value.split("\n"), most = Math.min(lines.length, rows.length);
  let head = 0, tail = 0;
  while (head < most && rows[head].text === lines[head]) head++;
  while (tail < most - head && rows.at(-1 - tail).text === lines.at(-1 - tail)) tail++;
  const old = rows.slice(head, rows.length - tail);
  const fresh = lines.slice(head, lines.length - tail).map((text, n) => (old[n] ? change(old[n], text) : newRow(text)));
  for (const row of old.slice(fresh.length)) {
    row.request?.abort();
    row.source.remove();
    row.target.remove();
  }
  rows.splice(head, old.length, ...fresh);
  fresh.slice(old.length).forEach((row, n) => {
    const place = head + old.length + n;
    mirror.insertBefore(row.source, mirror.children[place] ?? null);
    output.insertBefore(row.target, output.children[place] ?? null);
  });
  if (!input.value.trim()) forgetProblem();
  unmark();
  atCaret();
  if (!current?.text.trim()) showDetails();
  output.ariaBusy = "true";
  clearTimeout(pause);
  pause = setTimeout(() => {
    for (const row of rows) row.typing = false;
    work();
  }, PAUSE);
}

function ask(row, options) {
  row.request = new AbortController();
  return engine.translate(row.text, { ...options, pair: card, signal: row.request.signal });
}

/** Translates what is missing, the current line first; a line that changes meanwhile is dropped and comes again. */
async function work() {
  if (working) return;
  working = true;
  const missing = (row) => row && !row.result && !row.failed && !row.typing && row.text.trim() !== "";
  let row;
  while ((row = missing(current) ? current : rows.find(missing))) {
    const { text } = row;
    try {
      const result = await ask(row, { nbest: 1, attention: true });
      if (row.text === text && rows.includes(row)) show(row, result);
      forgetProblem();
    } catch (problem) {
      if (problem.name !== "AbortError") row.failed = true;
      showProblem(problem);
    }
  }
  working = false;
  if (rows.some((row) => row.typing)) return;
  output.ariaBusy = "false";
  clearTimeout(quiet);
  quiet = setTimeout(announceResult, QUIET);
}

function announceResult() {
  const done = rows.filter((row) => row.result);
  if (done.length && !working) announce(done.length === 1 ? textOf(done[0]) : `${done.length} lines are translated`);
}

const textOf = (row) => row.chosen ?? row.result?.text ?? "";

function show(row, result) {
  row.result = result;
  row.alignment = alignmentOf(row.text, result);
  row.sourceSpans = fillWithWords(row.source, row.text, row.alignment.sourcePlaces);
  draw(row);
  if (row === current) showDetails();
}

/** Draws what a line became: words that can be pointed at, or a chosen alternative as it is; and its flags in words. */
function draw(row) {
  const text = make("p"), { alignment } = row, attends = alignment.shares && row.chosen === null;
  speak(text, card.target);
  row.targetSpans = attends ? fillWithWords(text, row.result.text, alignment.targetPlaces) : [];
  if (!attends) text.textContent = textOf(row);
  row.targetSpans.forEach((span, number) => span && makeWord(row, span, number));
  const first = row.targetSpans.find(Boolean);
  if (first) first.tabIndex = 0;
  const told = row.result.flags.filter((flag) => FLAGS[flag]);
  row.target.replaceChildren(text, ...told.map((flag) => make("p", { className: "note" }, FLAGS[flag])));
  row.target.classList.remove("waiting");
}

function makeWord(row, span, number) {
  span.tabIndex = -1;
  span.addEventListener("pointerenter", () => markTarget(row, number));
  span.addEventListener("pointerleave", unmark);
  span.addEventListener("focus", () => {
    select(row);
    announce(markTarget(row, number));
  });
  span.addEventListener("blur", unmark);
  span.addEventListener("keydown", (event) => {
    const words = row.targetSpans.filter(Boolean), to = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const step = getComputedStyle(span).direction === "rtl" ? -to : to, next = words[words.indexOf(span) + step];
    if (!next) return;
    span.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    event.preventDefault();
  });
}

function markTarget(row, number) {
  if (!row.alignment) return "";
  const { shares, targets, sources } = row.alignment;
  return mark(row.targetSpans[number], row.sourceSpans, targets[number], sources, shares[number], "attended to");
}

function markSource(row, number) {
  if (!row.alignment || !row.targetSpans.length) return "";
  const { shares, targets, sources } = row.alignment, column = shares.map((line) => line[number]);
  return mark(row.sourceSpans[number], row.targetSpans, sources[number], targets, column, "was attended to for");
}

/** Marks a word and, by strength, those of the other side; gives the same in words. */
function mark(span, others, word, words, shares, what) {
  unmark();
  span?.classList.add("pointed");
  shares.forEach((share, number) => {
    if (share < 0.05 || !others[number]) return;
    others[number].classList.add("marked");
    others[number].style.setProperty("--share", `${Math.round(100 * share)}%`);
  });
  const strongest = words.map((each, number) => [shares[number], each.ends ? "the end" : `“${each.text}”`])
    .filter(([share]) => share >= 0.05).sort(([a], [b]) => b - a).slice(0, 4);
  const said = strongest.map(([share, text]) => `${text} ${Math.round(100 * share)} %`).join(", ");
  reading.textContent = `“${word.text}” ${what} ${said || "nothing much"}`;
  return reading.textContent;
}

function unmark() {
  for (const span of document.querySelectorAll(".marked, .pointed")) span.classList.remove("marked", "pointed");
  reading.textContent = "";
}

/** The word of the input below the pointer: the mirror with the words lies behind the text. */
function atPointer({ clientX, clientY }) {
  const span = document.elementsFromPoint(clientX, clientY).find((each) => each.matches("#mirror .word"));
  const row = span && rows.find((each) => each.source === span.parentNode);
  if (row) markSource(row, row.sourceSpans.indexOf(span));
  else unmark();
}

/** The line of the caret becomes the current one, and the word there shows what it became. */
function atCaret(event) {
  const before = input.value.slice(0, input.selectionStart).split("\n"), row = rows[before.length - 1];
  select(row ?? null);
  if (!event || !row?.alignment) return;
  const column = before.at(-1).length;
  const number = row.alignment.sourcePlaces.findIndex((place) => place && place[0] <= column && column < place[1]);
  if (number >= 0) announce(markSource(row, number));
  else unmark();
}

function select(row) {
  if (row === current) return;
  current?.target.classList.remove("current");
  current = row;
  current?.target.classList.add("current");
  showDetails();
}

/** The panels of alternatives and alignment, for the current line; closed ones cost nothing. */
function showDetails() {
  const result = current?.result, line = rows.length > 1 && current ? ` of line ${rows.indexOf(current) + 1}` : "";
  element("alternatives-of").textContent = line;
  element("alignment-of").textContent = line;
  element("alignment").hidden = Boolean(result && !current.alignment.shares);
  if (element("alternatives").open) showAlternatives(current);
  if (!element("alignment").open) return;
  const shown = result?.tokens.length && current.alignment.shares;
  element("matrix").replaceChildren(...(shown ? [matrixOf(current.alignment, card)] : []));
  element("alignment-note").textContent = !result ? "" : current.chosen === null ? HOW_TO_READ : `${HOW_TO_READ} ${WHOSE}`;
}

async function showAlternatives(row) {
  const list = element("choices");
  if (!row?.result) return list.replaceChildren();
  if (!row.nbest) {
    const { text } = row;
    try {
      const { nbest } = await ask(row, { nbest: ALTERNATIVES, attention: false });
      if (row.text !== text) return undefined;
      const others = nbest.filter((each) => each.text !== row.result.text); // a wider beam may find better ones
      row.nbest = [row.result, ...others].sort((one, other) => (other.score ?? 0) - (one.score ?? 0));
    } catch (problem) {
      return showProblem(problem);
    }
  }
  if (row !== current) return undefined;
  return list.replaceChildren(...row.nbest.map((each) => choiceOf(row, each)));
}

function choiceOf(row, { text, score }) {
  const radio = make("input", { type: "radio", name: "choice", checked: text === textOf(row) });
  radio.addEventListener("change", () => {
    if (!row.result) return; // the line has changed meanwhile
    row.chosen = text === row.result.text ? null : text;
    draw(row);
    announce(text);
  });
  const words = make("span", {}, text), number = score?.toFixed(2).replace("-", "\u2212"); // a line in parts has none
  speak(words, card.target);
  return make("label", {}, radio, words, make("span", { className: "soft" }, number ?? ""));
}

const pairName = ({ source, target }) => `${languageName(source)} to ${languageName(target)}`;

function choosePair(number) {
  card = given.cards[number];
  speak(input, card.source);
  speak(mirror, card.source);
  element("source-name").textContent = languageName(card.source);
  element("target-name").textContent = languageName(card.target);
  document.title = element("heading").textContent = pairName(card);
  showCard(card);
  rows.forEach((row) => change(row, row.text));
  edited();
}

input.addEventListener("input", edited);
for (const event of ["click", "keyup"]) input.addEventListener(event, atCaret);
input.addEventListener("pointermove", atPointer);
for (const event of ["pointerleave", "blur"]) input.addEventListener(event, unmark);
for (const panel of ["alternatives", "alignment"]) element(panel).addEventListener("toggle", showDetails);
element("copy").addEventListener("click", ({ target }) => copy(rows.map(textOf).join("\n"), target));
element("clear").addEventListener("click", () => {
  input.value = "";
  edited();
  input.focus();
});
if (given.cards.length > 1) {
  element("pairs").hidden = false;
  element("pair").append(...given.cards.map((each, number) => new Option(pairName(each), number)));
  element("pair").addEventListener("change", ({ target }) => choosePair(target.value));
}
choosePair(0);
