/**
 * Translators and language models of s2s in plain JavaScript: in a browser's page or worker, and in Node.
 *
 *     (await load("folder")).translate("Guten Tag!").text;
 *
 * Letters of shapes: K hypotheses, S source positions, H hidden units, E embedding units, M units of the encoder's
 * memory, G units of a cell's gates, V tokens of the vocabulary. Matrices are flat arrays, row after row.
 */

const FORMAT = 2, [PAD, UNKNOWN, START, END] = [0, 1, 2, 3];
const SPECIAL_LABELS = ["<pad>", "<unk>", "<s>", "</s>"], UNKNOWN_SURFACE = "\u2047";

/** Open a bundle: the URL of its folder (in Node a path too), or { bundle, weights, files } that hold it. */
export async function load(source) {
  const { bundle, weights, files } = source?.bundle ? source : await readFolder(source);
  if (bundle.format !== FORMAT) {
    throw new Error(`bundle.json: is of format ${bundle.format}, s2s.js reads ${FORMAT}; take the s2s.js beside it`);
  }
  if (weights.byteLength !== bundle.weights.bytes) {
    throw new Error(`weights.bin: has ${weights.byteLength} bytes, not ${bundle.weights.bytes}; copy it again`);
  }
  const names = [...new Set(Object.values(bundle.tokenizers))];
  const read = (name) => readTokenizer(name, files[name], bundle.word_characters);
  const tokenizers = new Map(names.map((name) => [name, read(name)]));
  const Model = bundle.task === "language" ? LanguageModel : Translator;
  return new Model(bundle, new Weights(bundle.weights.index, weights), tokenizers);
}

async function readFolder(place) {
  const folder = String(place).replace(/\/?$/, "/");
  const disk = globalThis.process?.versions?.node && !/^https?:/.test(folder) && (await import("node:fs/promises"));
  const read = async (name) => {
    const place = folder.startsWith("file:") ? new URL(name, folder) : folder + name;
    const lacks = (why) => new Error(`${folder}${name}: cannot be read (${why}); s2s export --format js writes it`);
    if (disk) return new Uint8Array(await disk.readFile(place).catch((problem) => { throw lacks(problem.code); }));
    const answer = await fetch(place);
    if (!answer.ok) throw lacks(answer.status);
    return new Uint8Array(await answer.arrayBuffer());
  };
  const bundle = JSON.parse(utf8.decode(await read("bundle.json")));
  const names = new Set(["weights.bin", ...Object.values(bundle.tokenizers)]);
  const held = Object.fromEntries(await Promise.all([...names].map(async (name) => [name, await read(name)])));
  return { bundle, weights: held["weights.bin"].buffer, files: held };
}

// ------------------------------------------------------------------------------------------------------------- text
/** White space as Python has it: with U+001C to U+001F and U+0085, without U+FEFF. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES = new RegExp(`[${SPACE}]+`, "u");
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }), toUtf8 = new TextEncoder();
const wordsOf = (text) => text.split(SPACES).filter(Boolean);

/** Whether some 1 to 4 words occur at least three times in a row. */
function hasLoop(words) {
  const isLoop = (size, start) => start + 3 * size <= words.length
    && words.slice(start, start + 2 * size).every((word, at) => word === words[start + at + size]);
  return [1, 2, 3, 4].some((size) => words.some((_, start) => isLoop(size, start)));
}

function readTokenizer(name, bytes, wordCharacters) {
  if (!bytes) throw new Error(`${name}: is missing in the bundle; copy it again`);
  if (name.endsWith(".model")) return new SentencePiece(name, bytes);
  const { kind, entries, closed, normalization } = JSON.parse(utf8.decode(bytes));
  const [split, join] = {
    words: [normalization ? (line) => line.split(/[ \t-\r]+/).filter(Boolean) : wordsOf, (units) => units.join(" ")],
    "words and punctuation": [wordCharacters && punctuationSplitter(wordCharacters), joinPunctuated],
    characters: [(line) => Array.from(line), (units) => units.join("")],
  }[kind];
  return new UnitList(kind, entries, Boolean(closed), (line) => split(normalized(line, normalization)), join);
}

/** A text under a rule of Unicode; "none" and SentencePiece's own, which is in the model, leave it as it is. */
const normalized = (text, rule) => (/^nfk?[cd]$/.test(rule) ? text.normalize(rule.toUpperCase()) : text);

/** Words and punctuation marks; the letters of words are Python's, given as lengths of runs without and with them. */
function punctuationSplitter(lengths) {
  let letters = "", at = 0;
  lengths.forEach((length, index) => {
    if (index % 2) letters += `\\u{${at.toString(16)}}-\\u{${(at + length - 1).toString(16)}}`;
    at += length;
  });
  const unit = new RegExp(`[${letters}]+(?:['’-][${letters}]+)*|[^${letters}${SPACE}]`, "gu");
  return (line) => line.match(unit) ?? [];
}

function joinPunctuated(units) {
  let text = "", opened = true;
  for (const unit of units) {
    text += opened || ",.;:!?)]}…%".includes(unit) ? unit : ` ${unit}`;
    opened = "([{".includes(unit);
  }
  return text;
}

/** Words or characters: a plain list after the four special ids; a closed one has no special ids. */
class UnitList {
  constructor(kind, entries, closed, split, join) {
    Object.assign(this, { kind, closed, split, join });
    this.labels = closed ? entries : [...SPECIAL_LABELS, ...entries];
    this.ids = new Map(entries.map((unit, at) => [unit, this.labels.length - entries.length + at]));
  }
  encode(line) {
    const [lacking] = this.closed ? this.lacking(line) : [];
    if (lacking !== undefined) throw new Error(`the text contains "${lacking}", which the vocabulary lacks`);
    return this.split(line).map((unit) => this.ids.get(unit) ?? UNKNOWN);
  }
  decode(tokens) {
    const shown = this.closed ? tokens : tokens.filter((token) => token === UNKNOWN || token > END);
    return this.join(shown.map((token) => (this.lacks([token]) ? UNKNOWN_SURFACE : this.token(token))));
  }
  token(token) { return this.labels[token]; }
  /** Whether tokens stand for what the vocabulary lacks. */
  lacks(tokens) { return !this.closed && tokens.includes(UNKNOWN); }
  /** Units that the vocabulary lacks, each once. */
  lacking(line) { return [...new Set(this.split(line).filter((unit) => !this.ids.has(unit)))]; }
}

