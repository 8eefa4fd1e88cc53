/**
 * Translators and language models of s2s in plain JavaScript: in a browser's page or worker, and in Node.
 *
 *     import { load } from "./s2s.js";
 *     const model = await load("folder");
 *     model.translate("Guten Tag!").text;
 *
 * Letters of shapes: K hypotheses, S source positions, H hidden units, E embedding units, M units of the encoder's
 * memory, G gates' units of a cell, V tokens of the vocabulary. Rows of a matrix follow one another in one array.
 */

const FORMAT = 1;
const PAD = 0, UNKNOWN = 1, START = 2, END = 3;
const SPECIAL_LABELS = ["<pad>", "<unk>", "<s>", "</s>"];
const EXTRA_TOKENS = 10;
const ROUNDING = 1e-6;
const LONGEST_LOOP = 4;
const CACHED_NUMBERS = 1 << 23;
/** White space as Python has it: no U+FEFF, but U+001C to U+001F and U+0085. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES = new RegExp(`[${SPACE}]+`, "u");

/** Open a bundle: a folder's URL (in Node a path too), or { bundle, weights, files } that hold it. */
export async function load(source) {
  const held = typeof source === "object" && source !== null && "bundle" in source;
  const { bundle, weights, files } = held ? source : await readFolder(source);
  if (bundle.format !== FORMAT) {
    throw new Error(`bundle.json: has format ${bundle.format}, and this s2s.js reads ${FORMAT}; take the s2s.js beside it`);
  }
  if (weights.byteLength !== bundle.weights.bytes) {
    throw new Error(`weights.bin: must have ${bundle.weights.bytes} bytes (given ${weights.byteLength}); copy it again`);
  }
  const tokenizers = new Map();
  for (const name of new Set(Object.values(bundle.tokenizers))) {
    tokenizers.set(name, readTokenizer(name, files[name], bundle.word_characters));
  }
  const read = new Weights(bundle.weights.index, weights);
  return bundle.task === "language" ? new LanguageModel(bundle, read, tokenizers) : new Translator(bundle, read, tokenizers);
}

async function readFolder(place) {
  const text = String(place);
  const inNode = typeof process !== "undefined" && Boolean(process.versions?.node);
  let fetched = async (name) => {
    const answer = await fetch(new URL(name, new URL(text.replace(/\/?$/, "/"), globalThis.location?.href)));
    if (!answer.ok) throw new Error(`${answer.url}: cannot be read (${answer.status})`);
    return answer.arrayBuffer();
  };
  if (inNode && !/^https?:/.test(text)) {
    const { readFile } = await import("node:fs/promises");
    const { pathToFileURL, fileURLToPath } = await import("node:url");
    const folder = text.startsWith("file:") ? fileURLToPath(text) : text;
    fetched = async (name) => {
      const bytes = await readFile(new URL(name, pathToFileURL(folder.replace(/\/?$/, "/"))));
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    };
  }
  const bundle = JSON.parse(new TextDecoder().decode(await fetched("bundle.json")));
  const names = [...new Set(Object.values(bundle.tokenizers))];
  const [weights, ...contents] = await Promise.all(["weights.bin", ...names].map(fetched));
  return { bundle, weights, files: Object.fromEntries(names.map((name, at) => [name, new Uint8Array(contents[at])])) };
}

// ---------------------------------------------------------------- text

function splitWords(text) {
  return text.split(SPACES).filter(Boolean);
}

function isBlank(text) {
  return splitWords(text).length === 0;
}

/** Whether some 1 to 4 words occur at least three times in a row. */
function hasLoop(words) {
  for (let size = 1; size <= LONGEST_LOOP; size++) {
    for (let at = size, run = 0; at < words.length; at++) {
      run = words[at] === words[at - size] ? run + 1 : 0;
      if (run >= 2 * size) return true;
    }
  }
  return false;
}

function readTokenizer(name, bytes, wordCharacters) {
  if (bytes === undefined) throw new Error(`${name}: the bundle lacks this file; copy it again`);
  if (name.endsWith(".model")) return new SentencePiece(bytes);
  const { kind, entries, closed } = JSON.parse(new TextDecoder().decode(bytes));
  const [split, join] = {
    words: [splitWords, (units) => units.join(" ")],
    "words and punctuation": [punctuationSplitter(wordCharacters), joinPunctuated],
    characters: [(line) => Array.from(line), (units) => units.join("")],
  }[kind];
  return new UnitList(kind, entries, closed === true, split, join);
}

/** Words and punctuation marks; the characters of words are those of Python, as [first, count, gap, count, ...]. */
function punctuationSplitter(runs) {
  let ranges = "", at = 0;
  runs.forEach((length, index) => {
    if (index % 2) ranges += `\\u{${at.toString(16)}}-\\u{${(at + length - 1).toString(16)}}`;
    at += length;
  });
  const unit = new RegExp(`[${ranges}]+(?:['’-][${ranges}]+)*|[^${ranges}${SPACE}]`, "gu");
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
    this.ids = new Map(entries.map((unit, at) => [unit, at + (closed ? 0 : SPECIAL_LABELS.length)]));
    this.size = this.labels.length;
  }

  encode(line) {
    const lacking = this.closed ? this.lacking(line) : [];
    if (lacking.length) throw new Error(`the text contains ${quoted(lacking[0])}, which is not in the vocabulary`);
    return this.split(line).map((unit) => this.ids.get(unit) ?? UNKNOWN);
  }

  /** Units that the vocabulary lacks, each once. */
  lacking(line) {
    return [...new Set(this.split(line).filter((unit) => !this.ids.has(unit)))];
  }

  decode(tokens) {
    const shown = this.closed ? tokens : tokens.filter((token) => token === UNKNOWN || token > END);
    return this.join(shown.map((token) => (token === UNKNOWN && !this.closed ? "\u2047" : this.token(token))));
  }

  token(token) {
    return labelOf(this.labels, token);
  }

  lacks(tokens) {
    return !this.closed && tokens.includes(UNKNOWN);
  }
}

function labelOf(labels, token) {
  if (!(token in labels)) throw new RangeError(`token ${token} is not in a vocabulary of ${labels.length}`);
  return labels[token];
}

function quoted(text) {
  return JSON.stringify(text);
}

/** Fields of a protobuf message: [number, value], a value being a number or bytes. */
function* fieldsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint(), number = key >>> 3, type = key & 7;
    if (type === 0) yield [number, varint()];
    else if (type === 2) {
      const length = varint();
      yield [number, bytes.subarray(at, at += length)];
    } else if (type === 5) {
      yield [number, view.getFloat32(at, true)];
      at += 4;
    } else at += 8;
  }
}

