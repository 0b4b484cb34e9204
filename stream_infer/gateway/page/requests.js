// The one place where requests are made: it alone knows the key, and how an error is told.

const KEY = "stream-infer.key";
const BASE = new URL(".", document.baseURI);
const SHORTEST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;
const ANSWER_WITHIN_MS = 60_000;
// The gateway says something every 10 s. Behind a machine that slept, or a router that forgot, nothing comes any more.
const SILENT_FOR_MS = 30_000;
const UNSEEN_FOR_MS = 5_000;
const UNSEEN = new DOMException("Nobody looks at the page.", "AbortError");

/** "key-wanted" where the gateway asks for a key (`detail`: why), "reached" and "away" as it answers or does not. */
export const gateway = new EventTarget();

/** What the gateway answered in place of what was asked: `problem` is an RFC 9457 document. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The gateway answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

/** Nobody answered. */
export class Away extends Error {
  constructor(message = "The gateway does not answer.") {
    super(message);
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export function useKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key === null ? {} : { Authorization: `Bearer ${key}` };
}

/** Paths are those of the gateway, wherever a proxy has put it. */
export const address = (path) => new URL(path.replace(/^\//, ""), BASE).href;

async function ask(path, { method = "GET", headers = {}, body = null, signal = null } = {}) {
  let response;
  try {
    response = await fetch(address(path), {
      method,
      body,
      signal,
      headers: { ...headers, ...authorization() },
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    throw notAnswered(error, signal);
  }
  gateway.dispatchEvent(new Event("reached"));
  if (!response.ok) throw refusal(response.status, await response.text().catch(() => ""));
  return response;
}

/** Of what fetch or a body raised: the end of `signal`, or a gateway that is away, which is told. */
function notAnswered(error, signal) {
  const told = signal?.aborted ? signal.reason : new Away();
  if (told instanceof Away) gateway.dispatchEvent(new Event("away"));
  return told;
}

function refusal(status, text) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // a proxy's page, perhaps
  }
  const refused = new Refused(status, problem !== null && typeof problem === "object" ? problem : {});
  if (status === 401) gateway.dispatchEvent(new CustomEvent("key-wanted", { detail: refused.message }));
  return refused;
}

/** A signal that ends with `signal`, or once so long after the last `beat()`; `end()` lets it be. */
function patience(signal, milliseconds) {
  const over = new AbortController();
  let timer = null;
  const end = () => clearTimeout(timer);
  const beat = () => {
    end();
    timer = setTimeout(() => over.abort(new Away(`The gateway has said nothing for ${milliseconds / 1000} s.`)), milliseconds);
  };
  beat();
  return { signal: signal === null ? over.signal : AbortSignal.any([signal, over.signal]), beat, end };
}

export async function get(path, signal = null) {
  const waiting = patience(signal, ANSWER_WITHIN_MS);
  try {
    const response = await ask(path, { signal: waiting.signal });
    return await response.json().catch((error) => {
      throw error instanceof SyntaxError ? new Error(`This is no answer of the gateway: ${error.message}`) : notAnswered(error, waiting.signal);
    });
  } finally {
    waiting.end();
  }
}

export async function getBlob(path, signal) {
  const response = await ask(path, { signal });
  return response.status === 204 ? null : response.blob();
}

/** `json` is the body as text. */
export async function post(path, json, { headers = {}, signal = null } = {}) {
  const sent = { "Content-Type": "application/json", ...headers };
  return (await ask(path, { method: "POST", headers: sent, body: json, signal })).json();
}

export async function stop(path) {
  return (await ask(path, { method: "DELETE" })).json();
}

/** Sends a file; `onProgress(part)` from 0 to 1. Only XMLHttpRequest tells how far an upload is. */
export function upload(name, file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(`v1/uploads?name=${encodeURIComponent(name)}`));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [header, value] of Object.entries(authorization())) request.setRequestHeader(header, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Error(
      "The upload broke off: the gateway does not answer, or a file was changed or removed meanwhile. Choose them again, or try again.")));
    request.addEventListener("abort", () => reject(new DOMException("The upload was given up.", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** What a path's server-sent events say, as {name, data, id}. EventSource could not send the key. Behind `last`, an id,
 * where the path has ids. */
async function* events(path, signal, last, onBegin) {
  const waiting = patience(signal, SILENT_FOR_MS);
  try {
    const place = last === null ? {} : { "Last-Event-ID": last };
    const response = await ask(path, { signal: waiting.signal, headers: { Accept: "text/event-stream", ...place } });
    onBegin(last !== null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { done, value } = await readOn(reader, waiting.signal);
      if (done) return;
      waiting.beat();
      const blocks = (held + value).split("\n\n");
      held = blocks.pop();
      yield* blocks.map(eventIn).filter(Boolean);
    }
  } finally {
    waiting.end();
  }
}

async function readOn(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    throw notAnswered(error, signal);
  }
}

/** Null for a comment. */
function eventIn(block) {
  const fields = { event: "message", id: null, data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(event|id|data): ?(.*)$/s.exec(line) ?? [];
    if (name === "data") fields.data.push(value);
    else if (name) fields[name] = value;
  }
  return fields.data.length > 0 ? { name: fields.event, id: fields.id, data: JSON.parse(fields.data.join("\n")) } : null;
}

/** Whether the same may work later: nobody answers, or the gateway cannot just now. */
const mayPass = (error) => error instanceof Away || (error instanceof Refused && (error.status >= 500 || error.status === 429));

/** Calls `onEvent(name, data)` up to the event `end`, over every break. A browser has six connections to one address, for
 * all its tabs: one that nobody looks at holds none.
 *
 * `onBegin(goesOn)` whenever a stream begins: what changes from then on is told, and where it goes on, all since the last
 * event. `onTrouble(error)` whenever there is none, and the gateway says why. */
export async function follow(path, { onEvent, onBegin = () => {}, onTrouble = () => {}, signal }) {
  let pause = SHORTEST_PAUSE_MS;
  let last = null;
  const begun = (goesOn) => {
    pause = SHORTEST_PAUSE_MS;
    onBegin(goesOn);
  };
  while (!signal.aborted) {
    await untilSeen(signal);
    const looking = whileSeen(signal);
    try {
      for await (const { name, id, data } of events(path, looking.signal, last, begun)) {
        last = id ?? last;
        onEvent(name, data);
        if (name === "end") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error === UNSEEN) continue;
      if (!mayPass(error)) throw error;
      if (error instanceof Refused) onTrouble(error);
    } finally {
      looking.end();
    }
    await sleep(pause, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Calls `look()` now and every so many seconds, while somebody can see the page; `onTrouble(error)` where the gateway
 * says that it cannot answer just now, and `onTrouble(null)` once it can. */
export async function every(seconds, signal, look, onTrouble = () => {}) {
  while (!signal.aborted) {
    await untilSeen(signal);
    try {
      await look();
      onTrouble(null);
    } catch (error) {
      if (signal.aborted) return;
      if (!mayPass(error)) throw error;
      if (error instanceof Refused) onTrouble(error);
    }
    await sleep(seconds * 1000, signal);
  }
}

/** Done at once where somebody can see the page, or when somebody can, or `signal` ends. */
function untilSeen(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

/** A signal that ends with `signal`, once nobody has seen the page for 5 s, or by `end()`. */
function whileSeen(signal) {
  const hidden = new AbortController();
  const over = new AbortController();
  let timer = null;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => hidden.abort(UNSEEN), UNSEEN_FOR_MS);
  };
  document.addEventListener("visibilitychange", look, { signal: over.signal });
  const end = () => {
    over.abort();
    clearTimeout(timer);
    hidden.abort(UNSEEN);
  };
  return { signal: AbortSignal.any([signal, hidden.signal]), end };
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const done = () => {
      clearTimeout(timer);
      ended.abort();
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true, signal: ended.signal });
  });
}
