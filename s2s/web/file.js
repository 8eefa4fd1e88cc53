/* A text file, translated line by line with its progress shown, and offered for download. */
"use strict";

let job = null;

/** Lines of a file; an error says why it cannot be read. */
async function linesOf(file) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (problem) {
    throw problem instanceof TypeError ? new Error(`${file.name} is no text in UTF-8; save it as that and try again.`) : problem;
  }
  return text.split(/\r\n|\n/);
}

async function translateFile(file) {
  job?.abort();
  const own = job = new AbortController(), { signal } = own, pair = card, progress = element("progress");
  element("download").hidden = true;
  try {
    const lines = await linesOf(file), translated = [], filled = lines.filter((line) => line.trim()).length;
    let done = 0;
    signal.throwIfAborted();
    element("file-name").textContent = file.name;
    element("file-job").hidden = element("stop-file").hidden = progress.hidden = false;
    progress.max = Math.max(filled, 1);
    for (const line of lines) {
      if (line.trim()) showProgress(done++, filled);
      translated.push(line.trim() ? (await engine.translate(line, { pair, signal })).text : "");
    }
    offer(file.name, translated.join("\n"), pair);
    announce(`${file.name} is translated`);
  } catch (problem) {
    showProblem(problem);
    if (own === job) element("file-job").hidden = true;
  }
}

function showProgress(done, all) {
  element("progress").value = done;
  element("file-state").textContent = `${done.toLocaleString("en")} of ${all.toLocaleString("en")} lines`;
}

function offer(name, text, pair) {
  const link = element("download"), [, stem, ending = ".txt"] = /^(.*?)(\.[^.]*)?$/s.exec(name);
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = `${stem}.${pair.target}${ending === `.${pair.source}` ? "" : ending}`;
  link.textContent = `Save ${link.download}`;
  element("file-state").textContent = "Translated.";
  element("stop-file").hidden = element("progress").hidden = true;
  link.hidden = false;
}

element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) translateFile(target.files[0]);
  target.value = "";
});
element("stop-file").addEventListener("click", () => {
  job.abort();
  element("file-job").hidden = true;
  element("file").focus();
});
addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  translateFile(event.dataTransfer.files[0]);
});
