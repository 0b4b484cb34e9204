// A new job: from files or a folder, from what is typed, or from an address.

import { el, foreign, replace, set, setText } from "./elements.js";
import { chosenFiles, droppedFiles, kindOf } from "./folder.js";
import { carriedOut, errorNote } from "./pieces.js";
import { get, post, upload } from "./requests.js";
import { tarOf } from "./tar.js";
import { bytes, counted, number } from "./words.js";

const NAMED = 5;
const KINDS = {
  jsonl: "each line is an item",
  csv: "each row is an item",
  parquet: "each row is an item",
  tar: "each file in it is an item",
};
const ADDRESSES = {
  jsonl: ["JSON lines", "s3://bucket/items.jsonl"],
  csv: ["CSV", "s3://bucket/table.csv"],
  parquet: ["Parquet", "s3://bucket/table.parquet"],
  tar: ["Tar archive", "s3://bucket/pictures.tar"],
  directory: ["Directory of the gateway's machine", "file:///data/pictures"],
  s3_prefix: ["Objects of S3", "s3://bucket/pictures/"],
  manifest: ["Manifest", "s3://bucket/input.manifest"],
};
const SELECTING = new Set(["tar", "directory", "s3_prefix"]);

export function submitPage({ signal, head, say, query }) {
  const form = new SubmitForm({ signal, say, wanted: query.get("api") });
  return { title: "Submit", nodes: [head("Submit a job"), form.node], rekeyed: () => form.offerApis() };
}

class SubmitForm {
  #signal;
  #say;
  #files = [];
  #upload = null;
  #choices = 0;
  #attempt = null;

