// The one place where requests are made: it alone knows the key, and how an error is told.

const KEY = "stream-infer.key";
const BASE = new URL(".", document.baseURI);
const LONGEST_PAUSE_MS = 10_000;

/** "key-wanted" where the gateway asks for a key, "reached" and "away" as it answers or does not. */
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
  constructor() {
    super("The gateway does not answer.");
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
    if (signal?.aborted) throw error;
    gateway.dispatchEvent(new Event("away"));
    throw new Away();
  }
  gateway.dispatchEvent(new Event("reached"));
  if (!response.ok) throw refusal(response.status, await response.text());
  return response;
}

function refusal(status, text) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // a proxy's page, perhaps
  }
  const told = problem !== null && typeof problem === "object" ? problem : {};
  if (status === 401) gateway.dispatchEvent(new Event("key-wanted"));
  return new Refused(status, told);
}

export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

/** JSON lines, all of them: for what is known to be short. */
export async function getLines(path, signal) {
  const text = await (await ask(path, { signal })).text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

export async function getBlob(path, signal) {
  const response = await ask(path, { signal });
  return response.status === 204 ? null : response.blob();
}

export async function post(path, value, { headers = {}, signal = null } = {}) {
  const sent = { "Content-Type": "application/json", ...headers };
  return (await ask(path, { method: "POST", headers: sent, body: JSON.stringify(value), signal })).json();
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
    request.addEventListener("error", () => reject(new Away()));
    request.addEventListener("abort", () => reject(new DOMException("The upload was given up.", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** What a path's server-sent events say, as {name, data}. EventSource could not send the key. */
async function* events(path, signal, onBegin) {
  const response = await ask(path, { signal, headers: { Accept: "text/event-stream" } });
  onBegin();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
      if (data.length > 0) yield { name, data: JSON.parse(data.join("\n")) };
    }
  }
}

/** Whether the same may work later: nobody answers, or the gateway cannot just now. */
const mayPass = (error) => error instanceof Away || (error instanceof Refused && (error.status >= 500 || error.status === 429));

/** Calls `onEvent(name, data)` up to the event `end`, over every break; `onBegin()` whenever a stream begins: what
 * changes from then on is told. */
export async function follow(path, { onEvent, onBegin = () => {}, signal }) {
  let pause = 1000;
  while (!signal.aborted) {
    const told = events(path, signal, onBegin);
    for (let one = await next(told, signal); one !== null; one = await next(told, signal)) {
      pause = 1000;
      onEvent(one.name, one.data);
      if (one.name === "end") return;
    }
    await sleep(pause, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** The next event; null where the stream has broken off or ended. */
async function next(told, signal) {
  try {
    const { done, value } = await told.next();
    return done ? null : value;
  } catch (error) {
    if (signal.aborted || mayPass(error) || error instanceof TypeError) return null; // a TypeError is what a broken body raises
    throw error;
  }
}

/** Calls `look()` now and every so many seconds, while somebody can see the page. */
export async function every(seconds, signal, look) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await look();
      } catch (error) {
        if (signal.aborted) return;
        if (!mayPass(error)) throw error;
      }
    }
    await sleep(seconds * 1000, signal);
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