/** Fields of a protobuf message as [number, value]; a value is a number, or bytes. */
function* fieldsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = () => {
    const byte = view.getUint8(at++);
    return byte < 128 ? byte : byte - 128 + 128 * varint();
  };
  while (at < bytes.length) {
    const key = varint(), type = key & 7;
    if (type === 0) yield [key >>> 3, varint()];
    else {
      const length = type === 2 ? varint() : 4, part = bytes.subarray(at, (at += length));
      yield [key >>> 3, type === 2 ? part : view.getFloat32(at - 4, true)];
    }
  }
}

const NORMAL = 1, UNKNOWN_PIECE = 2, CONTROL = 3, BYTE = 6, PIECE_TYPES = [NORMAL, UNKNOWN_PIECE, CONTROL, BYTE];
const UNIGRAM = 1, BPE = 2, UNKNOWN_PENALTY = 10, WORD_START = "\u2581";

/** A SentencePiece model, unigram (Kudo 2018) or BPE (Sennrich et al. 2016), of a kind that s2s trains. */
class SentencePiece {
  constructor(name, bytes) {
    Object.assign(this, { labels: [], scores: [], types: [], ids: new Map(), bytes: [] });
    const parts = new Map([[2, new Map()], [3, new Map()]]);
    for (const [number, value] of fieldsOf(bytes)) {
      if (number === 1) this.addPiece(new Map(fieldsOf(value)));
      else if (number < 4) for (const [key, part] of fieldsOf(value)) parts.get(number).set(key, part); // the last wins
    }
    const settings = parts.get(2), normalization = parts.get(3);
    this.kind = settings.get(3) ?? UNIGRAM;
    this.fallsBack = settings.get(35) === 1;
    const isOther = [3, 4, 5].some((flag) => normalization.get(flag) === 0) || settings.get(24) === 1;
    if (isOther || ![UNIGRAM, BPE].includes(this.kind) || !this.types.every((type) => PIECE_TYPES.includes(type))) {
      throw new Error(`${name}: has settings or pieces of a kind that s2s does not train, and s2s.js does not know`);
    }
    this.normalizer = new Normalizer(normalization.get(2)?.length ? normalization.get(2) : undefined);
    this.rule = utf8.decode(normalization.get(1));
    this.longest = largestOf(this.labels.map((label) => label.length));
    const least = this.scores.filter((_, token) => this.types[token] === NORMAL).reduce((a, b) => Math.min(a, b));
    this.unknownScore = Math.fround(least - UNKNOWN_PENALTY);
  }
  addPiece(fields) {
    const label = utf8.decode(fields.get(1)), type = fields.get(3) ?? NORMAL;
    if (type === BYTE) this.bytes[byteOf(label)] = this.labels.length;
    if (type === NORMAL) this.ids.set(label, this.labels.length);
    this.labels.push(label);
    this.scores.push(fields.get(2) ?? 0);
    this.types.push(type);
  }
  encode(line) {
    const text = this.normalizer.normalize(normalized(line, this.rule)), tokens = [];
    let wasUnknown = false;
    for (const piece of this.kind === BPE ? this.merged(text) : this.likeliest(text)) {
      const token = this.ids.get(piece) ?? UNKNOWN;
      if (token !== UNKNOWN) tokens.push(token);
      else if (this.fallsBack) for (const byte of toUtf8.encode(piece)) tokens.push(this.bytes[byte]);
      else if (!wasUnknown) tokens.push(UNKNOWN); // one token for a run of unknown characters
      wasUnknown = token === UNKNOWN;
    }
    return tokens;
  }
  /** Pieces of the likeliest segmentation, by dynamic programming; sums are float32, as SentencePiece has them. */
  likeliest(text) {
    const sums = new Float32Array(text.length + 1).fill(-Infinity), starts = new Int32Array(text.length + 1);
    sums[0] = 0;
    for (let start = 0, next; start < text.length; start = next) {
      next = start + String.fromCodePoint(text.codePointAt(start)).length;
      const last = Math.min(text.length, start + this.longest);
      for (let end = start + 1; end <= last || end <= next; end++) {
        const token = this.ids.get(text.slice(start, end));
        if (token === undefined && end !== next) continue;
        const sum = Math.fround(sums[start] + (token === undefined ? this.unknownScore : this.scores[token]));
        if (sum > sums[end]) [sums[end], starts[end]] = [sum, start];
      }
    }
    const pieces = [];
    for (let end = text.length; end > 0; end = starts[end]) pieces.push(text.slice(starts[end], end));
    return pieces.reverse();
  }
  /** Characters merged pair by pair: the best score first, of equal ones the leftmost. */
  merged(text) {
    const pieces = Array.from(text);
    const scoreAt = (at) => this.scores[this.ids.get(pieces[at] + pieces[at + 1])] ?? -Infinity;
    const scores = pieces.map((_, at) => scoreAt(at));
    for (;;) {
      let best = 0;
      for (let at = 1; at < pieces.length; at++) if (scores[at] > scores[best]) best = at;
      if (!(scores[best] > -Infinity)) return pieces;
      pieces.splice(best, 2, pieces[best] + pieces[best + 1]);
      scores.splice(best, 1);
      for (const at of [best - 1, best]) if (at >= 0) scores[at] = scoreAt(at);
    }
  }
  decode(tokens) {
    const bytes = [];
    for (const token of tokens) {
      const type = this.types[token], label = this.token(token);
      if (type === BYTE) bytes.push(byteOf(label));
      else if (type === UNKNOWN_PIECE) bytes.push(...toUtf8.encode(` ${UNKNOWN_SURFACE} `));
      else if (type === NORMAL) {
        const shown = !bytes.length && label.startsWith(WORD_START) ? label.slice(1) : label;
        bytes.push(...toUtf8.encode(shown.replaceAll(WORD_START, " ")));
      }
    }
    return textOf(bytes).replace(/[\n\r]/g, " ").replace(/^ +| +$/g, "");
  }
  token(token) { return this.labels[token]; }
  lacks(tokens) { return tokens.some((token) => token === UNKNOWN || this.types[token] === BYTE); }
  /** Words with a character that is no piece. */
  lacking(line) { return [...new Set(wordsOf(line).filter((word) => this.encode(word).includes(UNKNOWN)))]; }
}

