// What was said about a job, followed while it is open.

import { el, foreign, replace } from "./elements.js";
import { errorNote } from "./pieces.js";
import { follow } from "./requests.js";
import { moment } from "./words.js";

const KEPT = 500;

/** {node}: a fold that follows the log from its beginning each time it is opened. */
export function followLog({ signal, path }) {
  const lines = el("ol");
  const box = el("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Log", "aria-live": "off" }, lines);
  const trouble = el("div");
  const node = el("details", {}, el("summary", {}, "Log"), trouble, box);
  let following = null;
  const end = () => following?.abort();
  node.addEventListener("toggle", () => {
    end();
    if (!node.open) return;
    following = new AbortController();
    const mine = following.signal;
    follow(`${path}/logs?follow=true`, {
      signal: mine,
      onBegin: () => replace(lines),
      onEvent: (name, line) => name === "message" && append(box, lines, line),
    }).catch((error) => {
      if (!mine.aborted) replace(trouble, errorNote(error));
    });
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
