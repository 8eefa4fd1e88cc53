/* What the pages of translators and of language models share: the data in the file, names of languages, the card. */
"use strict";

const element = (id) => document.getElementById(id);

/** A new element with properties and children. */
function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const given = JSON.parse(element("given").textContent);
const engine = given.serves ? new ServerEngine() : new WorkerEngine(...taken());

/** What the worker's engine is made from, taken out of the document: it need not stay there as text. */
function taken() {
  const [runtime, weights, files] = ["runtime", "weights", "files"].map((id) => {
    const script = element(id), text = script.textContent;
    script.remove();
    return text;
  });
  return [runtime, { bundle: given.bundle, weights, files: JSON.parse(files) }];
}

/** Name of a language in English, or its code where that is none. */
function languageName(code) {
  try {
    return new Intl.DisplayNames("en", { type: "language", fallback: "none" }).of(tagOf(code)) ?? code;
  } catch {
    return code;
  }
}

/** Language tag of a code: en_US is written en-US there. */
const tagOf = (code) => code.replaceAll("_", "-");

/** Marks an element as text of a language, for its voice, font and direction. */
function speak(target, code) {
  const known = code && languageName(code) !== code;
  if (known) target.lang = tagOf(code);
  else target.removeAttribute("lang");
  target.dir = (known && directionOf(tagOf(code))) || "auto";
}

function directionOf(code) {
  const locale = new Intl.Locale(code);
  return (locale.getTextInfo?.() ?? locale.textInfo)?.direction;
}

/** A line that screen readers say when they have finished what they are saying. */
function announce(text) { element("announced").textContent = text; }

function showProblem(problem) {
  if (problem.name === "AbortError") return;
  element("problem").textContent = `That did not work: ${problem.message}`;
  element("problem").hidden = false;
}

function forgetProblem() { element("problem").hidden = true; }

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no clipboard outside a secure context
    const area = document.body.appendChild(make("textarea", { value: text }));
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.textContent;
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = label; }, 1500);
}

const SCORES = { bleu: "BLEU", chrf: "chrF", mae: "MAE", rmse: "RMSE", mase: "MASE" };

function sizeOf({ type, bytes, index }) {
  const count = Object.values(index).reduce((sum, { shape }) => sum + shape.reduce((one, other) => one * other, 1), 0);
  const size = bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  return `${count.toLocaleString("en")} weights, ${size} in ${type}`;
}

/** Fills the card: what whoever was handed the file wants to know of it. */
function showCard(card) {
  const rows = [
    ["Model", card.title],
    ["Languages", card.source && card.target && `${languageName(card.source)} to ${languageName(card.target)}`],
    ["Size", given.bundle && sizeOf(given.bundle.weights)],
    ["Trained", card.trained && new Date(card.trained).toLocaleDateString("en", { dateStyle: "long", timeZone: "UTC" })],
    ["Data", card.data.map(({ name, title, licence, citation }) => [
      title || name, licence && `Licence: ${licence}`, citation].filter(Boolean))],
    ["Fingerprint", card.fingerprint],
    ["Made with", `s2s ${card.s2s}`],
  ];
  const linesOf = ([first, ...more]) => [make("p", {}, first), ...more.map((line) => make("p", { className: "soft" }, line))];
  element("card").replaceChildren(...rows.filter(([, value]) => value?.length).flatMap(([name, value]) => {
    const detail = make("dd", { className: name === "Fingerprint" ? "code" : "" });
    for (const lines of Array.isArray(value) ? value : [[value]]) detail.append(...linesOf(lines));
    return [make("dt", {}, name), detail];
  }));
  showScores(Object.entries(card.scores), card.scored_on);
}

/** Fills the table of scores; a column that none of them has is left out. */
function showScores(scores, split) {
  const number = (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);
  const columns = [
    ["Value", ({ value }) => (value == null ? "undefined" : number(value))],
    ["95 % interval", ({ low, high }) => (low == null ? "" : `${number(low)} to ${number(high)}`)],
    ["Signature", ({ signature }) => signature ?? ""],
  ].filter(([, text]) => scores.some(([, score]) => text(score)));
  element("scored").hidden = scores.length === 0;
  element("scored-on").textContent = split ? `Scores on ${split}` : "Scores";
  const head = (scope, text) => make("th", { scope }, text);
  element("scores").replaceChildren(
    make("tr", {}, head("col", "Score"), ...columns.map(([name]) => head("col", name))),
    ...scores.map(([name, score]) => make("tr", {}, head("row", SCORES[name] ?? name.replaceAll("_", " ")),
      ...columns.map(([, text]) => make("td", {}, text(score))))),
  );
}

engine.ready.then(() => "Works offline: this file cannot load or send anything.", (problem) => showProblem(problem))
  .then((said) => { element("state").textContent = given.serves ? "" : said ?? ""; });