const byteOf = (label) => Number.parseInt(label.slice(3, 5), 16); // of <0x0A>
const utf8Length = (first) => (first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

/** Text of UTF-8, with U+FFFD for each byte that belongs to no character. */
function textOf(bytes) {
  let text = "";
  for (let at = 0, length; at < bytes.length; at += length) {
    length = utf8Length(bytes[at]);
    const character = utf8.decode(Uint8Array.from(bytes.slice(at, at + length)));
    const isWhole = toUtf8.encode(character).every((byte, index) => byte === bytes[at + index]);
    if (!isWhole) length = 1;
    text += isWhole ? character : "\ufffd";
  }
  return text;
}

/** The normalisation inside a SentencePiece model: its character map, and runs of white space that become one. */
class Normalizer {
  /** The map is a double-array trie (Aoe 1989) of 32-bit units and, each with a NUL behind it, the replacements. */
  constructor(map = new Uint8Array(4)) {
    const size = new DataView(map.buffer, map.byteOffset).getUint32(0, true);
    this.units = new Uint32Array(map.slice(4, 4 + size).buffer);
    this.replacements = map.subarray(4 + size);
  }
  normalize(line) {
    const bytes = toUtf8.encode(line);
    let written = WORD_START, wasSpace = true;
    for (let at = 0; at < bytes.length; ) {
      const [length, text] = this.next(bytes, at);
      const shown = wasSpace ? text.replace(/^ +/, "") : text;
      if (shown) wasSpace = shown.endsWith(" ");
      written += shown.replaceAll(" ", WORD_START);
      at += length;
    }
    return written.replace(/\u2581+$/, "");
  }
  /** How many bytes are read at a place, by the longest rule there, and what is written for them. */
  next(bytes, at) {
    const offset = (unit) => (unit >>> 10) << ((unit & 0x200) >>> 6);
    let length = 0, place = 0;
    for (let node = offset(this.units[0]), end = at; end < bytes.length; end++) {
      node ^= bytes[end];
      const unit = this.units[node];
      if (unit === undefined || (unit & 0x800000ff) !== bytes[end]) break;
      node ^= offset(unit);
      if (unit & 0x100) {
        length = end + 1 - at;
        place = this.units[node] & 0x7fffffff;
      }
    }
    const one = utf8Length(bytes[at]);
    if (!length) return [one, utf8.decode(bytes.subarray(at, at + one))];
    return [length, utf8.decode(this.replacements.subarray(place, this.replacements.indexOf(0, place)))];
  }
}

// ----------------------------------------------------------------------------------------------- weights and layers
const BLOCK = 4, SHIFT = 2 ** 27, CACHED_NUMBERS = 1 << 23;

/** Weights by name. */
class Weights {
  constructor(index, buffer) { Object.assign(this, { index, buffer }); }
  /** The numbers of a weight, in int8 without the scales of its rows. */
  numbers(name) {
    const { type, shape, offset } = this.index[name], count = shape.reduce((product, size) => product * size, 1);
    if (type === "int8") return new Int8Array(this.buffer, offset, count);
    if (type === "float32") return new Float32Array(this.buffer, offset, count);
    this.index[name].read ??= Float32Array.from(new Uint16Array(this.buffer, offset, count), fromFloat16);
    return this.index[name].read;
  }
  /** A row of a weight times a factor, as an embedding is read. */
  row(name, row, factor) {
    const { shape: [rows, columns], scales } = this.index[name];
    const scale = scales === undefined ? factor : factor * new Float32Array(this.buffer, scales, rows)[row];
    const stored = this.numbers(name).subarray(row * columns, (row + 1) * columns);
    return Float32Array.from(stored, (number) => number * scale);
  }
  /** What a cell makes of each token's embedding, which is read out times sqrt(E). */
  gates(cell, embedding) {
    const factor = Math.sqrt(this.index[embedding].shape[1]);
    return cached((token) => cell.into.apply(this.row(embedding, token, factor)));
  }
  /** x W + b of some columns of a weight, or of several below one another; b is zero where no bias is named. */
  affine(names, bias, from = 0, to = undefined) {
    const parts = [names].flat().map((name) => ({ ...this.index[name], numbers: this.numbers(name) }));
    const outputs = sumOf(parts.map(({ shape }) => shape[0])), inputs = (to ?? parts[0].shape[1]) - from;
    const affine = new Affine(outputs, inputs, parts[0].type === "int8");
    let first = 0;
    for (const { numbers, shape: [rows, columns], scales } of parts) {
      if (scales !== undefined) affine.scales.set(new Float32Array(this.buffer, scales, rows), first);
      for (let row = 0; row < rows; row++) affine.put(first++, numbers.subarray(row * columns + from));
    }
    if (bias) affine.bias.set(this.numbers(bias));
    return affine;
  }
}

function fromFloat16(bits) {
  const exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024, sign = bits & 0x8000 ? -1 : 1;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/**
 * x W + b. Four rows of W stand side by side, and two of x are read together, so that each number that is read serves
 * several products. In int8 there are two rows of W for each of the four, low + high * SHIFT: in float64 products with
 * whole numbers x, and their sums, keep both exactly, so that one multiplication does for two rows. There x is rounded
 * to a thousandth of its largest.
 */
class Affine {
  constructor(outputs, inputs, isPaired) {
    const size = isPaired ? 2 * BLOCK : BLOCK, rows = Math.ceil(outputs / size) * size;
    const weight = isPaired ? new Float64Array((rows * inputs) / 2) : new Float32Array(rows * inputs);
    Object.assign(this, { outputs, inputs, isPaired, size, weight, bias: new Float32Array(rows) });
    this.scales = new Float32Array(rows).fill(1);
    this.levels = Math.min(1023, Math.floor(SHIFT / 2 / 127 / inputs));
  }
  put(row, numbers) {
    const at = Math.floor(row / this.size) * BLOCK * this.inputs + (row % BLOCK);
    const factor = row % this.size < BLOCK ? 1 : SHIFT;
    for (let column = 0; column < this.inputs; column++) this.weight[at + column * BLOCK] += numbers[column] * factor;
  }
  /** (K, inputs) -> (K, outputs). */
  apply(inputs) {
    const read = rowsOf(inputs, this.inputs).map((x) => this.rounded(x));
    const values = new Float32Array(read.length * this.outputs), written = rowsOf(values, this.outputs);
    for (let row = 0; row < read.length; row += 2) {
      this.multiply(read[row], read[row + 1] ?? read[row], written[row], written[row + 1]);
    }
    return values;
  }
  /** A row of x in whole numbers, and what each of them stands for. */
  rounded(x) {
    if (!this.isPaired) return [x, 1];
    const unit = largestOf(x.map(Math.abs)) / this.levels || 1;
    return [x.map((value) => Math.round(value / unit)), unit];
  }
  multiply([x, unitX], [y, unitY], intoX, intoY) {
    const { weight, inputs, outputs, size } = this;
    for (let row = 0, at = 0; row < outputs; row += size) {
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let column = 0; column < inputs; column++, at += BLOCK) {
        const p = weight[at], q = weight[at + 1], r = weight[at + 2], s = weight[at + 3];
        const one = x[column], other = y[column];
        a += p * one, b += q * one, c += r * one, d += s * one;
        e += p * other, f += q * other, g += r * other, h += s * other;
      }
      this.write([a, b, c, d], intoX, row, unitX);
      if (intoY) this.write([e, f, g, h], intoY, row, unitY);
    }
  }
  /** Sums of products, and the bias, into the outputs of a block; those beyond the end of a row are left out. */
  write(sums, values, first, unit) {
    const { bias, scales, isPaired } = this;
    for (let at = 0, row = first; at < BLOCK; at++, row++) {
      const high = isPaired ? Math.round(sums[at] / SHIFT) : 0;
      values[row] = bias[row] + (sums[at] - high * SHIFT) * scales[row] * unit;
      if (isPaired) values[row + BLOCK] = bias[row + BLOCK] + high * scales[row + BLOCK] * unit;
    }
  }
}

/** Tokens (K,) -> the numbers that are computed for each, once, (K, G); forgotten when they are too many. */
function cached(compute) {
  let rows = new Map(), numbers = 0;
  const rowOf = (token) => {
    if (numbers > CACHED_NUMBERS) [rows, numbers] = [new Map(), 0];
    if (!rows.has(token)) numbers += rows.set(token, compute(token)).get(token).length;
    return rows.get(token);
  };
  return (tokens) => joined(tokens.map(rowOf));
}

/** (size,) each -> (K, size). */
function joined(rows) {
  const all = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, at) => all.set(row, at * row.length));
  return all;
}