const NORMAL = 1, UNKNOWN_PIECE = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6;
const BPE = 2;
const WORD_START = "\u2581";
const UNKNOWN_PENALTY = 10;
const REPLACEMENT = "\ufffd";
const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A SentencePiece model, unigram (Kudo 2018) or BPE (Sennrich et al. 2016), with the normalisation inside it. */
class SentencePiece {
  constructor(bytes) {
    this.labels = [];
    this.scores = [];
    this.types = [];
    this.unknownSurface = " \u2047 ";
    this.normalizer = new Normalizer([]);
    for (const [number, value] of fieldsOf(bytes)) {
      if (number === 1) this.addPiece(value);
      else if (number === 2) this.readSettings(value);
      else if (number === 3) this.normalizer = new Normalizer(fieldsOf(value));
    }
    this.size = this.labels.length;
    this.known = new Map();
    this.trie = new Map();
    this.kept = new Map();
    this.bytes = new Map();
    this.labels.forEach((label, id) => {
      const type = this.types[id];
      if (type === NORMAL || type === USER_DEFINED || type === UNUSED) {
        this.known.set(label, id);
        insert(this.trie, codeUnits(label), id);
        if (type === USER_DEFINED) {
          insert(this.kept, codeUnits(label), id);
          insert(this.normalizer.kept, encoder.encode(label), id);
        }
      } else if (type === BYTE) this.bytes.set(Number.parseInt(label.slice(3, 5), 16), id);
    });
    const normal = this.scores.filter((_, id) => this.types[id] === NORMAL);
    this.highest = normal.reduce((most, score) => Math.max(most, score), -Infinity);
    this.unknownScore = Math.fround(normal.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY);
  }

  addPiece(bytes) {
    let label = "", score = 0, type = NORMAL;
    for (const [number, value] of fieldsOf(bytes)) {
      if (number === 1) label = decoder.decode(value);
      else if (number === 2) score = value;
      else if (number === 3) type = value;
    }
    this.labels.push(label);
    this.scores.push(score);
    this.types.push(type);
  }

  readSettings(bytes) {
    for (const [number, value] of fieldsOf(bytes)) {
      if (number === 3) this.kind = value;
      else if (number === 35) this.fallsBack = value === 1;
      else if (number === 44) this.unknownSurface = decoder.decode(value);
    }
  }

  encode(line) {
    const text = this.normalizer.normalize(line), ids = [];
    let wasUnknown = false;
    for (const [id, piece] of this.kind === BPE ? this.merged(text) : this.likeliest(text)) {
      if (id !== UNKNOWN) ids.push(id);
      else if (this.fallsBack) ids.push(...Array.from(encoder.encode(piece), (byte) => this.bytes.get(byte)));
      else if (!wasUnknown) ids.push(id); // a run of unknown characters is one token
      wasUnknown = id === UNKNOWN;
    }
    return ids;
  }

  /** The likeliest segmentation, by dynamic programming in float32, as [id, piece]. */
  likeliest(text) {
    const codes = codeUnits(text), scores = new Float32Array(text.length + 1), starts = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1);
    const take = (start, end, id, score) => {
      if (starts[end] !== -1 && !(score > scores[end])) return;
      scores[end] = score;
      starts[end] = start;
      ids[end] = id;
    };
    for (let start = 0, next; start < text.length; start = next) {
      next = start + (text.codePointAt(start) > 0xffff ? 2 : 1);
      let alone = false, node = this.trie;
      for (let end = start + 1; end <= text.length; end++) {
        node = node.get(codes[end - 1]);
        if (node === undefined) break;
        if (node.id === undefined || this.types[node.id] === UNUSED) continue;
        const isDefined = this.types[node.id] === USER_DEFINED;
        const bonus = isDefined ? encoder.encode(text.slice(start, end)).length * this.highest - 0.1 : 0;
        take(start, end, node.id, scores[start] + (isDefined ? bonus : this.scores[node.id]));
        alone ||= end === next;
      }
      if (!alone) take(start, next, UNKNOWN, Math.fround(scores[start] + this.unknownScore));
    }
    const pieces = [];
    for (let end = text.length; end > 0; end = starts[end]) pieces.push([ids[end], text.slice(starts[end], end)]);
    return pieces.reverse();
  }

  /** Characters merged pair by pair, the best score first and of equals the leftmost, as [id, piece]. */
  merged(text) {
    const codes = codeUnits(text), symbols = [];
    const agenda = new Heap((one, other) => one.score > other.score || (one.score === other.score && one.left < other.left));
    for (let at = 0; at < text.length; ) {
      const kept = longest(this.kept, codes, at);
      const end = kept || at + (text.codePointAt(at) > 0xffff ? 2 : 1), index = symbols.length;
      symbols.push({ piece: text.slice(at, end), before: index - 1, after: end < text.length ? index + 1 : -1, fixed: kept > 0 });
      at = end;
    }
    const parts = new Map(); // of a merge that is no token itself
    const propose = (left, right) => {
      if (left < 0 || right < 0 || symbols[left].fixed || symbols[right].fixed) return;
      const piece = symbols[left].piece + symbols[right].piece, id = this.known.get(piece);
      if (id === undefined) return;
      agenda.push({ left, right, score: this.scores[id], length: piece.length });
      if (this.types[id] === UNUSED) parts.set(piece, [symbols[left].piece, symbols[right].piece]);
    };
    for (let index = 1; index < symbols.length; index++) propose(index - 1, index);
    for (let top; (top = agenda.pop()) !== undefined; ) {
      const left = symbols[top.left], right = symbols[top.right];
      if (!left.piece || !right.piece || left.piece.length + right.piece.length !== top.length) continue;
      left.piece += right.piece;
      left.after = right.after;
      if (right.after >= 0) symbols[right.after].before = top.left;
      right.piece = "";
      propose(left.before, top.left);
      propose(top.left, left.after);
    }
    const pieces = [];
    const write = (piece) => {
      const id = this.known.get(piece) ?? UNKNOWN;
      if (this.types[id] === UNUSED && parts.has(piece)) parts.get(piece).forEach(write);
      else pieces.push([id, piece]);
    };
    for (let index = symbols.length ? 0 : -1; index !== -1; index = symbols[index].after) write(symbols[index].piece);
    return pieces;
  }

  decode(tokens) {
    const { prefixes, trims } = this.normalizer;
    let text = "", bytes = [], first = prefixes || trims, seen = false;
    const flush = () => {
      text += decodeBytes(bytes);
      bytes = [];
    };
    for (const token of tokens) {
      const type = this.types[token], label = this.token(token);
      if (type === BYTE) bytes.push(Number.parseInt(label.slice(3, 5), 16));
      else if (type !== CONTROL) {
        flush();
        first &&= !seen && !text;
        seen = first && !trims && label.startsWith(WORD_START);
        if (type === UNKNOWN_PIECE) text += this.unknownSurface;
        else text += (first && label.startsWith(WORD_START) ? label.slice(1) : label).replaceAll(WORD_START, " ");
      }
    }
    flush();
    return text.replace(/[\n\r]/g, " ").replace(/^ +| +$/g, "");
  }

  token(token) {
    return labelOf(this.labels, token);
  }

  lacks(tokens) {
    return tokens.some((token) => token === UNKNOWN || this.types[token] === BYTE);
  }

  /** Words with a character that is no piece. */
  lacking(line) {
    return [...new Set(splitWords(line).filter((word) => this.encode(word).includes(UNKNOWN)))];
  }
}

