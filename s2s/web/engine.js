/* Engines, which a page asks and need not know: one in a worker of this page, one that speaks to a server.

   engine.ready                      a promise, kept when it can answer
   engine.translate(line, options)   a promise of what the runtime's model.translate gives; options: {nbest, attention,
                                     pair, signal}
   engine.generate(prompt, options)  likewise; options also {onText}, called with what is written until then

   A request whose signal aborts is never answered: its promise fails at once with an AbortError. */
"use strict";

/** Milliseconds that a worker may still be busy with what nobody waits for, before it is started anew. */
const PATIENCE = 700;

class WorkerEngine {
  #source; #url; #worker; #queue = []; #running = null; #count = 0; #timer = 0;

  /** Takes the worker's code, and what it loads: {bundle, weights, files}, the last two as base64. */
  constructor(code, source) {
    this.#source = source;
    this.#url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    this.ready = this.#start();
    this.ready.catch(() => {});
  }

  translate(line, { nbest, attention, signal }) { return this.#ask("translate", line, { nbest, attention }, signal); }

  generate(prompt, { signal, onText, ...options }) { return this.#ask("generate", prompt, options, signal, onText); }

  #start() {
    this.#worker = new Worker(this.#url);
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#worker.onerror = (event) => this.#take({ id: this.#running?.id, failure: event.message || "the worker failed" });
    return new Promise((resolve, reject) => {
      this.#send({ id: ++this.#count, call: "load", argument: this.#source, resolve, reject });
    });
  }

  #ask(call, argument, options, signal, onText) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const request = { id: ++this.#count, call, argument, options, resolve, reject, onText, signal };
      signal?.addEventListener("abort", () => this.#abort(request));
      this.#queue.push(request);
      this.#next();
    });
  }

  #send(request) {
    this.#running = request;
    const { id, call, argument, options } = request;
    this.#worker.postMessage({ id, call, argument, options });
  }

  #next() {
    if (!this.#running && this.#queue.length) this.#send(this.#queue.shift());
  }

  #take({ id, text, answer, failure }) {
    const request = this.#running;
    if (!request || request.id !== id) return;
    if (text !== undefined) {
      if (!request.signal?.aborted) request.onText?.(text);
      return;
    }
    clearTimeout(this.#timer);
    this.#running = null;
    if (failure === undefined) request.resolve(answer);
    else request.reject(new Error(failure));
    this.#next();
  }

  #abort(request) {
    request.reject(new DOMException("no longer wanted", "AbortError"));
    this.#queue = this.#queue.filter((each) => each !== request);
    if (this.#running !== request) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#worker.terminate();
      this.#start().catch(() => {});
    }, PATIENCE);
  }
}

class ServerEngine {
  ready = Promise.resolve();

  async translate(line, { nbest = 1, attention = false, pair, signal }) {
    const body = JSON.stringify({ line, source: pair.source, target: pair.target, nbest, attention });
    const response = await fetch("translations", {
      method: "POST", headers: { "Content-Type": "application/json" }, body, signal,
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.error ?? answer.message ?? `the server answered ${response.status}`);
    return answer;
  }
}