/** (K, size) -> (size,) each. */
function rowsOf(values, size) {
  return Array.from({ length: values.length / size }, (_, at) => values.subarray(at * size, (at + 1) * size));
}

/** The first values plus the others, in place. */
function add(values, others) {
  for (let at = 0; at < values.length; at++) values[at] += others[at];
  return values;
}

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);
const largestOf = (values) => values.reduce((most, value) => (value > most ? value : most), -Infinity);
const sigmoid = (value) => 1 / (1 + Math.exp(-value));

function softmax(scores) {
  const most = largestOf(scores), powers = scores.map((score) => Math.exp(score - most)), sum = sumOf(powers);
  return powers.map((power) => power / sum);
}

/** Logits -> log-probabilities, in place. */
function logSoftmax(logits) {
  const most = largestOf(logits), sum = logits.reduce((powers, logit) => powers + Math.exp(logit - most), 0);
  const normalizer = most + Math.log(sum);
  const problem = "the model gives probabilities that are not numbers; its weights are damaged: copy them again";
  if (!Number.isFinite(normalizer)) throw new Error(problem);
  for (let at = 0; at < logits.length; at++) logits[at] -= normalizer;
  return logits;
}

/** One step of an Elman, GRU or LSTM layer: its state is [h] or [h, c], (K, H) each. */
class Cell {
  /** `columns` are those of the inputs that it multiplies itself, where there are more. */
  constructor(weights, kind, size, name, { ending = "_l0", columns } = {}) {
    Object.assign(this, { size, parts: kind === "lstm" ? 2 : 1, next: { elman, gru, lstm }[kind] });
    this.into = weights.affine(`${name}.weight_ih${ending}`, `${name}.bias_ih${ending}`, 0, columns);
    this.across = weights.affine(`${name}.weight_hh${ending}`, `${name}.bias_hh${ending}`);
  }
  zeros() { return Array.from({ length: this.parts }, () => new Float32Array(this.size)); }
  /** The inputs' share of the gates (K, G) and a state -> the next state. */
  advance(gates, state) { return this.next(gates, this.across.apply(state[0]), state, this.size); }
}

const elman = (gates, product) => [gates.map((gate, at) => Math.tanh(gate + product[at]))];