/** Text of UTF-8; U+FFFD for each byte that belongs to no character. */
function decodeBytes(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at];
    const length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf8 ? 4 : 0;
    const character = length && at + length <= bytes.length ? decoder.decode(Uint8Array.from(bytes.slice(at, at + length))) : "";
    const isOne = Array.from(character).length === 1 && (character !== REPLACEMENT || length === 3);
    text += isOne ? character : REPLACEMENT;
    at += isOne ? length : 1;
  }
  return text;
}

/** Normalisation as a SentencePiece model holds it: a character map, and what becomes of white space. */
class Normalizer {
  constructor(fields) {
    Object.assign(this, { units: [0], prefixes: true, trims: true, escapes: true, kept: new Map(), written: new Map() });
    for (const [number, value] of fields) {
      if (number === 2 && value.length) {
        const size = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
        this.units = new Uint32Array(value.slice(4, 4 + size).buffer);
        this.replacements = value.subarray(4 + size);
      } else if (number === 3) this.prefixes = value === 1;
      else if (number === 4) this.trims = value === 1;
      else if (number === 5) this.escapes = value === 1;
    }
  }

  normalize(line) {
    const bytes = encoder.encode(line), space = this.escapes ? WORD_START : " ";
    let written = bytes.length && this.prefixes ? space : "", wasSpace = this.trims;
    for (let at = 0; at < bytes.length; ) {
      const [length, text] = this.next(bytes, at);
      const shown = wasSpace ? text.replace(/^ +/, "") : text;
      if (shown) wasSpace = this.trims && shown.endsWith(" ");
      written += shown.replaceAll(" ", space);
      at += length;
    }
    let end = written.length;
    while (this.trims && end && written[end - 1] === space) end--;
    return written.slice(0, end);
  }

  /** Bytes that are read at a place, and what is written for them. */
  next(bytes, at) {
    const kept = longest(this.kept, bytes, at);
    if (kept) return [kept, decoder.decode(bytes.subarray(at, at + kept))];
    const [length, value] = this.longestRule(bytes, at);
    if (length) return [length, this.replacement(value)];
    const lead = bytes[at], one = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return [one, one === 1 ? String.fromCharCode(lead) : decoder.decode(bytes.subarray(at, at + one))];
  }

  /** Length and value of the longest key at a place, in a double-array trie (Aoe 1989) of 32-bit units. */
  longestRule(bytes, at) {
    const offset = (unit) => (unit >>> 10) << ((unit & 0x200) >>> 6);
    let length = 0, value = 0;
    for (let node = offset(this.units[0]), end = at; end < bytes.length; end++) {
      node ^= bytes[end];
      const unit = this.units[node];
      if (unit === undefined || ((unit & 0x800000ff) >>> 0) !== bytes[end]) break;
      node ^= offset(unit);
      if (unit & 0x100) {
        length = end + 1 - at;
        value = this.units[node] & 0x7fffffff;
      }
    }
    return [length, value];
  }

  replacement(value) {
    if (!this.written.has(value)) {
      this.written.set(value, decoder.decode(this.replacements.subarray(value, this.replacements.indexOf(0, value))));
    }
    return this.written.get(value);
  }
}

function codeUnits(text) {
  return Uint16Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/** Put a sequence of numbers into a trie of maps. */
function insert(trie, numbers, id) {
  let node = trie;
  for (const number of numbers) {
    if (!node.has(number)) node.set(number, new Map());
    node = node.get(number);
  }
  node.id = id;
}

/** Length of the longest sequence of a trie at a place, 0 for none. */
function longest(trie, numbers, at) {
  let length = 0;
  for (let node = trie, end = at; (node = node.get(numbers[end])) !== undefined; ) {
    end++;
    if (node.id !== undefined) length = end - at;
  }
  return length;
}

/** Binary heap with the first by `precedes` on top. */
class Heap {
  constructor(precedes) {
    this.precedes = precedes;
    this.items = [];
  }

  push(item) {
    const { items } = this;
    let at = items.push(item) - 1;
    for (let above; at > 0 && this.precedes(item, items[(above = (at - 1) >> 1)]); at = above) items[at] = items[above];
    items[at] = item;
  }

  pop() {
    const { items } = this, top = items[0], item = items.pop();
    if (!items.length) return top;
    let at = 0;
    for (let below; (below = 2 * at + 1) < items.length; at = below) {
      if (below + 1 < items.length && this.precedes(items[below + 1], items[below])) below++;
      if (!this.precedes(items[below], item)) break;
      items[at] = items[below];
    }
    items[at] = item;
    return top;
  }
}

// ---------------------------------------------------------------- weights and layers

const BLOCK = 8;
const BYTES = { int8: 1, float16: 2, float32: 4 };

/** Weights by name, unpacked to float32 when they are asked for. */
class Weights {
  constructor(index, buffer) {
    Object.assign(this, { index, buffer });
  }

  has(name) {
    return name in this.index;
  }

  /** All numbers of a weight, row after row. */
  numbers(name) {
    const { type, shape, offset, scales } = this.index[name];
    const count = shape.reduce((product, size) => product * size, 1);
    if (type === "float32") return new Float32Array(this.buffer, offset, count);
    if (type === "float16") return Float32Array.from(new Uint16Array(this.buffer, offset, count), fromFloat16);
    const stored = new Int8Array(this.buffer, offset, count), scale = new Float32Array(this.buffer, scales, shape[0]);
    const read = new Float32Array(count), columns = count / shape[0];
    for (let row = 0, at = 0; row < shape[0]; row++) {
      for (const end = at + columns; at < end; at++) read[at] = stored[at] * scale[row];
    }
    return read;
  }

  /** x W + b of the columns from..to of a weight; without a bias where none is named. */
  affine(weight, bias, from = 0, to = this.index[weight].shape[1]) {
    return this.stacked([weight], bias, from, to);
  }

  /** The same of several weights, the rows of one below those of another. */
  stacked(names, bias, from, to = this.index[names[0]].shape[1]) {
    const rows = names.map((name) => this.index[name].shape[0]);
    const affine = new Affine(rows.reduce((sum, size) => sum + size, 0), to - from);
    let first = 0;
    names.forEach((name, at) => {
      affine.fill(this.numbers(name), rows[at], this.index[name].shape[1], from, first);
      first += rows[at];
    });
    if (bias !== undefined) affine.bias.set(this.numbers(bias));
    return affine;
  }
}

function fromFloat16(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (fraction / 1024) * 2 ** -14);
}

