// One job: how far it is, how fast it goes, what has happened to it, what failed and where its results are.

import { confirmed } from "./dialogs.js";
import { button, el, facts, foreign, replace, set, setText } from "./elements.js";
import { failures } from "./failures.js";
import { followLog } from "./log.js";
import { apiLink, badge, carriedOut, errorNote, link, progressBar, progressText, time, timeLeft, troublePlace } from "./pieces.js";
import { throughputPlot } from "./plot.js";
import { address, every, follow, get, getBlob, hasKey, stop } from "./requests.js";
import { bytes, duration, number, rate, state } from "./words.js";

const PLOT_EVERY_S = 2;
// A job that has ended changes where its dead letters are replayed; and a gateway may have no place for one more follower.
const LOOK_AGAIN_S = 10;

export function jobPage({ signal, head, say, id }) {
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  const trouble = troublePlace();
  const parts = el("div", { hidden: true });
  const title = head(["Job ", foreign(id)]);
  let view = null;
  let last = null;

  const show = (job) => {
    view ??= build(job, { signal, say, path, parts, title, again: () => look().catch(trouble.show) });
    if (last !== null && last.state !== job.state) say(`The job is ${state(job.state).word} now.`);
    last = job;
    view.update(job);
    trouble.show(null);
    set(parts, "hidden", null);
  };
  let isFollowing = false;
  const watch = async () => {
    if (isFollowing) return;
    isFollowing = true;
    try {
      await follow(`${path}/events`, { signal, onEvent: (name, data) => name === "job" && show(data) });
    } catch (error) {
      if (!signal.aborted) trouble.show(error);
    } finally {
      isFollowing = false;
    }
  };
  const look = async () => {
    const job = await get(path, signal);
    show(job);
    if (!job.is_final) watch();
  };
  every(LOOK_AGAIN_S, signal, look, trouble.show).catch(trouble.show);
  return { title: `Job ${id}`, nodes: [title, trouble.node, parts] };
}

function build(first, { signal, say, path, parts, title, again }) {
  const done = el("div");
  const standing = badge(first.state);
  const subtitle = el("p", { class: "subtitle" }, standing.node, el("span", {}, "of ", apiLink(first.api_name)),
    el("span", {}, "submitted ", time(first.submitted_at)));
  const generation = el("span", { hidden: true });
  const stopping = button("Stop job", () => askToStop(), { class: "danger" });
  subtitle.append(generation, stopping);

  const bar = progressBar("Items that have ended");
  const count = el("p", { class: "big" });
  const left = el("span", { class: "muted" });
  const { node: numbers, values } = facts({
    succeeded: "Succeeded", rejected: "Failed", skipped: "Skipped", waiting: "Waiting", rate: "Items a second", first: "First item after",
  });
  const notes = el("div");
  const plot = throughputPlot(signal);
  const timeline = el("ol", { class: "timeline" });
  const failed = failures({ signal, say, path, onReplayed: again });
  const results = resultsSection(first, signal);
  const log = followLog({ signal, path });
  const asked = el("pre", { class: "foreign", tabindex: "0", role: "group", "aria-label": "What was asked for" }, JSON.stringify(asAsked(first), null, 2));

  replace(
    parts, subtitle, done,
    el("section", { class: "card", "aria-label": "Progress" }, el("div", { class: "line" }, count, left), bar.node, numbers, notes),
    el("div", { class: "two" },
      el("section", { class: "card", "aria-labelledby": "plot-head" }, el("h2", { id: "plot-head" }, "Throughput"), plot.node),
      el("section", { class: "card", "aria-labelledby": "timeline-head" }, el("h2", { id: "timeline-head" }, "Timeline"), timeline)),
    failed.node, results.node,
    el("section", { class: "card" }, log.node, el("details", {}, el("summary", {}, "What was asked for"), asked)),
  );

  async function askToStop() {
    const sure = await confirmed({
      title: "Stop this job?",
      text: "Its items that have not begun are skipped. What has ended stays, and its results can be read. It cannot be started again.",
      action: "Stop job",
    });
    if (!sure) return;
    const job = await carriedOut(stopping, done, () => stop(path));
    if (job !== undefined) {
      const told = job.state === "stopped" ? "The job is stopped." : "The job is being stopped: what has begun ends, the rest is skipped.";
      replace(done, el("p", { class: "note" }, told));
      say(told);
      update(job);
      // The button has gone, and the focus would go with it.
      if (document.activeElement === stopping || document.activeElement === document.body) title.focus({ preventScroll: true });
    }
  }

  let plotted = 0;
  const drawPlot = async () => {
    plotted = Date.now();
    try {
      plot.update((await get(`${path}/throughput`, signal)).points);
    } catch (error) {
      if (!signal.aborted) plot.fail(error);
    }
  };

  function update(job) {
    standing.update(job.state);
    set(stopping, "hidden", job.is_final || job.cause !== null);
    set(generation, "hidden", job.generation === 1);
    setText(generation, `run ${job.generation}`);
    setText(count, `${progressText(job)} items`);
    const rest = timeLeft(job);
    setText(left, rest === null ? "" : `about ${rest} left`);
    bar.update(job);
    setText(values.succeeded, number(job.counts.succeeded));
    setText(values.rejected, number(job.counts.rejected));
    set(values.rejected, "class", job.counts.rejected > 0 ? "bad" : null);
    setText(values.skipped, number(job.counts.skipped));
    setText(values.waiting, number(job.counts.waiting));
    setText(values.rate, job.is_final ? "–" : rate(job.rate));
    setText(values.first, job.first_end_after === null ? "–" : duration(job.first_end_after));
    showNotes(notes, job);
    showTimeline(timeline, job);
    failed.update(job);
    results.update(job);
    if (job.is_final || Date.now() - plotted > PLOT_EVERY_S * 1000) drawPlot();
  }
  return { update };
}