/** Gates in the order reset, update, candidate. */
function gru(gates, product, [hidden], size) {
  const next = new Float32Array(hidden.length);
  for (let row = 0, to = 0; to < hidden.length; row++) {
    for (let r = 3 * size * row, end = r + size; r < end; r++, to++) {
      const z = r + size, n = z + size;
      const candidate = Math.tanh(gates[n] + sigmoid(gates[r] + product[r]) * product[n]);
      next[to] = candidate + sigmoid(gates[z] + product[z]) * (hidden[to] - candidate);
    }
  }
  return [next];
}

/** Gates in the order input, forget, candidate, output. */
function lstm(gates, product, [, cell], size) {
  const nextHidden = new Float32Array(cell.length), nextCell = new Float32Array(cell.length);
  for (let row = 0, to = 0; to < cell.length; row++) {
    for (let i = 4 * size * row, end = i + size; i < end; i++, to++) {
      const f = i + size, g = f + size, o = g + size;
      const taken = sigmoid(gates[i] + product[i]) * Math.tanh(gates[g] + product[g]);
      nextCell[to] = sigmoid(gates[f] + product[f]) * cell[to] + taken;
      nextHidden[to] = sigmoid(gates[o] + product[o]) * Math.tanh(nextCell[to]);
    }
  }
  return [nextHidden, nextCell];
}

/** Recurrent layers, stepped; those from `residualFrom` on add their input to their output. */
class Stack {
  constructor(weights, name, layers, { cell, hidden_size: size }, residualFrom, columns = () => undefined) {
    const make = (_, layer) => new Cell(weights, cell, size, `${name}.layers.${layer}`, { columns: columns(layer) });
    Object.assign(this, { residualFrom, cells: Array.from({ length: layers }, make) });
  }
  /** The first layer's gates (K, G), each layer's state, contexts' shares -> the top output and all states. */
  step(gates, states, shares) {
    let hidden;
    const after = this.cells.map((cell, layer) => {
      const own = layer ? cell.into.apply(hidden) : gates;
      const state = cell.advance(shares ? add(own, shares[layer]) : own, states[layer]);
      hidden = layer >= this.residualFrom ? add(state[0].slice(), hidden) : state[0];
      return state;
    });
    return [hidden, after];
  }
}

// ------------------------------------------------------------------------------------------------------ translation
const RESIDUAL_FROM = 2, EXTRA_TOKENS = 10, ROUNDING = 1e-6, LEAST_COVERAGE = 2 ** -126;

/** Reads a source, in one or both directions. */
class Encoder {
  constructor(weights, model, embedding) {
    Object.assign(this, { units: model.encoder_units, size: model.memory_size });
    const endings = model.bidirectional ? ["_l0", "_l0_reverse"] : ["_l0"];
    this.layers = Array.from({ length: model.encoder_layers }, (_, layer) => {
      const name = `encoder.recurrent.layers.${layer}`;
      return endings.map((ending) => new Cell(weights, model.cell, this.units, name, { ending }));
    });
    this.tables = this.layers[0].map((cell) => weights.gates(cell, embedding));
  }
  /** Tokens (S,) -> values (S, M) and the last state of each layer, (M,) each, the directions side by side. */
  read(tokens) {
    let values, states = [];
    this.layers.forEach((cells, layer) => {
      const outputs = new Float32Array(tokens.length * this.size);
      const ends = cells.map((cell, direction) => {
        const gates = layer ? cell.into.apply(values) : this.tables[direction](tokens);
        let state = cell.zeros();
        for (let step = 0; step < tokens.length; step++) {
          const at = direction ? tokens.length - 1 - step : step, width = cell.into.outputs;
          state = cell.advance(gates.subarray(at * width, (at + 1) * width), state);
          outputs.set(state[0], at * this.size + direction * this.units);
        }
        return state;
      });
      states.push(ends[0].map((_, part) => joined(ends.map((end) => end[part]))));
      values = layer >= RESIDUAL_FROM ? add(outputs, values) : outputs;
    });
    return [values, states];
  }
}

/** Attention of queries to a source, with the scores of Luong et al. (2015) and Bahdanau et al. (2015). */
class Attention {
  constructor(weights, { attention: score, hidden_size: size }) {
    const affine = (name, bias) => weights.affine(`decoder.attention.${name}`, bias && `decoder.attention.${bias}`);
    Object.assign(this, { score, scale: ["scaled_dot", "general"].includes(score) ? 1 / Math.sqrt(size) : 1 });
    if (score === "general") this.key = affine("key.weight");
    if (score === "location") this.query = affine("position.weight");
    if (score === "concat") {
      this.key = affine("key.weight", "key.bias");
      this.query = affine("query.weight");
      this.combine = weights.row("decoder.attention.combine.weight", 0, 1);
    }
  }
  /** Values (S, M) -> keys, a row for each position. */
  keys(values, positions) {
    const keys = this.key ? this.key.apply(values) : values;
    return rowsOf(keys.map((key) => key * this.scale), keys.length / positions);
  }
  /** Queries (K, H) -> weights (S,) of each. */
  weights(queries, count, keys) {
    const asked = this.query ? this.query.apply(queries) : queries;
    return rowsOf(asked, asked.length / count).map((query) => softmax(Float32Array.from(keys, this.comparison(query))));
  }
  /** The score of a key and its position. */
  comparison(query) {
    const { combine } = this;
    if (this.score === "location") return (_, position) => (position < query.length ? query[position] : -Infinity);
    return (key) => {
      let sum = 0;
      for (let at = 0; at < key.length; at++) {
        sum += combine ? combine[at] * Math.tanh(query[at] + key[at]) : query[at] * key[at];
      }
      return sum;
    };
  }
}