/** x W + b; eight rows of W are stored side by side, column after column, so that x is read once for eight. */
class Affine {
  constructor(outputs, inputs) {
    const blocks = Math.ceil(outputs / BLOCK);
    Object.assign(this, { outputs, inputs });
    this.weight = new Float32Array(blocks * BLOCK * inputs);
    this.bias = new Float32Array(blocks * BLOCK);
  }

  fill(numbers, rows, columns, from, first) {
    for (let row = 0; row < rows; row++) {
      const to = this.start(first + row), start = row * columns + from;
      for (let column = 0; column < this.inputs; column++) this.weight[to + column * BLOCK] = numbers[start + column];
    }
  }

  start(row) {
    return (row - (row % BLOCK)) * this.inputs + (row % BLOCK);
  }

  /** A row of W, times a factor. */
  row(row, factor = 1) {
    const start = this.start(row);
    return Float32Array.from({ length: this.inputs }, (_, column) => this.weight[start + column * BLOCK] * factor);
  }

  column(column) {
    return Float32Array.from({ length: this.outputs }, (_, row) => this.weight[this.start(row) + column * BLOCK] + this.bias[row]);
  }

  /** The same weights with a bias of its own. */
  tied() {
    return Object.assign(Object.create(Affine.prototype), this, { bias: new Float32Array(this.bias.length) });
  }

  /** (K, inputs) -> (K, outputs). */
  apply(inputs, count) {
    const outputs = new Float32Array(count * this.outputs);
    let row = 0;
    for (; row + 1 < count; row += 2) this.applyTwo(inputs, outputs, row);
    if (row < count) this.applyOne(inputs, outputs, row);
    return outputs;
  }

  applyOne(inputs, outputs, row) {
    const { weight, bias, inputs: columns, outputs: rows } = this, x = inputs.subarray(row * columns, (row + 1) * columns);
    for (let first = 0, at = 0, to = row * rows; first < rows; first += BLOCK, to += BLOCK) {
      let a = bias[first], b = bias[first + 1], c = bias[first + 2], d = bias[first + 3];
      let e = bias[first + 4], f = bias[first + 5], g = bias[first + 6], h = bias[first + 7];
      for (let column = 0; column < columns; column++, at += BLOCK) {
        const value = x[column];
        a += weight[at] * value;
        b += weight[at + 1] * value;
        c += weight[at + 2] * value;
        d += weight[at + 3] * value;
        e += weight[at + 4] * value;
        f += weight[at + 5] * value;
        g += weight[at + 6] * value;
        h += weight[at + 7] * value;
      }
      put(outputs, to, Math.min(BLOCK, rows - first), a, b, c, d, e, f, g, h);
    }
  }

  /** Two rows of inputs at once, with half a block: each weight is read once for both. */
  applyTwo(inputs, outputs, row) {
    const { weight, bias, inputs: columns, outputs: rows } = this, x = inputs.subarray(row * columns, (row + 2) * columns);
    for (let first = 0, to = row * rows; first < rows; first += 4, to += 4) {
      let a = bias[first], b = bias[first + 1], c = bias[first + 2], d = bias[first + 3];
      let e = a, f = b, g = c, h = d;
      for (let column = 0, at = this.start(first); column < columns; column++, at += BLOCK) {
        const one = x[column], two = x[columns + column];
        const p = weight[at], q = weight[at + 1], r = weight[at + 2], s = weight[at + 3];
        a += p * one;
        b += q * one;
        c += r * one;
        d += s * one;
        e += p * two;
        f += q * two;
        g += r * two;
        h += s * two;
      }
      put(outputs, to, Math.min(4, rows - first), a, b, c, d);
      put(outputs, to + rows, Math.min(4, rows - first), e, f, g, h);
    }
  }
}

function put(outputs, at, count, a, b, c, d, e, f, g, h) {
  outputs[at] = a;
  if (count > 1) outputs[at + 1] = b;
  if (count > 2) outputs[at + 2] = c;
  if (count > 3) outputs[at + 3] = d;
  if (count > 4) outputs[at + 4] = e;
  if (count > 5) outputs[at + 5] = f;
  if (count > 6) outputs[at + 6] = g;
  if (count > 7) outputs[at + 7] = h;
}

/** Rows by number, each computed when it is first asked for; forgotten when they are too many. */
class Table {
  constructor(compute) {
    Object.assign(this, { compute, rows: new Map(), numbers: 0 });
  }

  row(number) {
    let row = this.rows.get(number);
    if (row !== undefined) return row;
    if (this.numbers > CACHED_NUMBERS) {
      this.rows.clear();
      this.numbers = 0;
    }
    row = this.compute(number);
    this.rows.set(number, row);
    this.numbers += row.length;
    return row;
  }

  /** Rows (K,) in one array, which the caller may write into. */
  take(numbers) {
    return joined(numbers.map((number) => this.row(number)));
  }
}

function joined(rows) {
  const all = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, at) => all.set(row, at * row.length));
  return all;
}

function take(values, size, rows) {
  return joined(rows.map((row) => values.subarray(row * size, (row + 1) * size)));
}

function add(values, others) {
  for (let at = 0; at < values.length; at++) values[at] += others[at];
  return values;
}

