// One API: what it is, who works on it, its jobs, and what failed without a job.

import { el, facts, foreign, replace, set, setText, table } from "./elements.js";
import { failures } from "./failures.js";
import { jobList, workersText } from "./overview.js";
import { badge, link, time, troublePlace } from "./pieces.js";
import { sparkline } from "./plot.js";
import { every, get } from "./requests.js";
import { duration, number, rate } from "./words.js";

const LOOK_EVERY_S = 2;

export function apiPage({ signal, head, say, name }) {
  const path = `v1/apis/${encodeURIComponent(name)}`;
  const trouble = troublePlace();
  const parts = el("div", { hidden: true });
  let view = null;
  every(LOOK_EVERY_S, signal, async () => {
    const api = await get(path, signal);
    view ??= build(api, { signal, say, path, parts });
    view.update(api);
    set(parts, "hidden", null);
  }, trouble.show).catch(trouble.show);
  return { title: name, nodes: [head(["API ", foreign(name)]), trouble.node, parts] };
}

function build(first, { signal, say, path, parts }) {
  const health = badge(first.status);
  const { node, values } = facts({
    workers: "Workers", fresh: "Up to date", jobs: "Active jobs", waiting: "Waiting", rate: "Items a second", latency: "Latency",
  });
  const spark = sparkline();
  const { node: settings, values: fixed } = facts({
    predictor: "Predictor", batch: "Micro-batch", wait: "Waits at most", attempts: "Attempts", partitions: "Partitions", scale: "Workers",
    since: "Settings since", items: "Items topic", results: "Results topic", dlq: "Dead letters",
  });
  const { node: replicas, body } = table("Realtime replicas", [
    { text: "Replica" }, { text: "Ready" }, { text: "In flight", class: "n" }, { text: "Why not" },
  ]);
  fixed.predictor.append(foreign(`${first.predictor.type}: ${first.predictor.target}`));
  setText(fixed.batch, first.max_batch_size);
  setText(fixed.wait, `${first.max_wait_ms} ms`);
  setText(fixed.attempts, first.max_attempts);
  setText(fixed.partitions, first.partitions);
  setText(fixed.scale, `${first.workers.min} to ${first.workers.max}`);
  fixed.since.append(time(first.updated_at));
  for (const topic of ["items", "results", "dlq"]) setText(fixed[topic], first.topics[topic]);
  const jobs = jobList({ signal, api: first.name });
  const failed = failures({ signal, say, path, isApi: true });
  replace(
    parts,
    el("p", { class: "subtitle" }, health.node, link(`#/submit?api=${encodeURIComponent(first.name)}`, "Submit a job")),
    el("section", { class: "card", "aria-label": "At present" }, node, el("div", { class: "trend" }, spark.node), replicas),
    jobs.node, failed.node,
    el("section", { class: "card", "aria-labelledby": "settings-head" }, el("h2", { id: "settings-head" }, "Settings"), settings),
  );
  const update = (api) => {
    health.update(api.status);
    setText(values.workers, workersText(api));
    setText(values.fresh, api.up_to_date === null ? "?" : number(api.up_to_date));
    setText(values.jobs, number(api.active_jobs));
    setText(values.waiting, number(api.waiting_items));
    setText(values.rate, rate(api.rate));
    setText(values.latency, api.avg_latency === null ? "–" : duration(api.avg_latency));
    spark.update(api.rate);
    set(replicas, "hidden", api.replicas.length === 0);
    replace(body, api.replicas.map((one) => el("tr", {},
      el("th", { scope: "row" }, foreign(one.url)), el("td", {}, one.is_ready ? "yes" : "no"), el("td", { class: "n" }, number(one.in_flight)),
      el("td", {}, one.reason === null ? "" : foreign(one.reason, "span")))));
  };
  return { update };
}