/** From an encoder's values and last states to the log-probabilities of each next token. */
class Decoder {
  constructor(weights, model, embedding, output) {
    const { hidden_size: hidden, embedding_size: units, decoder_layers: layers, wiring, bridge } = model;
    const depth = wiring === "gnmt" ? 1 : layers, first = "decoder.asking.layers.0.weight_ih_l0";
    Object.assign(this, { model, depth, output });
    const own = (layer) => (layer ? hidden : units); // columns that the cell multiplies, without what is fed
    this.asking = new Stack(weights, "decoder.asking", depth, model, RESIDUAL_FROM, own);
    this.table = weights.gates(this.asking.cells[0], embedding);
    if (model.input_feeding) this.feeding = weights.affine(first, null, units);
    if (depth < layers) this.above = new Stack(weights, "decoder.above", layers - depth, model, 1, () => hidden);
    this.readout = weights.affine("decoder.readout.weight", "decoder.readout.bias", 0, hidden);
    if (model.attention !== "none") {
      const above = this.above?.cells ?? [];
      const names = above.map((_, layer) => `decoder.above.layers.${layer}.weight_ih_l0`);
      this.attention = new Attention(weights, model);
      this.context = weights.affine([...names, "decoder.readout.weight"], null, hidden); // of all that read contexts
      this.widths = [...above.map((cell) => cell.into.outputs), units];
    }
    const projected = bridge === "learned" ? this.asking.cells[0].parts * layers : 0, name = "decoder.bridge.project";
    const numbers = Array.from({ length: projected }, (_, at) => at);
    this.bridges = numbers.map((at) => weights.affine(`${name}.${at}.weight`, `${name}.${at}.bias`));
  }
  /** Values (S, M) and the encoder's last states -> where a search starts, K = 1. */
  start(values, states) {
    const { decoder_layers: layers, memory_size: size, embedding_size: units } = this.model;
    const state = { layers: Array.from({ length: layers }, (_, layer) => this.bridged(states, layer)) };
    if (this.feeding) state.feed = new Float32Array(units);
    if (this.attention) {
      state.keys = this.attention.keys(values, values.length / size);
      state.contexts = rowsOf(this.context.apply(values), this.context.outputs);
    }
    return state;
  }
  /** The first state of a layer; layers are paired from the bottom, or from the top where the encoder is deeper. */
  bridged(states, layer) {
    const { bridge, decoder_layers: layers, hidden_size: size } = this.model;
    const paired = Math.min(Math.max(states.length - layers, 0) + layer, states.length - 1);
    return states[paired].map((part, at) => {
      if (bridge === "zeros") return new Float32Array(size);
      if (bridge === "last") return part;
      const projected = this.bridges[at * layers + layer].apply(part);
      return at ? projected : projected.map(Math.tanh); // an LSTM's cell is unbounded
    });
  }
  /** Last tokens (K,) and a state -> log-probabilities (V,) and attention (S,) of each, and the next state. */
  step(tokens, state) {
    const gates = this.table(tokens);
    if (this.feeding) add(gates, this.feeding.apply(state.feed));
    let [hidden, layers] = this.asking.step(gates, state.layers);
    const attention = this.attention?.weights(hidden, tokens.length, state.keys);
    const shares = attention && this.shares(attention, state.contexts);
    if (this.above) {
      const above = this.above.cells[0].into.apply(hidden);
      const [top, rest] = this.above.step(above, state.layers.slice(this.depth), shares);
      [hidden, layers] = [top, layers.concat(rest)];
    }
    const sums = this.readout.apply(hidden);
    const readout = (shares ? add(sums, shares.at(-1)) : sums).map(Math.tanh);
    const table = rowsOf(this.output.apply(readout), this.output.outputs).map(logSoftmax);
    return [table, attention, { ...state, layers, feed: this.feeding && readout }];
  }
  /** Weights (S,) of each hypothesis -> the contexts' share of each layer above, and of the readout, (K, G or E). */
  shares(attention, contexts) {
    let first = 0;
    return this.widths.map((width) => {
      const share = new Float32Array(attention.length * width);
      attention.forEach((weights, row) => weights.forEach((weight, position) => {
        const context = contexts[position];
        for (let at = 0, to = row * width; at < width; at++, to++) share[to] += weight * context[first + at];
      }));
      first += width;
      return share;
    });
  }
  /** For each new hypothesis the state of the one that it continues. */
  reorder(state, parents) {
    const take = (part, size) => joined(parents.map((parent) => rowsOf(part, size)[parent]));
    const layers = state.layers.map((parts) => parts.map((part) => take(part, this.model.hidden_size)));
    return { ...state, layers, feed: state.feed && take(state.feed, this.model.embedding_size) };
  }
}

