/** Translators and language models of s2s in plain JavaScript: in a browser's page or worker, and in Node. */

/** The files of a bundle, where they are not in a folder. */
export interface Bundle {
  /** content of bundle.json */
  bundle: object;
  /** content of weights.bin */
  weights: ArrayBuffer;
  /** content of the tokenizers' files by name */
  files: Record<string, Uint8Array>;
}

export interface Tokenizer {
  encode(text: string): number[];
  decode(tokens: number[]): string;
  /** the label of a token */
  token(token: number): string;
}

/** Where a run comes from and how good it is. */
export interface Card {
  title: string;
  task: "translation" | "language";
  source: string | null;
  target: string | null;
  /** SHA-256 of weights, recipe and tokenizers, in hexadecimal */
  fingerprint: string;
  /** date of the weights, as 2026-12-31 */
  trained: string;
  s2s: string;
  scored_on: string | null;
  scores: Record<string, object>;
  data: { name: string; title: string; licence: string; citation: string }[];
}

export interface Alternative {
  text: string;
  /** log-probability over the length normaliser, in nats: what alternatives are ranked by */
  score: number;
  /** of the whole sentence, in nats */
  logProbability: number;
}

export type Flag = "truncated" | "repeats" | "long" | "unknown";

export interface Translation extends Alternative {
  flags: Flag[];
  /** target tokens, the end of the sentence last unless it was truncated */
  tokens: string[];
  /** one for each of the tokens, in nats */
  logProbabilities: number[];
  /** with the end of the sentence last */
  sourceTokens: string[];
  /** a row for each target token, a weight for each source token; null where it was not asked for or there is none */
  attention: Float32Array[] | null;
  /** the best first; no two have one text */
  nbest: Alternative[];
}

export interface SearchOptions {
  /** hypotheses searched; default: the recipe's */
  beam?: number;
  /** alternatives returned; default: 1 */
  nbest?: number;
  attention?: boolean;
}

export interface Translator {
  readonly task: "translation";
  readonly card: Card;
  /** the recipe's beam search */
  readonly decoding: Record<string, number | string>;
  readonly sourceTokenizer: Tokenizer;
  readonly targetTokenizer: Tokenizer;
  /** Translate one line of raw text; a blank one gives an empty text. */
  translate(line: string, options?: SearchOptions): Translation;
}

export interface Continuation {
  /** the prompt with its continuation */
  text: string;
  /** of the continuation, with the end of the line that ended it, at temperature 1, in nats */
  logProbability: number;
  /** of the continuation */
  tokens: string[];
}

export interface SamplingOptions {
  /** most tokens to write; default: 200 */
  length?: number;
  /** default: 1; 0 takes the likeliest token each time */
  temperature?: number;
  /** sample from so many of the likeliest tokens; default: 0, which is off */
  topK?: number;
  /** sample from the fewest tokens that reach this probability; default: 1, which is off */
  topP?: number;
  /** default: 1; other random numbers than those of `s2s generate` */
  seed?: number;
  /** called with each token, and with what gives the text up to it */
  onToken?: (token: string, text: () => string) => void;
}

export interface LanguageModel {
  readonly task: "language";
  readonly card: Card;
  readonly tokenizer: Tokenizer;
  /** Continue a text; throws for a prompt with characters or words that the vocabulary lacks. */
  generate(prompt?: string, options?: SamplingOptions): Continuation;
}

/** Open a bundle: the URL of its folder (in Node a path too), or its files. All else is synchronous. */
export function load(source: string | URL | Bundle): Promise<Translator | LanguageModel>;
