/* What the worker does beside the runtime, which stands before it in the same script: one request after another.
   A request is {id, call: "load" | "translate" | "generate", argument, options}, what is sent back {id, answer},
   {id, failure} or, of a text that grows, {id, text}. In a block, so that no name here is one of the runtime's. */
{
  function decoded(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const binary = atob(base64), bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  /** Milliseconds between two messages about a text that grows. */
  const EACH = 40;
  let model;

  async function answer({ id, call, argument, options }) {
    if (call === "load") {
      const files = Object.fromEntries(Object.entries(argument.files).map(([name, text]) => [name, decoded(text)]));
      model = await load({ bundle: argument.bundle, weights: decoded(argument.weights).buffer, files });
      return null;
    }
    if (!model) throw new Error("the model could not be loaded");
    let shown = 0;
    const onToken = (token, text) => {
      if (performance.now() - shown < EACH) return;
      shown = performance.now();
      postMessage({ id, text: text() });
    };
    return model[call](argument, { ...options, onToken });
  }

  onmessage = async ({ data }) => {
    try {
      postMessage({ id: data.id, answer: await answer(data) });
    } catch (problem) {
      postMessage({ id: data.id, failure: problem.message });
    }
  };
}