function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/** Logits of one row, in place -> log-probabilities. */
function logSoftmax(logits) {
  let most = -Infinity, sum = 0;
  for (let at = 0; at < logits.length; at++) if (logits[at] > most) most = logits[at];
  for (let at = 0; at < logits.length; at++) sum += Math.exp(logits[at] - most);
  const normalizer = most + Math.log(sum);
  if (!Number.isFinite(normalizer)) {
    throw new Error("the model gives probabilities that are not numbers, so nothing can be chosen; its weights are damaged");
  }
  for (let at = 0; at < logits.length; at++) logits[at] -= normalizer;
  return logits;
}

/** One step of an Elman, GRU or LSTM layer: its state is [h] or [h, c], (K, H) each. */
class Cell {
  constructor(weights, kind, size, name, ending = "_l0", columns = undefined) {
    Object.assign(this, { kind, size, parts: kind === "lstm" ? 2 : 1 });
    this.across = weights.affine(`${name}.weight_hh${ending}`, `${name}.bias_hh${ending}`);
    this.into = weights.affine(`${name}.weight_ih${ending}`, `${name}.bias_ih${ending}`, 0, columns);
  }

  zeros(count) {
    return Array.from({ length: this.parts }, () => new Float32Array(count * this.size));
  }

  /** The inputs' share of the gates (K, G) and a state -> the next state. */
  advance(gates, state, count) {
    const product = this.across.apply(state[0], count);
    return { elman, gru, lstm }[this.kind](gates, product, state, this.size, count);
  }
}

function elman(gates, product) {
  return [gates.map((gate, at) => Math.tanh(gate + product[at]))];
}

/** Gates in the order reset, update, candidate. */
function gru(gates, product, [hidden], size, count) {
  const next = new Float32Array(count * size);
  for (let row = 0, to = 0; row < count; row++) {
    for (let at = 3 * size * row, end = at + size; at < end; at++, to++) {
      const reset = sigmoid(gates[at] + product[at]);
      const update = sigmoid(gates[at + size] + product[at + size]);
      const candidate = Math.tanh(gates[at + 2 * size] + reset * product[at + 2 * size]);
      next[to] = candidate + update * (hidden[to] - candidate);
    }
  }
  return [next];
}

/** Gates in the order input, forget, candidate, output. */
function lstm(gates, product, [, cell], size, count) {
  const nextHidden = new Float32Array(count * size), nextCell = new Float32Array(count * size);
  for (let row = 0, to = 0; row < count; row++) {
    for (let at = 4 * size * row, end = at + size; at < end; at++, to++) {
      const take = sigmoid(gates[at] + product[at]), forget = sigmoid(gates[at + size] + product[at + size]);
      const candidate = Math.tanh(gates[at + 2 * size] + product[at + 2 * size]);
      const give = sigmoid(gates[at + 3 * size] + product[at + 3 * size]);
      nextCell[to] = forget * cell[to] + take * candidate;
      nextHidden[to] = give * Math.tanh(nextCell[to]);
    }
  }
  return [nextHidden, nextCell];
}

/** Recurrent layers, stepped; those from `residualFrom` on add their input to their output. */
class Stack {
  constructor(cells, residualFrom) {
    Object.assign(this, { cells, residualFrom });
  }

  static of(weights, name, layers, kind, size, residualFrom, columns = undefined) {
    const cells = Array.from({ length: layers }, (_, layer) => new Cell(weights, kind, size, `${name}.layers.${layer}`, "_l0", columns));
    return new Stack(cells, residualFrom);
  }

  /** The first layer's gates (K, G), each layer's state, contexts' shares -> the top output and all states. */
  step(gates, states, count, shares = undefined) {
    const after = [];
    let hidden;
    this.cells.forEach((cell, layer) => {
      let own = layer ? cell.into.apply(hidden, count) : gates;
      if (shares) own = add(own, shares[layer]);
      after.push(cell.advance(own, states[layer], count));
      const output = after[layer][0];
      hidden = layer >= this.residualFrom ? add(output.slice(), hidden) : output;
    });
    return [hidden, after];
  }
}

// ---------------------------------------------------------------- translation

/** Reads a source: (S,) tokens -> values (S, M) and the last state of each layer, [h] or [h, c] of (M,). */
class Encoder {
  constructor(weights, model, embedding) {
    const units = model.encoder_units, factor = Math.sqrt(embedding.inputs);
    const endings = model.bidirectional ? ["_l0", "_l0_reverse"] : ["_l0"];
    Object.assign(this, { units, size: model.memory_size });
    this.layers = Array.from({ length: model.encoder_layers }, (_, layer) => {
      return endings.map((ending) => new Cell(weights, model.cell, units, `encoder.recurrent.layers.${layer}`, ending));
    });
    this.tables = this.layers[0].map((cell) => new Table((token) => cell.into.apply(embedding.row(token, factor), 1)));
  }

  read(tokens) {
    const states = [];
    let values;
    this.layers.forEach((cells, layer) => {
      const outputs = new Float32Array(tokens.length * this.size), last = cells[0].zeros(cells.length);
      cells.forEach((cell, direction) => {
        const gates = layer ? cell.into.apply(values, tokens.length) : this.tables[direction].take(tokens);
        const end = this.run(cell, gates, outputs, direction);
        end.forEach((part, at) => last[at].set(part, direction * this.units));
      });
      values = layer >= RESIDUAL_FROM ? add(outputs, values) : outputs;
      states.push(last);
    });
    return [values, states];
  }

  /** One direction over gates (S, G), into its columns of the outputs (S, M); the last state. */
  run(cell, gates, outputs, direction) {
    const width = cell.into.outputs, steps = gates.length / width;
    let state = cell.zeros(1);
    for (let step = 0; step < steps; step++) {
      const at = direction ? steps - 1 - step : step;
      state = cell.advance(gates.slice(at * width, (at + 1) * width), state, 1);
      outputs.set(state[0], at * this.size + direction * this.units);
    }
    return state;
  }
}

const RESIDUAL_FROM = 2;

/** Attention of queries to a source, with the scores of Luong et al. (2015) and Bahdanau et al. (2015). */
class Attention {
  constructor(weights, model) {
    const score = model.attention, name = "decoder.attention";
    this.score = score;
    this.scale = score === "scaled_dot" || score === "general" ? 1 / Math.sqrt(model.hidden_size) : 1;
    if (score === "general") this.key = weights.affine(`${name}.key.weight`);
    else if (score === "location") this.query = weights.affine(`${name}.position.weight`);
    else if (score === "concat") {
      this.key = weights.affine(`${name}.key.weight`, `${name}.key.bias`);
      this.query = weights.affine(`${name}.query.weight`);
      this.combine = weights.numbers(`${name}.combine.weight`);
    }
  }