function showNotes(place, job) {
  const told = JSON.stringify([job.hindrance, job.errors]);
  if (place.dataset.told === told) return;
  place.dataset.told = told;
  replace(
    place,
    job.hindrance && el("div", { class: "note" }, el("strong", {}, "Held up: "), foreign(job.hindrance, "span")),
    job.errors.length > 0 && el("div", { class: "note bad" }, el("strong", {}, "Errors"),
      el("ul", {}, job.errors.map((error) => el("li", {}, foreign(error, "span"))))),
  );
}

function showTimeline(place, job) {
  const steps = [{ name: "submitted", at: job.submitted_at }];
  for (const [name, at] of Object.entries(job.times)) {
    const plain = name.replace(/_at$/, "");
    if (plain !== "validating") steps.push({ name: state(plain).word, at });
  }
  steps.sort((one, other) => one.at - other.at);
  if (job.deadline !== null && !job.is_final) {
    const rest = Math.max(0, job.deadline - Date.now() / 1000);
    // By the minute, or by ten seconds at last: a line that changes all the time cannot be read.
    const step = rest > 120 ? 60 : 10;
    steps.push({ name: "deadline", at: job.deadline, ahead: Math.round(rest / step) * step });
  }
  const told = JSON.stringify(steps);
  if (place.dataset.told === told) return;
  place.dataset.told = told;
  replace(place, steps.map((step, at) => el(
    "li", { "data-ahead": step.ahead === undefined ? null : "" },
    el("span", { class: "step" }, step.name), time(step.at),
    at > 0 && el("span", { class: "muted n" }, step.ahead !== undefined ? `in ${duration(step.ahead)}` : `+${duration(step.at - steps[at - 1].at)}`),
  )));
}

function resultsSection(first, signal) {
  const text = el("p", { class: "muted" });
  const trouble = el("div");
  const offered = el("p", { class: "links" },
    download("Results", first.links.results, `results-${first.job_id}.jsonl`, trouble, signal),
    download("Failures", first.links.failures, `failures-${first.job_id}.jsonl`, trouble, signal),
    download("Dead letters", `${first.links.dlq}/export`, `dead-letters-${first.job_id}.jsonl`, trouble, signal));
  const node = el(
    "section", { class: "card", "aria-labelledby": "results-head" },
    el("h2", { id: "results-head" }, "Results"), text, offered, trouble,
    el("dl", { class: "facts long" }, el("div", {}, el("dt", {}, "They lie at"), el("dd", {}, foreign(first.results_uri)))),
  );
  const update = (job) => {
    setText(text, job.objects > 0
      ? `${number(job.objects)} objects, ${bytes(job.bytes)}. JSON lines, in the order of the items.`
      : "What is stored so far can be read: JSON lines, in the order of the items.");
  };
  return { node, update };
}

/** A link; with a key, which a link cannot send, the file is brought by a request of the page. */
export function download(text, path, name, trouble, signal) {
  const node = link(address(path), `${text} (JSON lines)`, { download: name });
  node.addEventListener("click", async (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    try {
      const blob = await getBlob(path, signal);
      const place = URL.createObjectURL(blob ?? new Blob([]));
      el("a", { href: place, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(place), 60_000);
    } catch (error) {
      if (!signal.aborted) replace(trouble, errorNote(error));
    }
  });
  return node;
}

function asAsked(job) {
  const { source, config, timeout, workers, results } = job;
  return Object.fromEntries(Object.entries({ source, config, timeout, workers, results }).filter(([, value]) => value !== null));
}