/** Beam search of one sentence; a hypothesis that ends leaves its slot for good, so that beam 1 is greedy. */
class Search {
  constructor(decoder, decoding) { Object.assign(this, { decoder, decoding }); }
  /** At most `nbest` hypotheses, best first. */
  run(state, { beam, nbest, longest, shortest }) {
    const found = [], largest = this.normalizer(longest), { coverage_penalty: beta } = this.decoding;
    let live = [{ token: START, total: 0 }], slots = beam;
    for (let length = 1; length <= longest; length++) {
      const [table, attention, after] = this.decoder.step(live.map(({ token }) => token), state);
      live.forEach((node, row) => {
        this.forbid(table[row], node, length <= shortest);
        const covered = node.before?.covered;
        node.covered = beta && (covered ? add(covered.slice(), attention[row]) : attention[row]);
      });
      const parents = [], growing = [], ranked = likeliest(table, live, slots);
      for (const { row, token, logProbability } of ranked) {
        const before = live[row], total = before.total + logProbability;
        const node = { before, token, logProbability, total, attention: attention?.[row] };
        if (token === END || length === longest) found.push(this.hypothesis(node, before.covered));
        else parents.push(row) && growing.push(node);
        if (token === END) slots--;
      }
      // nothing may follow: better what there is than no output
      if (!ranked.length && !found.length) found.push(...live.map((node) => this.hypothesis(node, node.covered)));
      found.sort((one, other) => other.score - one.score);
      const reached = found.length >= nbest ? found[nbest - 1].score : -Infinity;
      // were all that follows certain, a total would be divided by the most that it can be
      if (!growing.some(({ total }) => total / largest > reached)) break;
      [state, live] = [this.decoder.reorder(after, parents), growing];
    }
    return found.slice(0, nbest);
  }
  /** What a log-probability of so many tokens is divided by (gnmt: Wu et al. 2016, equation 14). */
  normalizer(length) {
    const { length_normalization: kind, length_alpha: alpha } = this.decoding;
    return kind === "average" ? Math.max(length, 1) : kind === "gnmt" ? ((5 + length) / 6) ** alpha : 1;
  }
  /** Take from log-probabilities (V,) what may not follow a hypothesis. */
  forbid(entries, node, isShort) {
    for (const token of [PAD, START, UNKNOWN, ...(isShort ? [END] : [])]) entries[token] = -Infinity;
    const size = this.decoding.no_repeat_ngram, tokens = size ? path(node).map(({ token }) => token) : [];
    const last = tokens.slice(tokens.length - size + 1);
    for (let at = 0; size && at + size <= tokens.length; at++) {
      if (last.every((token, index) => tokens[at + index] === token)) entries[tokens[at + size - 1]] = -Infinity;
    }
  }
  /** A hypothesis by its last node, and the attention (S,) that its source positions have received. */
  hypothesis(node, covered) {
    const nodes = path(node), isTruncated = node.token !== END;
    const logs = covered ? covered.map((part) => Math.log(Math.min(Math.max(part, LEAST_COVERAGE), 1))) : [];
    const score = node.total / this.normalizer(nodes.length) + this.decoding.coverage_penalty * sumOf(logs);
    const tokens = nodes.map(({ token }) => token).filter((token) => token !== END);
    const logProbabilities = nodes.map(({ logProbability }) => logProbability);
    const attention = nodes[0]?.attention ? nodes.map((each) => each.attention) : null;
    return { tokens, logProbabilities, logProbability: node.total, score, isTruncated, attention };
  }
}

/** The nodes of a hypothesis, from its first token on. */
function path(node) {
  const nodes = [];
  for (let each = node; each.before; each = each.before) nodes.push(each);
  return nodes.reverse();
}

/** The best `count` continuations by log-probabilities (V,) of each; of equal ones the lowest hypothesis and token. */
function likeliest(table, live, count) {
  let best = [], least = -Infinity;
  table.forEach((entries, row) => {
    const { total } = live[row];
    for (let token = 0; token < entries.length; token++) {
      const sum = total + entries[token];
      if (!(sum > least)) continue;
      let at = best.length;
      while (at && best[at - 1].sum < sum) at--;
      best.splice(at, 0, { row, token, sum, logProbability: entries[token] });
      if (best.length > count) best.pop();
      if (best.length === count) least = best[count - 1].sum;
    }
  });
  return best;
}

/** A translator of one line at a time. */
class Translator {
  constructor(bundle, weights, tokenizers) {
    const { task, card, decoding, model } = bundle;
    Object.assign(this, { task, card, decoding, learnedTokens: bundle.max_tokens });
    this.sourceTokenizer = tokenizers.get(bundle.tokenizers.source);
    this.targetTokenizer = tokenizers.get(bundle.tokenizers.target);
    const names = ["encoder.embedding.weight", "decoder.embedding.weight", "decoder.output.weight"];
    const last = (count) => names.slice(0, count).findLast((name) => name in weights.index); // tied weights stand once
    const output = weights.affine(last(3), "decoder.output.bias");
    this.encoder = new Encoder(weights, model, names[0]);
    this.search = new Search(new Decoder(weights, model, last(2), output), decoding);
  }
  /** Translate a line of raw text; a blank one stays blank. */
  translate(line, { beam = this.decoding.beam, nbest = 1, attention = false } = {}) {
    if (typeof line !== "string") throw new TypeError(`line: a text is wanted (given ${line})`);
    requireWhole({ beam, nbest }, 1);
    const source = wordsOf(line).length ? this.sourceTokenizer.encode(line) : [];
    const found = source.length ? this.different([...source, END], Math.max(beam, nbest), nbest) : [];
    const textOf = (tokens) => this.targetTokenizer.decode(tokens);
    const texts = found.map(({ tokens, score, logProbability }) => ({ text: textOf(tokens), score, logProbability }));
    const best = found[0] ?? { tokens: [], logProbabilities: [], attention: null };
    const first = texts[0] ?? { text: "", score: 0, logProbability: 0 };
    const repeats = hasLoop(wordsOf(first.text)), unknown = this.sourceTokenizer.lacks(source);
    const raised = { truncated: best.isTruncated, repeats, long: source.length > this.learnedTokens, unknown };
    const labels = (tokenizer, tokens, ends) => tokens.concat(ends ? END : []).map((token) => tokenizer.token(token));
    return {
      ...first,
      flags: Object.keys(raised).filter((flag) => raised[flag]),
      tokens: labels(this.targetTokenizer, best.tokens, found.length && !best.isTruncated),
      logProbabilities: best.logProbabilities,
      sourceTokens: labels(this.sourceTokenizer, source, found.length),
      attention: attention ? best.attention : null, nbest: texts,
    };
  }
  /** The best hypotheses, no two of one text; where they are too few, wider beams are searched. */
  different(source, beam, nbest) {
    const { min_length_ratio: least, max_length_ratio: most } = this.decoding;
    const longest = Math.floor(source.length * most + ROUNDING) + EXTRA_TOKENS;
    const shortest = Math.min(Math.floor(source.length * least), longest);
    let found, start = this.search.decoder.start(...this.encoder.read(source));
    for (const width of [beam, 2 * beam, 4 * beam]) {
      const texts = new Map(), kept = nbest === 1 ? 1 : width;
      for (const each of this.search.run(start, { beam: width, nbest: kept, longest, shortest }).reverse()) {
        texts.set(this.targetTokenizer.decode(each.tokens), each);
      }
      found = [...texts.values()].sort((one, other) => other.score - one.score).slice(0, nbest);
      if (found.length === nbest) break;
    }
    return found;
  }
}

