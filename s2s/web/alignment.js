/* Words put together from tokens, where they stand in a text, and what they attended to. */
"use strict";

const WORD_START = "\u2581", END_OF_SENTENCE = "</s>";
/** Scripts written without spaces, where each piece counts as a word. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const BYTE = /^<0x([0-9A-F]{2})>$/;

/** Tokens that are read as one: [{text, tokens: [numbers]}], a run of byte pieces as the characters that it spells. */
function unitsOf(tokens) {
  const units = [];
  tokens.forEach((token, number) => {
    const byte = BYTE.exec(token), last = units.at(-1);
    if (byte && last?.bytes) last.tokens.push(number), last.bytes.push(parseInt(byte[1], 16));
    else units.push({ text: token, tokens: [number], bytes: byte && [parseInt(byte[1], 16)] });
  });
  for (const unit of units) if (unit.bytes) unit.text = new TextDecoder().decode(new Uint8Array(unit.bytes));
  return units;
}

/** [{text, tokens: [numbers]}] of the tokens of subwords, words or characters; the end of the sentence is the last.

    A mark that ends a word is a word of its own: the models attend to it so. */
function wordsOf(tokens) {
  const inner = tokens.at(-1) === END_OF_SENTENCE ? tokens.slice(0, -1) : tokens;
  const pieces = inner.some((token) => token.startsWith(WORD_START));
  const letters = !pieces && inner.every((token) => [...token].length === 1);
  const words = [];
  let open = false;
  for (const { text, tokens } of unitsOf(inner)) {
    const space = letters && !text.trim(), own = pieces ? text.replaceAll(WORD_START, "") : text;
    const begins = pieces ? text.startsWith(WORD_START) : !letters;
    if (!space && (!open || begins || (UNSPACED.test(own) && words.at(-1).some((unit) => unit.text)))) words.push([]);
    if (!space) words.at(-1).push({ text: own, tokens });
    open = !space;
  }
  const parts = words.flatMap((units) => {
    const marked = units.length > 1 && /^\p{P}+$/u.test(units.at(-1).text);
    return marked ? [units.slice(0, -1), units.slice(-1)] : [units];
  });
  const found = parts.map((units) => ({
    text: units.map((unit) => unit.text).join(""), tokens: units.flatMap((unit) => unit.tokens),
  }));
  return inner === tokens ? found : [...found, { text: "", tokens: [tokens.length - 1], ends: true }];
}

/** [start, end] of each word in a text, or null; a model writes and reads normalised text, so NFKC is compared. */
function placesOf(text, words) {
  let flat = "";
  const spans = [];
  for (const { segment, index } of new Intl.Segmenter().segment(text)) {
    const plain = segment.normalize("NFKC").replace(/\s/g, "");
    flat += plain;
    for (let i = 0; i < plain.length; i++) spans.push([index, index + segment.length]);
  }
  let at = 0;
  const places = words.map((word) => {
    const plain = word.text.normalize("NFKC").replace(/\s/g, "");
    const found = plain ? flat.indexOf(plain, at) : -1;
    if (found < 0 || found > at + 20) return null;
    at = found + plain.length;
    return [spans[found][0], spans[at - 1][1]];
  });
  return places.map((place, number) => place ?? (words[number].ends ? null : between(text, places, number)));
}

/** The text between the neighbours of a word that was not found, as a character that the model does not know is. */
function between(text, places, number) {
  const start = places.slice(0, number).findLast(Boolean)?.[1] ?? 0;
  const end = places.slice(number + 1).find(Boolean)?.[0] ?? text.length;
  const inner = text.slice(start, end);
  return inner.trim() ? [start + inner.length - inner.trimStart().length, end - inner.length + inner.trimEnd().length] : null;
}

/** Shares [target word][source word] of the attention: summed over a source word's tokens, mean over a target word's. */
function sharesOf(attention, targets, sources) {
  return targets.map((target) => sources.map((source) => {
    let sum = 0;
    for (const row of target.tokens) for (const column of source.tokens) sum += attention[row]?.[column] ?? 0;
    return sum / target.tokens.length;
  }));
}

/** Everything about one translation that is shown: words and places of both sides, and the shares or null. */
function alignmentOf(line, { text, tokens, sourceTokens, attention }) {
  const sources = wordsOf(sourceTokens), targets = wordsOf(tokens);
  return {
    sources, targets, sourcePlaces: placesOf(line, sources), targetPlaces: placesOf(text, targets),
    shares: attention && attention.length ? sharesOf(attention, targets, sources) : null,
  };
}

/** Fills an element with a text whose words are spans; these, null for a word without a place or one that it shares. */
function fillWithWords(element, text, places) {
  let at = 0;
  const parts = [], spans = places.map((place) => {
    if (!place || place[0] < at) return null;
    const span = make("span", { className: "word" }, text.slice(...place));
    parts.push(text.slice(at, place[0]), span);
    at = place[1];
    return span;
  });
  element.replaceChildren(...parts, text.slice(at));
  return spans;
}

/** A table of the shares: a row for each word that was written, a column for each that was read. */
function matrixOf({ sources, targets, shares }, languages) {
  const header = (word, scope, language) => {
    const text = make("span", word.ends ? { className: "soft" } : {}, word.ends ? "end" : word.text);
    if (!word.ends) speak(text, language);
    return make("th", { scope }, text);
  };
  const cell = (share) => {
    const percent = Math.round(100 * share);
    const made = make("td", {}, make("span", { className: percent < 10 ? "visually-hidden" : "" }, percent));
    made.style.setProperty("--share", `${percent}%`);
    return made;
  };
  const head = make("tr", {}, make("td"), ...sources.map((word) => header(word, "col", languages.source)));
  const rows = targets.map((word, at) => make("tr", {}, header(word, "row", languages.target), ...shares[at].map(cell)));
  return make("table", { className: "matrix" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
