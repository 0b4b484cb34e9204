// Throughput over time as a picture, and the same as a table for who cannot see it.

import { el, replace, setText, svg, table } from "./elements.js";
import { duration, moment, number, rate } from "./words.js";

const HEIGHT = 170;
const LEFT = 52;
const BOTTOM = 22;
const TOP = 12;
const RIGHT = 8;
const LEAST_WIDTH = 240;

/** {node, update(points), fail(error)}; points are {at, ended, rate}, the oldest first: `rate` held from the point before. */
export function throughputPlot(signal) {
  const picture = svg("svg", { class: "plot", height: HEIGHT, role: "img", "aria-label": "Throughput" });
  const told = el("p", { class: "told muted" });
  const { node: rows, body } = table("Throughput by time", [
    { text: "Time" },
    { text: "Items ended", class: "n" },
    { text: "Items a second", class: "n" },
  ]);
  const asTable = el("details", {}, el("summary", {}, "As a table"), rows);
  const node = el("figure", { class: "throughput" }, picture, told, asTable);
  let points = [];
  let empty = "";

  const draw = () => {
    const width = Math.max(LEAST_WIDTH, Math.floor(node.clientWidth));
    picture.setAttribute("width", width);
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    if (points.length < 2) {
      replace(picture, svg("text", { x: width / 2, y: HEIGHT / 2, class: "empty", "text-anchor": "middle" }, empty));
      return;
    }
    replace(picture, drawn(points, width));
  };

  const update = (now) => {
    points = now;
    empty = "Nothing has ended yet";
    const stretches = points.slice(1);
    const words = summary(points);
    picture.setAttribute("aria-label", words);
    setText(told, words);
    replace(
      body,
      stretches.map((one) =>
        el("tr", {}, el("td", {}, moment(one.at)), el("td", { class: "n" }, number(one.ended)), el("td", { class: "n" }, rate(one.rate))),
      ),
    );
    draw();
  };

  const fail = (error) => setText(told, `This cannot be brought up to date: ${error.message}`);

  picture.addEventListener("pointermove", (event) => {
    const under = pointUnder(points, event.offsetX, picture.clientWidth);
    if (under) setText(told, `${moment(under.at)}: ${rate(under.rate)} items a second, ${number(under.ended)} ended`);
  });
  picture.addEventListener("pointerleave", () => setText(told, summary(points)));
  const watching = new ResizeObserver(draw);
  watching.observe(node);
  signal.addEventListener("abort", () => watching.disconnect());
  return { node, update, fail };
}

function summary(points) {
  if (points.length < 2) return "Nothing has ended yet.";
  const first = points[0];
  const last = points[points.length - 1];
  const seconds = last.at - first.at;
  const mean = seconds > 0 ? Math.max(0, last.ended - first.ended) / seconds : 0;
  const peak = Math.max(...points.map((one) => one.rate));
  return `${rate(mean)} items a second on average, ${rate(peak)} at most, over ${duration(seconds)}.`;
}

function scales(points, width) {
  const begin = points[0].at;
  const end = Math.max(points[points.length - 1].at, begin + 1e-3);
  const top = niceTop(Math.max(...points.map((one) => one.rate)));
  return {
    begin,
    end,
    top,
    x: (at) => LEFT + ((at - begin) / (end - begin)) * (width - LEFT - RIGHT),
    y: (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP),
  };
}

function drawn(points, width) {
  const { begin, end, top, x, y } = scales(points, width);
  const ground = y(0);
  const line = points
    .slice(1)
    .map((one, place) => `${place === 0 ? "M" : "L"}${x(points[place].at).toFixed(1)} ${y(one.rate).toFixed(1)}H${x(one.at).toFixed(1)}`)
    .join("");
  const grid = [0, top / 2, top].flatMap((value) => [
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value === 0 ? "axis" : "grid" }),
    svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, rate(value)),
  ]);
  return [
    ...grid,
    svg("path", { class: "area", d: `${line}V${ground}H${x(begin)}Z` }),
    svg("path", { class: "line", d: line }),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, moment(begin)),
    svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, moment(end)),
  ];
}

function pointUnder(points, offset, width) {
  if (points.length < 2) return null;
  const { x } = scales(points, width);
  return points.slice(1).find((one) => x(one.at) >= offset) ?? points[points.length - 1];
}

/** The next of 1, 2, 5, 10, … at or above it. */
function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

/** The last few minutes of a number, as a small line that says nothing by itself. {node, update(value)} */
export function sparkline() {
  const line = svg("polyline", { class: "line", fill: "none", points: "" });
  const node = svg("svg", { class: "spark", width: 96, height: 22, viewBox: "0 0 96 22", "aria-hidden": "true" }, line);
  const values = [];
  const update = (value) => {
    values.push(value);
    if (values.length > 96) values.shift();
    const top = Math.max(...values, 1e-9);
    const step = 96 / Math.max(values.length - 1, 1);
    const places = values.map((one, at) => `${(at * step).toFixed(1)},${(20.5 - (one / top) * 18).toFixed(1)}`);
    line.setAttribute("points", values.length > 1 ? places.join(" ") : "");
  };
  return { node, update };
}
