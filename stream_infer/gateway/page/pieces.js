// What several pages show: a state, a job's progress, a time, an error.

import { el, foreign, replace, set, setText } from "./elements.js";
import { counted, dateOf, duration, moment, number, state } from "./words.js";

const MARKS = { wait: "◌", live: "●", done: "✓", bad: "!" };
const ENDS = ["succeeded", "rejected", "skipped"];

/** A state in words, with a mark that does not need its colour. {node, update(name)} */
export function badge(name) {
  const mark = el("span", { class: "mark", "aria-hidden": "true" });
  const text = el("span");
  const node = el("span", { class: "badge" }, mark, text);
  const update = (now) => {
    const { word, tone } = state(now);
    set(node, "data-tone", tone);
    setText(mark, MARKS[tone]);
    setText(text, word);
  };
  update(name);
  return { node, update };
}

/** How a job's items stand, as a bar in parts. {node, update(job)} */
export function progressBar(label) {
  const parts = ENDS.map((name) => el("span", { class: `part ${name}` }));
  const node = el("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0 }, parts);
  const update = (job) => {
    const { counts } = job;
    const ended = counts.succeeded + counts.rejected + counts.skipped;
    const whole = Math.max(counts.enqueued, ended, 1);
    for (const [at, name] of ENDS.entries()) parts[at].style.width = `${(100 * counts[name]) / whole}%`;
    set(node, "aria-valuemax", whole);
    set(node, "aria-valuenow", ended);
    set(node, "aria-valuetext", progressText(job));
  };
  return { node, update };
}

export function progressText(job) {
  const { counts } = job;
  const ended = counts.succeeded + counts.rejected + counts.skipped;
  const of = job.is_enqueued ? number(counts.enqueued) : `${number(counts.enqueued)} so far`;
  return `${number(ended)} of ${of}`;
}

/** What is left at the present rate, in words; null where nobody knows. */
export function timeLeft(job) {
  if (job.is_final || !job.is_enqueued || job.rate <= 0 || job.counts.waiting <= 0) return null;
  return duration(job.counts.waiting / job.rate);
}

export function time(at) {
  const date = dateOf(at);
  return el("time", { datetime: date?.toISOString(), title: date?.toString() }, moment(at));
}

export function link(href, text, attributes = {}) {
  return el("a", { href, ...attributes }, text);
}

export const jobLink = (id) => link(`#/jobs/${encodeURIComponent(id)}`, foreign(id), { class: "id" });

export const apiLink = (name) => link(`#/apis/${encodeURIComponent(name)}`, name);

/** What went wrong, with the places in what was sent that it is about. */
export function errorNote(error) {
  const places = (error.problem?.errors ?? []).filter((one) => !error.message.includes(one.detail));
  return el(
    "div",
    { class: "note bad", role: "alert" },
    el("p", {}, foreign(error.message, "span")),
    places.length > 0 && el("ul", {}, places.map((one) => el("li", {}, foreign(`${one.pointer} ${one.detail}`, "span")))),
  );
}

/** A place for why something is not as it is now; null: it is. Said once, however often it is tried. {node, show(error)} */
export function troublePlace() {
  const node = el("div");
  let told = null;
  const show = (error) => {
    const text = error?.message ?? null;
    if (text === told) return;
    told = text;
    replace(node, error && errorNote(error));
  };
  return { node, show };
}

/** Runs what a button starts: it does nothing more meanwhile, and keeps the focus; an error is shown in `place`. */
export async function carriedOut(pressed, place, work) {
  if (pressed.getAttribute("aria-disabled") === "true") return undefined;
  set(pressed, "aria-disabled", "true");
  replace(place);
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") replace(place, errorNote(error));
    return undefined;
  } finally {
    set(pressed, "aria-disabled", null);
  }
}

export const items = (count) => counted(count, "item");
