// What was said about a job, followed while it is open.

import { el, foreign, replace } from "./elements.js";
import { troublePlace } from "./pieces.js";
import { follow } from "./requests.js";
import { moment } from "./words.js";

const KEPT = 500;

/** {node}: a fold that follows the log from its beginning each time it is opened. */
export function followLog({ signal, path }) {
  const lines = el("ol");
  const box = el("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Log", "aria-live": "off" }, lines);
  const trouble = troublePlace();
  const node = el("details", {}, el("summary", {}, "Log"), trouble.node, box);
  let following = null;
  const end = () => following?.abort();
  node.addEventListener("toggle", () => {
    end();
    if (!node.open) return;
    following = new AbortController();
    const mine = following.signal;
    follow(`${path}/logs?follow=true`, {
      signal: mine,
      onBegin: (goesOn) => {
        trouble.show(null);
        if (!goesOn) replace(lines);
      },
      onEvent: (name, line) => name === "message" && append(box, lines, line),
      onTrouble: trouble.show,
    }).catch(trouble.show);
  });
  signal.addEventListener("abort", end);
  return { node };
}

function append(box, lines, line) {
  const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${value}`).join(" ");
  lines.append(el(
    "li", { "data-level": line.level },
    el("span", { class: "muted" }, moment(line.at)), " ", el("span", { class: "muted" }, foreign(line.who)), " ",
    foreign(fields ? `${line.line} ${fields}` : line.line, "span"),
  ));
  while (lines.childElementCount > KEPT) lines.firstElementChild.remove();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}