  /** Values (S, M) -> keys (S, A). */
  keys(values, positions) {
    const keys = this.key ? this.key.apply(values, positions) : values;
    return this.scale === 1 ? keys : keys.map((key) => key * this.scale);
  }

  /** Queries (K, H) -> weights (S,) of each. */
  weights(queries, count, { keys, positions }) {
    const asked = this.query ? this.query.apply(queries, count) : queries;
    const size = asked.length / count;
    return Array.from({ length: count }, (_, row) => {
      const query = asked.subarray(row * size, (row + 1) * size);
      return softmax(Float32Array.from({ length: positions }, (_, at) => this.compare(query, keys, at)));
    });
  }

  compare(query, keys, at) {
    if (this.score === "location") return at < query.length ? query[at] : -Infinity;
    const size = query.length, start = at * size, { combine } = this;
    let sum = 0;
    if (combine) for (let unit = 0; unit < size; unit++) sum += combine[unit] * Math.tanh(query[unit] + keys[start + unit]);
    else for (let unit = 0; unit < size; unit++) sum += query[unit] * keys[start + unit];
    return sum;
  }
}

function softmax(scores) {
  const most = scores.reduce((one, other) => Math.max(one, other), -Infinity);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((power) => power / sum);
}

/** From the source's values and last states to the log-probabilities of the next token, step by step. */
class Decoder {
  constructor(weights, model, embedding, output) {
    const { hidden_size: hidden, embedding_size: units, decoder_layers: layers, cell } = model;
    const below = model.wiring === "gnmt" ? 1 : layers, factor = Math.sqrt(units);
    Object.assign(this, { model, output, depth: below, units });
    this.asking = Stack.of(weights, "decoder.asking", below, cell, hidden, RESIDUAL_FROM);
    if (model.input_feeding) this.feeding = weights.affine("decoder.asking.layers.0.weight_ih_l0", undefined, units);
    const own = weights.affine("decoder.asking.layers.0.weight_ih_l0", "decoder.asking.layers.0.bias_ih_l0", 0, units);
    this.table = new Table((token) => own.apply(embedding.row(token, factor), 1));
    if (below < layers) this.above = Stack.of(weights, "decoder.above", layers - below, cell, hidden, 1, hidden);
    this.readout = weights.affine("decoder.readout.weight", "decoder.readout.bias", 0, hidden);
    if (model.attention !== "none") {
      const above = Array.from({ length: layers - below }, (_, layer) => `decoder.above.layers.${layer}.weight_ih_l0`);
      this.attention = new Attention(weights, model);
      this.context = weights.stacked([...above, "decoder.readout.weight"], undefined, hidden);
      this.widths = [...this.above?.cells.map((each) => each.into.outputs) ?? [], units];
    }
    this.bridges = model.bridge === "learned" ? this.learnedBridges(weights) : null;
  }

  learnedBridges(weights) {
    const count = this.asking.cells[0].parts * this.model.decoder_layers;
    return Array.from({ length: count }, (_, at) => weights.affine(`decoder.bridge.project.${at}.weight`, `decoder.bridge.project.${at}.bias`));
  }

  /** Values (S, M) and the encoder's last states -> where a search starts. */
  start(values, states) {
    const positions = values.length / this.model.memory_size;
    const memory = { positions };
    if (this.attention) {
      memory.keys = this.attention.keys(values, positions);
      memory.values = this.context.apply(values, positions); // multiplied by all that reads contexts
    }
    const layers = Array.from({ length: this.model.decoder_layers }, (_, layer) => this.bridge(states, layer));
    return { layers, feed: this.feeding ? new Float32Array(this.units) : null, memory };
  }

  /** The first state of a layer: layers are paired from the bottom, or from the top where the encoder is deeper. */
  bridge(states, layer) {
    const { bridge, decoder_layers: layers, hidden_size: size } = this.model;
    const top = states.length - 1, last = states[Math.min(Math.max(states.length - layers, 0) + layer, top)];
    return last.map((part, at) => {
      if (bridge === "zeros") return new Float32Array(size);
      if (bridge === "last") return part;
      const projected = this.bridges[at * layers + layer].apply(part, 1);
      return at ? projected : projected.map(Math.tanh);
    });
  }

  /** Last tokens (K,) and a state -> log-probabilities (V,) and attention (S,) of each, and the next state. */
  step(tokens, state) {
    const count = tokens.length, { memory } = state;
    const gates = this.table.take(tokens);
    if (this.feeding) add(gates, this.feeding.apply(state.feed, count));
    let [hidden, layers] = this.asking.step(gates, state.layers.slice(0, this.depth), count);
    const attention = this.attention ? this.attention.weights(hidden, count, memory) : null;
    const shares = attention ? this.shares(attention, memory) : null;
    if (this.above) {
      const [top, rest] = this.above.step(this.above.cells[0].into.apply(hidden, count), state.layers.slice(this.depth), count, shares);
      hidden = top;
      layers = layers.concat(rest);
    }
    const sums = this.readout.apply(hidden, count);
    const readout = (shares ? add(sums, shares[shares.length - 1]) : sums).map(Math.tanh);
    const logits = this.output.apply(readout, count), size = this.output.outputs;
    const rows = Array.from({ length: count }, (_, row) => logSoftmax(logits.subarray(row * size, (row + 1) * size)));
    return [rows, attention, { layers, feed: this.feeding ? readout : null, memory }];
  }

  /** Weights (S,) of each hypothesis -> the contexts' shares (K, P) of the layers above and of the readout. */
  shares(attention, { values, positions }) {
    const width = this.context.outputs;
    let first = 0;
    return this.widths.map((size) => {
      const share = new Float32Array(attention.length * size);
      attention.forEach((weights, row) => {
        for (let position = 0; position < positions; position++) {
          const weight = weights[position], from = position * width + first, to = row * size;
          for (let at = 0; at < size; at++) share[to + at] += weight * values[from + at];
        }
      });
      first += size;
      return share;
    });
  }

  /** For each new hypothesis the state of the one that it continues. */
  reorder({ layers, feed, memory }, parents) {
    const moved = layers.map((state) => state.map((part) => take(part, this.model.hidden_size, parents)));
    return { layers: moved, feed: feed && take(feed, this.units, parents), memory };
  }
}

/** Beam search of one sentence: at most `nbest` hypotheses, best first. A hypothesis that ends leaves its slot. */
class Search {
  constructor(model, decoding) {
    Object.assign(this, { model, decoding });
  }

