// The APIs with their health and rates, and the jobs as they go on.

import { el, foreign, Rows, set, setText, table } from "./elements.js";
import { apiLink, badge, jobLink, progressBar, progressText, time, troublePlace } from "./pieces.js";
import { sparkline } from "./plot.js";
import { every, follow, get } from "./requests.js";
import { duration, JOB_STATES, number, rate, state } from "./words.js";

const LOOK_EVERY_S = 2;
const PAGE = 50;
const LARGEST_PAGE = 100;

export function overview({ signal, head }) {
  const jobs = jobList({ signal });
  const apis = el("section", { "aria-labelledby": "apis-head" }, el("h2", { id: "apis-head" }, "APIs"));
  const { node, body } = table("APIs", [
    { text: "API" }, { text: "Health" }, { text: "Workers", class: "n" }, { text: "Active jobs", class: "n" },
    { text: "Waiting", class: "n" }, { text: "Items/s", class: "n" }, { text: "Trend", class: "wide" }, { text: "Latency", class: "n wide" },
  ]);
  const trouble = troublePlace();
  const none = el("p", { class: "muted", hidden: true }, "No API is configured: add one under apis in stream-infer.yaml.");
  apis.append(trouble.node, none, node);
  const rows = new Rows(body, apiRow);
  every(LOOK_EVERY_S, signal, async () => {
    const { apis: found } = await get("v1/apis", signal);
    rows.show(found, (api) => api.name);
    set(none, "hidden", found.length > 0);
    set(node, "hidden", found.length === 0);
    jobs.offer(found.map((api) => api.name));
  }, trouble.show).catch(trouble.show);
  return { title: "Overview", nodes: [head("Overview"), apis, jobs.node] };
}

function apiRow(first) {
  const health = badge(first.status);
  const cells = ["workers", "jobs", "waiting", "rate"].map(() => el("td", { class: "n" }));
  const latency = el("td", { class: "n wide" });
  const spark = sparkline();
  const node = el(
    "tr", {}, el("th", { scope: "row" }, apiLink(first.name)), el("td", {}, health.node), cells, el("td", { class: "wide" }, spark.node), latency,
  );
  const update = (api) => {
    health.update(api.status);
    setText(cells[0], workersText(api));
    setText(cells[1], number(api.active_jobs));
    setText(cells[2], number(api.waiting_items));
    setText(cells[3], rate(api.rate));
    setText(latency, api.avg_latency === null ? "–" : duration(api.avg_latency));
    spark.update(api.rate);
  };
  return { node, update };
}

export function workersText(api) {
  return `${api.available === null ? "?" : number(api.available)} of ${number(api.requested)}`;
}

/** The newest jobs, of one API or all. {node, offer(names)}. So many are kept as were asked for: a page may be open for
 * days, in which thousands come. */