function requireThat(stands, name, value, rule) {
  if (!stands) throw new RangeError(`${name}: must be ${rule} (given ${value})`);
}

function requireWhole(numbers, least) {
  for (const [name, value] of Object.entries(numbers)) {
    requireThat(Number.isSafeInteger(value) && value >= least, name, value, `a whole number of at least ${least}`);
  }
}

// -------------------------------------------------------------------------------------------------- language models
/** A language model, which continues texts. */
class LanguageModel {
  constructor(bundle, weights, tokenizers) {
    const { task, card, model } = bundle;
    Object.assign(this, { task, card, tokenizer: tokenizers.get(bundle.tokenizers.text) });
    this.isOfCharacters = this.tokenizer.kind === "characters";
    this.isClosed = this.tokenizer.closed === true;
    this.endsLines = bundle.cut === "lines" && !this.isClosed;
    this.stack = new Stack(weights, "recurrent", model.layers, model, Infinity);
    const [cell] = this.stack.cells, embedding = "embedding.weight";
    const oneHot = (token) => new Float32Array(cell.into.inputs).fill(1, token, token + 1);
    const isOneHot = model.input === "one_hot";
    this.table = isOneHot ? cached((token) => cell.into.apply(oneHot(token))) : weights.gates(cell, embedding);
    const output = model.output === "tied" ? embedding : "output.weight";
    if (model.output !== "state") this.output = weights.affine(output, "output.bias");
  }
  /** Continue a prompt by `length` tokens at most; temperature 0 takes the likeliest token each time. */
  generate(prompt = "", { length = 200, temperature = 1, topK = 0, topP = 1, seed = 1, onToken } = {}) {
    requireWhole({ length, topK, seed }, 0);
    const isTemperature = temperature === 0 || (temperature >= 1e-6 && temperature <= 1e6);
    requireThat(isTemperature, "temperature", temperature, "0, which is greedy, or from 1e-6 to 1e6");
    requireThat(topP > 0 && topP <= 1, "topP", topP, "above 0 and at most 1");
    const random = randomNumbers(seed), written = [];
    let states = this.stack.cells.map((cell) => cell.zeros()), logProbability = 0, hidden;
    const read = (token) => ([hidden, states] = this.stack.step(this.table([token]), states));
    this.begin(prompt).forEach(read);
    while (written.length < length) {
      const logits = this.output ? this.output.apply(hidden) : hidden.slice(), allowed = logits.slice();
      for (const token of this.forbidden()) allowed[token] = -Infinity;
      const chosen = sample(allowed, random, temperature, topK, topP);
      logProbability += logSoftmax(logits)[chosen];
      if (this.endsLines && chosen === END) break;
      written.push(chosen);
      onToken?.(this.tokenizer.token(chosen), () => this.text(prompt, written));
      read(chosen);
    }
    const tokens = written.map((token) => this.tokenizer.token(token));
    return { text: this.text(prompt, written), logProbability, tokens };
  }
  /** The tokens to read before the first is written. */
  begin(prompt) {
    const lacking = this.tokenizer.lacking(prompt).map((unit) => `"${unit}"`).join(", ");
    if (lacking) throw new Error(`the prompt has ${lacking}, which the training text lacks; leave it out`);
    const tokens = this.encode(prompt);
    if (this.endsLines) return [START, ...tokens];
    if (tokens.length) return tokens;
    if (this.isOfCharacters && !this.tokenizer.lacking("\n").length) return this.tokenizer.encode("\n");
    if (!this.isOfCharacters && !this.isClosed) return [END];
    throw new Error("the prompt is empty, and the model knows no beginning of a line; give it a first symbol");
  }
  encode(prompt) {
    if (this.isOfCharacters) return this.tokenizer.encode(prompt);
    const lines = prompt.split("\n").map((line) => this.tokenizer.encode(line));
    return lines.flatMap((line, number) => (number && !this.isClosed ? [END, ...line] : line));
  }
  /** Tokens that are never written: the special ones, but END where the model was trained on it. */
  forbidden() {
    return this.isClosed ? [] : [PAD, UNKNOWN, START, ...(this.isOfCharacters && !this.endsLines ? [END] : [])];
  }
  /** Prompt and continuation; words of both are joined together, with the spaces that the tokenizer sets. */
  text(prompt, written) {
    if (this.isOfCharacters) return prompt + this.tokenizer.decode(written);
    const lines = [[]];
    for (const token of [...this.encode(prompt), ...written]) {
      if (token === END && !this.isClosed) lines.push([]);
      else lines.at(-1).push(token);
    }
    return lines.map((line) => this.tokenizer.decode(line)).join("\n");
  }
}

/** A token from softmax(logits / temperature); top k as Fan et al. (2018), top p as Holtzman et al. (2020) have it. */
function sample(logits, random, temperature, topK, topP) {
  const most = largestOf(logits);
  if (temperature === 0) return logits.indexOf(most);
  const powers = logits.map((logit) => Math.exp((logit - most) / temperature));
  const sorted = Array.from(logits.keys()).sort((one, other) => logits[other] - logits[one]);
  const ranked = sorted.slice(0, topK || undefined);
  const all = sumOf(ranked.map((token) => powers[token]));
  let kept = 0, reached = 0; // the tokens that are kept, and their powers together
  while (kept < ranked.length && (kept === 0 || topP === 1 || reached < topP * all)) reached += powers[ranked[kept++]];
  let left = random() * reached;
  return ranked.slice(0, kept).find((token) => (left -= powers[token]) < 0) ?? ranked[0];
}

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