  normalizer(length) {
    const { length_normalization: kind, length_alpha: alpha } = this.decoding;
    if (kind === "average") return Math.max(length, 1);
    return kind === "gnmt" ? ((5 + length) / 6) ** alpha : 1;
  }

  run(state, { beam, nbest, longest: most, shortest }) {
    const found = [], largest = this.normalizer(most);
    let live = [{ before: null, token: START, total: 0 }], slots = beam, reached = -Infinity;
    for (let length = 1; length <= most; length++) {
      const [table, attention, after] = this.model.step(live.map((node) => node.token), state);
      const coverage = this.decoding.coverage_penalty ? live.map((node, row) => covered(node.coverage, attention[row])) : null;
      live.forEach((node, row) => this.forbid(table[row], node, length, shortest));
      const ranked = likeliest(table, live, slots), growing = [], parents = [];
      for (const { row, token, logProbability } of ranked) {
        const node = { before: live[row], token, logProbability, total: live[row].total + logProbability };
        node.attention = attention ? attention[row] : null;
        node.coverage = coverage?.[row];
        if (token === END || length === most) {
          found.push(this.hypothesis(node, node.coverage));
          if (token === END) slots--;
        } else {
          growing.push(node);
          parents.push(row);
        }
      }
      if (!ranked.length && !found.length) { // nothing may follow: better what there is than no output
        found.push(...live.map((node, row) => this.hypothesis(node, coverage?.[row])));
      }
      found.sort((one, other) => other.score - one.score);
      if (found.length >= nbest) reached = found[nbest - 1].score;
      // were all that follows certain, a total would be divided by the most that it can be
      if (!growing.some((node) => node.total / largest > reached)) break;
      const moved = parents.length !== live.length || parents.some((parent, at) => parent !== at);
      state = moved ? this.model.reorder(after, parents) : after;
      live = growing;
    }
    return found.slice(0, nbest);
  }

  /** Take from log-probabilities (V,) what may not follow a hypothesis. */
  forbid(row, node, length, shortest) {
    for (const token of [PAD, START, UNKNOWN]) row[token] = -Infinity;
    if (length <= shortest) row[END] = -Infinity;
    const size = this.decoding.no_repeat_ngram, tokens = size ? path(node).map((each) => each.token) : [];
    const last = tokens.slice(tokens.length - size + 1);
    for (let end = size; size && end <= tokens.length; end++) {
      const isRepeated = last.every((token, at) => tokens[end - size + at] === token);
      if (isRepeated) row[tokens[end - 1]] = -Infinity;
    }
  }

  hypothesis(node, coverage) {
    const nodes = path(node), isTruncated = node.token !== END;
    const penalty = coverage ? this.decoding.coverage_penalty * coverage.reduce((sum, part) => sum + Math.log(Math.min(Math.max(part, TINY), 1)), 0) : 0;
    return {
      tokens: nodes.slice(0, isTruncated ? nodes.length : -1).map((each) => each.token),
      logProbabilities: nodes.map((each) => each.logProbability),
      logProbability: node.total,
      score: node.total / this.normalizer(nodes.length) + penalty,
      isTruncated,
      attention: nodes.length && nodes[0].attention ? nodes.map((each) => each.attention) : null,
    };
  }
}

const TINY = 2 ** -126;

function covered(coverage, attention) {
  return coverage ? add(coverage.slice(), attention) : attention;
}

/** The nodes of a hypothesis from its first token on. */
function path(node) {
  const nodes = [];
  for (; node.before !== null; node = node.before) nodes.push(node);
  return nodes.reverse();
}