  constructor({ signal, say, wanted }) {
    this.#signal = signal;
    this.#say = say;
    this.api = el("select", { id: "api", required: true });
    this.trouble = el("div");
    this.shown = el("div");
    this.sending = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Sending" });
    this.submitting = el("button", { type: "submit", class: "primary" }, "Submit");
    this.trying = el("button", { type: "button", on: { click: () => this.#tryOut() } }, "See what would be enqueued");
    this.node = el(
      "form", { class: "card form", novalidate: true },
      field("API", this.api), this.#sources(), this.#options(), this.trouble, this.sending,
      el("div", { class: "actions" }, this.submitting, this.trying), this.shown,
    );
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    // What is asked for has changed: another attempt is another job.
    this.node.addEventListener("input", () => this.#forget());
    this.#showSource("files");
    this.offerApis(wanted);
  }

  /** Asked for anew with another key: what was typed and chosen stays. */
  async offerApis(wanted = this.api.value) {
    try {
      const { apis } = await get("v1/apis", this.#signal);
      replace(this.api, apis.map((api) => el("option", { value: api.name, selected: api.name === wanted }, api.name)));
      replace(this.trouble);
    } catch (error) {
      if (!this.#signal.aborted) replace(this.trouble, errorNote(error));
    }
  }

  #forget() {
    this.#attempt = null;
  }

  #sources() {
    const choice = (value, text, checked = false) => el("label", { class: "choice" },
      el("input", { type: "radio", name: "source", value, checked, on: { change: () => this.#showSource(value) } }), text);
    this.panels = { files: this.#filesPanel(), typed: this.#typedPanel(), address: this.#addressPanel() };
    return el("fieldset", {}, el("legend", {}, "Items"),
      el("div", { class: "choices" }, choice("files", "Files or a folder", true), choice("typed", "Typed here"), choice("address", "At an address")),
      Object.values(this.panels));
  }

  #showSource(name) {
    this.source = name;
    for (const [key, panel] of Object.entries(this.panels)) set(panel, "hidden", key !== name);
  }

  #filesPanel() {
    this.chosen = el("div", { id: "chosen", role: "status" }, "Nothing is chosen yet.");
    const input = (text, attributes) => {
      const one = el("input", { type: "file", class: "unseen", ...attributes, on: { change: () => this.#take(chosenFiles(one)) } });
      return el("label", { class: "pick" }, one, el("span", {}, text));
    };
    const zone = el("div", { class: "drop" },
      el("p", {}, "Drop files or a folder here, or"),
      el("p", { class: "choices" }, input("Choose files", { multiple: true }), input("Choose a folder", { webkitdirectory: true, multiple: true })),
      this.chosen);
    const over = (isOver) => (event) => {
      event.preventDefault();
      set(zone, "data-over", isOver || null);
    };
    zone.addEventListener("dragover", over(true));
    zone.addEventListener("dragleave", over(false));
    zone.addEventListener("drop", async (event) => {
      over(false)(event);
      this.#take([]);
      const mine = this.#choices;
      setText(this.chosen, "Looking into it…");
      try {
        const files = await droppedFiles(event.dataTransfer, (count) => setText(this.chosen, `Looking into it… ${counted(count, "file")} so far.`));
        if (mine === this.#choices) this.#take(files);
      } catch (error) {
        if (mine === this.#choices) this.#take([], error);
      }
    });
    return zone;
  }

  /** Other files than before: what is being sent of those is given up. */
  #take(files, error = null) {
    this.#files = files;
    this.#choices += 1;
    if (this.#upload?.isUnderWay) replace(this.trouble, el("p", { class: "note" }, "Other files are chosen: what was being sent is given up."));
    this.#upload?.ending.abort();
    this.#upload = null;
    this.#forget();
    if (error !== null) {
      replace(this.chosen, errorNote(error));
      return;
    }
    if (files.length === 0) {
      setText(this.chosen, "There is no file in it. Hidden files are left out.");
      return;
    }
    const kind = kindOf(files);
    const size = files.reduce((sum, { file }) => sum + file.size, 0);
    const what = KINDS[kind] ?? "each file is an item, with its bytes";
    const rest = files.length - NAMED;
    replace(this.chosen, el("p", {}, `${counted(files.length, "file")}, ${bytes(size)}: ${what}.`),
      el("ul", {}, files.slice(0, NAMED).map(({ name }) => el("li", {}, foreign(name))), rest > 0 && el("li", { class: "muted" }, `and ${number(rest)} more`)));
  }

  #typedPanel() {
    this.typed = el("textarea", { id: "typed", rows: 6, spellcheck: "false", placeholder: '{"text": "hello"}\n{"text": "kafka"}' });
    return field("One item a line: JSON, or plain text", this.typed);
  }

  #addressPanel() {
    this.kind = el("select", { id: "kind" }, Object.entries(ADDRESSES).map(([value, [text]]) => el("option", { value }, text)));
    this.place = el("input", { id: "place", type: "text", spellcheck: "false", placeholder: ADDRESSES.jsonl[1] });
    this.includes = el("input", { id: "includes", type: "text", spellcheck: "false", placeholder: "**/*.jpg, **/*.png" });
    const including = field("Only what matches (patterns, by commas)", this.includes);
    set(including, "hidden", true);
    this.kind.addEventListener("change", () => {
      this.place.placeholder = ADDRESSES[this.kind.value][1];
      set(including, "hidden", !SELECTING.has(this.kind.value));
    });
    return el("div", {}, field("What lies there", this.kind), field("Address", this.place), including);
  }

  #options() {
    this.workers = el("input", { id: "workers", type: "number", min: 1, step: 1, inputmode: "numeric" });
    this.timeout = el("input", { id: "timeout", type: "number", min: 0, step: "any", inputmode: "decimal" });
    this.format = el("select", { id: "format" }, el("option", { value: "" }, "as the API says"),
      ["jsonl", "jsonl.gz", "parquet", "per-item"].map((name) => el("option", { value: name }, name)));
    this.config = el("textarea", { id: "config", rows: 3, spellcheck: "false", placeholder: "{}" });
    return el("details", {}, el("summary", {}, "Options"),
      el("div", { class: "grid" }, field("Workers wanted", this.workers), field("Ends after (seconds)", this.timeout), field("Results as", this.format)),
      field("Config (a JSON object)", this.config));
  }

  async #spec() {
    const spec = { ...(await this.#source()) };
    if (this.workers.value) spec.workers = Number(this.workers.value);
    if (this.timeout.value) spec.timeout = Number(this.timeout.value);
    if (this.format.value) spec.results = { format: this.format.value };
    if (this.config.value.trim()) spec.config = parsed(this.config.value, "Config");
    return spec;
  }

  async #source() {
    if (this.source === "typed") {
      const items = this.typed.value.split("\n").map(itemIn).filter((item) => item !== null);
      if (items.length === 0) throw new Error("Type an item first, one a line.");
      return { item_list: { items } };
    }
    if (this.source === "address") {
      const place = this.place.value.trim();
      if (!place) throw new Error("Give the address first.");
      const kind = this.kind.value;
      const includes = this.includes.value.split(",").map((text) => text.trim()).filter(Boolean);
      return { [kind]: { [kind === "directory" ? "path" : "uri"]: place, ...(SELECTING.has(kind) && includes.length > 0 ? { includes } : {}) } };
    }
    if (this.#files.length === 0) throw new Error("Choose files or a folder first.");
    const kind = kindOf(this.#files);
    return { [kind === "packed" ? "tar" : kind]: { uri: await this.#sent(kind) } };
  }

  /** Where the files lie that are chosen. Sent once: looking first, and a second attempt, use what is there already. */
  #sent(kind) {
    this.#upload ??= this.#begin(kind);
    return this.#upload.uri;
  }

  #begin(kind) {
    const ending = new AbortController();
    const one = { ending, isUnderWay: true, uri: null };
    one.uri = this.#send(kind, AbortSignal.any([this.#signal, ending.signal])).catch((error) => {
      if (this.#upload === one) this.#upload = null;
      throw error;
    }).finally(() => {
      one.isUnderWay = false;
      if (this.#upload === one || this.#upload === null) set(this.sending, "hidden", true);
    });
    return one;
  }

  async #send(kind, signal) {
    const [first] = this.#files;
    const isPacked = kind === "packed";
    const name = isPacked ? `${first.name.split("/")[0]}.tar` : first.name.slice(first.name.lastIndexOf("/") + 1);
    this.sending.value = 0;
    set(this.sending, "hidden", null);
    // Of the name its ending counts, in lower case.
    const sent = await upload(name.toLowerCase(), isPacked ? tarOf(this.#files) : first.file, (part) => {
      if (!signal.aborted) this.sending.value = part;
    }, signal);
    return sent.uri;
  }

  #path = () => `v1/apis/${encodeURIComponent(this.api.value)}/jobs`;

  #submit() {
    return carriedOut(this.submitting, this.trouble, async () => {
      const spec = await this.#spec();
      // After a lost answer the same attempt is sent again under the same key, and is the same job.
      this.#attempt ??= newKey();
      const job = await post(this.#path(), jsonOf(spec), { headers: { "Idempotency-Key": this.#attempt } });
      this.#say("The job is submitted.");
      location.hash = `#/jobs/${encodeURIComponent(job.job_id)}`;
    });
  }

  #tryOut() {
    return carriedOut(this.trying, this.trouble, async () => {
      const found = await post(`${this.#path()}?dry_run=true`, jsonOf(await this.#spec()));
      const preview = found.preview ?? [];
      const size = found.items === null ? `It begins with ${counted(preview.length, "item")}:` : `${counted(found.items, "item")}:`;
      replace(this.shown, el("h2", {}, "What would be enqueued"), el("p", {}, size),
        el("pre", { class: "foreign", tabindex: "0", role: "group", "aria-label": "The first items" }, preview.map((one) => JSON.stringify(one)).join("\n")));
      this.#say(`A look at what would be enqueued: ${size}`);
    });
  }
}

function field(text, control) {
  return el("div", { class: "field" }, el("label", { for: control.id }, text), control);
}

/** JSON that goes as it was typed: JavaScript's numbers would lose the last digits of long ones. */
class Typed {
  constructor(text) {
    JSON.parse(text);
    this.text = text;
  }
}

function jsonOf(value) {
  if (value instanceof Typed) return value.text;
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}:${jsonOf(one)}`).join(",")}}`;
}

/** JSON as it is, other text as a string, null for nothing; what sets out to be JSON and is not is a mistake. */
function itemIn(line, at) {
  const text = line.trim();
  if (text === "") return null;
  try {
    return new Typed(text);
  } catch {
    if (/^[{["]/.test(text)) throw new Error(`Line ${at + 1} is not JSON: ${text.slice(0, 60)}`);
    return text;
  }
}

function parsed(text, name) {
  try {
    return new Typed(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`);
  }
}

/** Of 128 bits; crypto.randomUUID is there by https alone. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