export function jobList({ signal, api = null }) {
  const known = new Map();
  let most = PAGE;
  // The last that is shown, where more lie behind it.
  let edge = null;
  const picked = el("select", { id: "job-state" }, el("option", { value: "" }, "all states"),
    JOB_STATES.map((name) => el("option", { value: name }, state(name).word)));
  const apis = el("select", { id: "job-api" }, el("option", { value: "" }, "all APIs"));
  const { node: list, body } = table("Jobs", [
    { text: "Job" }, api === null ? { text: "API" } : null, { text: "State" }, { text: "Items" }, { text: "Failed", class: "n" },
    { text: "Items/s", class: "n" }, { text: "Submitted", class: "wide" },
  ].filter(Boolean));
  const more = el("button", { type: "button", hidden: true }, "Older jobs");
  const none = el("p", { class: "muted", hidden: true }, "No job is like that.");
  const trouble = troublePlace();
  const node = el(
    "section", { "aria-labelledby": "jobs-head" },
    el("div", { class: "line" }, el("h2", { id: "jobs-head" }, "Jobs"),
      el("div", { class: "filters" }, el("label", { for: "job-state" }, "State"), picked,
        api === null ? [el("label", { for: "job-api" }, "API"), apis] : null)),
    trouble.node, none, list, more,
  );
  const rows = new Rows(body, (job) => jobRow(job, api === null));
  const wantedApi = () => api ?? apis.value;
  const isMeant = (job) => (wantedApi() === "" || job.api_name === wantedApi()) && (picked.value === "" || job.state === picked.value);

  /** Whether its place is among those that are shown, and not behind what was never asked for. */
  const isNear = (job) => edge === null || job.submitted_at >= edge.submitted_at;

  const show = () => {
    const sorted = [...known.values()].filter(isMeant).sort((a, b) => b.submitted_at - a.submitted_at);
    if (sorted.length > most) edge = sorted[most - 1];
    known.clear();
    for (const job of sorted.slice(0, most)) known.set(job.job_id, job);
    rows.show([...known.values()], (job) => job.job_id);
    set(none, "hidden", known.size > 0);
    set(list, "hidden", known.size === 0);
    set(more, "hidden", edge === null);
  };

  const pages = async (count) => {
    const found = [];
    let page = { has_more: true };
    while (page.has_more && found.length < count) {
      const query = new URLSearchParams({ limit: Math.min(LARGEST_PAGE, count - found.length) });
      if (wantedApi()) query.set("api", wantedApi());
      if (picked.value) query.set("state", picked.value);
      if (found.length > 0) query.set("after", found.at(-1).job_id);
      page = await get(`v1/jobs?${query}`, signal);
      found.push(...page.jobs);
    }
    return { found, hasMore: page.has_more };
  };
  const loads = new Set();
  const load = async (count) => {
    // What is told from now on may be newer than what is answered.
    const told = new Map();
    for (const earlier of loads) earlier.isOver = true;
    const mine = { told, isOver: false };
    loads.add(mine);
    try {
      const { found, hasMore } = await pages(count);
      if (mine.isOver) return;
      most = count;
      edge = hasMore ? found.at(-1) : null;
      known.clear();
      for (const job of [...found, ...[...told.values()].filter(isNear)]) known.set(job.job_id, job);
      trouble.show(null);
      show();
    } finally {
      loads.delete(mine);
    }
  };
  const attempt = (work) => work.catch((error) => !signal.aborted && trouble.show(error));
  const again = () => attempt(load(most));
  picked.addEventListener("change", () => attempt(load(PAGE)));
  apis.addEventListener("change", () => attempt(load(PAGE)));
  more.addEventListener("click", () => attempt(load(most + PAGE)));

  let isWaiting = false;
  again();
  attempt(follow("v1/events", {
    signal,
    onBegin: again,
    // A gateway has places for so many followers: whoever gets none looks now and then.
    onTrouble: again,
    onEvent: (name, job) => {
      if (name !== "job") return;
      for (const { told } of loads) told.set(job.job_id, job);
      if (!isNear(job)) return;
      known.set(job.job_id, job);
      if (isWaiting) return;
      isWaiting = true;
      requestAnimationFrame(() => {
        isWaiting = false;
        show();
      });
    },
  }));
  const offer = (names) => {
    if (apis.options.length - 1 === names.length) return;
    apis.append(...names.filter((name) => ![...apis.options].some((one) => one.value === name)).map((name) => el("option", { value: name }, name)));
  };
  return { node, offer };
}

function jobRow(first, withApi) {
  const standing = badge(first.state);
  const bar = progressBar(`Progress of job ${first.job_id}`);
  const text = el("span", { class: "n" });
  const hindered = el("span", { class: "hindered", hidden: true }, "hindered");
  const failed = el("td", { class: "n" });
  const speed = el("td", { class: "n" });
  const node = el(
    "tr", {},
    el("th", { scope: "row" }, jobLink(first.job_id)),
    withApi ? el("td", {}, foreign(first.api_name)) : null,
    el("td", {}, standing.node, " ", hindered),
    el("td", { class: "items" }, bar.node, text), failed, speed, el("td", { class: "wide" }, time(first.submitted_at)),
  );
  const update = (job) => {
    standing.update(job.state);
    set(hindered, "hidden", !job.hindrance);
    bar.update(job);
    setText(text, progressText(job));
    setText(failed, number(job.counts.rejected));
    set(failed, "class", job.counts.rejected > 0 ? "n bad" : "n");
    setText(speed, job.is_final ? "" : rate(job.rate));
  };
  return { node, update };
}