/** The best `count` continuations by log-probabilities (V,) of each hypothesis; of equals the lowest hypothesis, then token. */
function likeliest(table, live, count) {
  const best = [];
  let least = -Infinity;
  table.forEach((entries, row) => {
    const { total } = live[row];
    for (let token = 0; token < entries.length; token++) {
      const sum = total + entries[token];
      if (!(sum > least)) continue;
      let at = best.length;
      while (at > 0 && best[at - 1].sum < sum) at--;
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
    const { model } = bundle;
    this.task = bundle.task;
    this.card = bundle.card;
    this.decoding = bundle.decoding;
    this.learnedTokens = bundle.max_tokens;
    this.sourceTokenizer = tokenizers.get(bundle.tokenizers.source);
    this.targetTokenizer = tokenizers.get(bundle.tokenizers.target);
    const names = ["encoder.embedding.weight", "decoder.embedding.weight", "decoder.output.weight"];
    const source = weights.affine(names[0]), target = weights.has(names[1]) ? weights.affine(names[1]) : source;
    const output = weights.has(names[2]) ? weights.affine(names[2]) : target.tied();
    output.bias.set(weights.numbers("decoder.output.bias"));
    this.encoder = new Encoder(weights, model, source);
    this.decoder = new Decoder(weights, model, target, output);
  }

  /** Translate a line of raw text; a blank one stays blank. */
  translate(line, { beam = this.decoding.beam, nbest = 1, attention = false } = {}) {
    if (typeof line !== "string") throw new TypeError(`line: must be a text (given ${typeof line})`);
    for (const [name, value] of Object.entries({ beam, nbest })) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name}: must be a whole number of at least 1 (given ${value})`);
    }
    const source = isBlank(line) ? [] : this.sourceTokenizer.encode(line);
    if (!source.length) return blank();
    const [best, ...others] = this.different([...source, END], Math.max(beam, nbest), nbest);
    const alternative = ({ tokens, score, logProbability }) => ({ text: this.targetTokenizer.decode(tokens), score, logProbability });
    const first = alternative(best);
    const raised = {
      truncated: best.isTruncated,
      repeats: hasLoop(splitWords(first.text)),
      long: source.length > this.learnedTokens,
      unknown: this.sourceTokenizer.lacks(source),
    };
    return {
      ...first,
      flags: Object.keys(raised).filter((flag) => raised[flag]),
      tokens: [...best.tokens, ...(best.isTruncated ? [] : [END])].map((token) => this.targetTokenizer.token(token)),
      logProbabilities: best.logProbabilities,
      sourceTokens: [...source, END].map((token) => this.sourceTokenizer.token(token)),
      attention: attention ? best.attention : null,
      nbest: [first, ...others.map(alternative)],
    };
  }

  /** The best hypotheses, no two of one text; beams twice as wide are searched, two times at most, for as many. */
  different(source, beam, nbest) {
    const { min_length_ratio: least, max_length_ratio: most } = this.decoding;
    const longest = Math.floor(source.length * most + ROUNDING) + EXTRA_TOKENS;
    const shortest = Math.min(Math.floor(source.length * least), longest);
    const search = new Search(this.decoder, this.decoding), start = this.decoder.start(...this.encoder.read(source));
    if (nbest === 1) return search.run(start, { beam, nbest, longest, shortest });
    let found;
    for (const width of [beam, 2 * beam, 4 * beam]) {
      const texts = new Map();
      for (const each of search.run(start, { beam: width, nbest: width, longest, shortest })) {
        const text = this.targetTokenizer.decode(each.tokens);
        if (!texts.has(text)) texts.set(text, each);
      }
      found = [...texts.values()].slice(0, nbest);
      if (found.length === nbest) break;
    }
    return found;
  }
}

function blank() {
  return { text: "", score: 0, logProbability: 0, flags: [], tokens: [], logProbabilities: [], sourceTokens: [], attention: null, nbest: [] };
}

// ---------------------------------------------------------------- language models

/** A language model, which continues texts. */
class LanguageModel {
  constructor(bundle, weights, tokenizers) {
    const { model } = bundle;
    this.task = bundle.task;
    this.card = bundle.card;
    this.tokenizer = tokenizers.get(bundle.tokenizers.source);
    this.isOfCharacters = this.tokenizer.kind === "characters";
    this.isClosed = this.tokenizer.closed === true;
    this.endsLines = bundle.cut === "lines" && !this.isClosed;
    this.stack = Stack.of(weights, "recurrent", model.layers, model.cell, model.hidden_size, Infinity);
    const embedding = model.input === "embedding" ? weights.affine("embedding.weight") : null;
    const { into } = this.stack.cells[0];
    this.table = new Table(embedding ? (token) => into.apply(embedding.row(token, Math.sqrt(embedding.inputs)), 1) : (token) => into.column(token));
    this.output = model.output === "state" ? null : model.output === "tied" ? embedding.tied() : weights.affine("output.weight");
    if (this.output) this.output.bias.set(weights.numbers("output.bias"));
  }

  /** Continue a prompt by `length` tokens at most; temperature 0 takes the likeliest token each time. */
  generate(prompt = "", { length = 200, temperature = 1, topK = 0, topP = 1, seed = 1, onToken } = {}) {
    if (typeof prompt !== "string") throw new TypeError(`prompt: must be a text (given ${typeof prompt})`);
    requireSampling({ length, temperature, topK, topP, seed });
    const random = generator(seed), written = [], begun = this.begin(prompt);
    let states = this.stack.cells.map((cell) => cell.zeros(1)), hidden, logProbability = 0;
    const read = (token) => ([hidden, states] = this.stack.step(this.table.take([token]), states, 1));
    begun.forEach(read);
    while (written.length < length) {
      const logits = this.output ? this.output.apply(hidden, 1) : hidden.slice();
      const allowed = logits.slice();
      for (const token of this.forbidden()) allowed[token] = -Infinity;
      const chosen = sample(allowed, random, { temperature, topK, topP });
      logProbability += logSoftmax(logits)[chosen];
      if (this.endsLines && chosen === END) break;
      written.push(chosen);
      onToken?.(this.tokenizer.token(chosen), this.text(prompt, written));
      read(chosen);
    }
    return { text: this.text(prompt, written), logProbability, tokens: written.map((token) => this.tokenizer.token(token)) };
  }

  /** The tokens to read before the first is written. */
  begin(prompt) {
    const lacking = this.tokenizer.lacking(prompt), what = this.isOfCharacters ? "character" : "word";
    if (lacking.length) {
      throw new Error(`the prompt has the ${what} ${lacking.map(quoted).join(", ")}, which the training text lacks; leave it out`);
    }
    const tokens = this.encode(prompt);
    if (this.endsLines) return [START, ...tokens];
    if (tokens.length) return tokens;
    if (this.isOfCharacters && !this.tokenizer.lacking("\n").length) return this.tokenizer.encode("\n");
    if (this.isOfCharacters || this.isClosed) {
      throw new Error("the prompt is empty, and the model knows no beginning of a line; give it a first symbol");
    }
    return [END];
  }

  encode(prompt) {
    if (this.isOfCharacters) return this.tokenizer.encode(prompt);
    const lines = prompt.split("\n").map((line) => this.tokenizer.encode(line));
    return lines.flatMap((line, number) => (number && !this.isClosed ? [END, ...line] : line));
  }

  /** Tokens that are never written: the special ones, but END where the model was trained on it. */
  forbidden() {
    if (this.isClosed) return [];
    return this.isOfCharacters && !this.endsLines ? [PAD, UNKNOWN, START, END] : [PAD, UNKNOWN, START];
  }

  /** Prompt and continuation; words of both are joined together, with the spaces that the tokenizer sets. */
  text(prompt, written) {
    if (this.isOfCharacters) return prompt + this.tokenizer.decode(written);
    const lines = [[]];
    for (const token of [...this.encode(prompt), ...written]) {
      if (token === END && !this.isClosed) lines.push([]);
      else lines[lines.length - 1].push(token);
    }
    return lines.map((line) => this.tokenizer.decode(line)).join("\n");
  }
}

function requireSampling({ length, temperature, topK, topP, seed }) {
  for (const [name, value] of Object.entries({ length, topK, seed })) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name}: must be a whole number of at least 0 (given ${value})`);
  }
  if (!(temperature === 0 || (temperature >= 1e-6 && temperature <= 1e6))) {
    throw new RangeError(`temperature: must be 0, which is greedy, or from 1e-6 to 1e6 (given ${temperature})`);
  }
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP: must be above 0 and at most 1, where 1 is off (given ${topP})`);
}

/** A token from softmax(logits / temperature) without the unlikely ones: `topK` (Fan et al. 2018), `topP` (Holtzman et al. 2020). */
function sample(logits, random, { temperature, topK, topP }) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  if (temperature === 0) return logits.indexOf(most);
  let ranked = Array.from(logits.keys()).sort((one, other) => logits[other] - logits[one]);
  const powers = logits.map((logit) => Math.exp((logit - most) / temperature));
  if (topK > 0 && topK < ranked.length) ranked = ranked.filter((token) => logits[token] >= logits[ranked[topK - 1]]);
  const sumOf = (tokens) => tokens.reduce((sum, token) => sum + powers[token], 0);
  const all = sumOf(ranked);
  let before = 0;
  if (topP < 1) ranked = ranked.filter((token) => (before += powers[token]) - powers[token] < topP * all);
  let left = random() * sumOf(ranked);
  return ranked.find((token) => (left -= powers[token]) < 0) ?? ranked[0];
}

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
