// Elements without markup: whatever is put into one is text. Nothing in this page writes HTML, and the page's
// Content-Security-Policy makes the browser refuse it.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`on` holds listeners; false and null leave one out) and children: nodes, texts, lists. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else {
      set(node, name, value);
    }
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false).map(asNode));
  return node;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** An attribute as it should be; untouched where it is. */
export function set(node, name, value) {
  if (value === false || value === null || value === undefined) {
    node.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** A text as it should be; untouched where it is, so that a selection stays and a screen reader is not told again. */
export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function replace(node, ...children) {
  node.replaceChildren(...children.flat(2).filter(Boolean).map(asNode));
}

/** Text that comes from items, models or whoever submitted a job: set apart, so that it cannot turn what is beside it. */
export function foreign(text, tag = "bdi") {
  return el(tag, { class: "foreign" }, text);
}

/** Rows by key: a row stays the same element while its item changes, so that focus stays where it is. */
export class Rows {
  #rows = new Map();
  #parent;
  #make;

  /** `make(item)` gives {node, update(item)}. */
  constructor(parent, make) {
    this.#parent = parent;
    this.#make = make;
  }

  show(items, keyOf) {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of this.#rows) {
      if (!keys.has(key)) {
        row.node.remove();
        this.#rows.delete(key);
      }
    }
    let at = this.#parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      if (!this.#rows.has(key)) this.#rows.set(key, this.#make(item));
      const row = this.#rows.get(key);
      row.update(item);
      if (row.node === at) at = at.nextElementSibling;
      else this.#parent.insertBefore(row.node, at);
    }
  }
}

/** A table that scrolls by itself where it is too wide, by keyboard, too. `columns`: [{text, class}]. */
export function table(label, columns) {
  const body = el("tbody");
  const heads = columns.map(({ text, class: kind }) => el("th", { scope: "col", class: kind ?? null }, text));
  const node = el(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
    el("table", {}, el("caption", { class: "unseen" }, label), el("thead", {}, el("tr", {}, heads)), body),
  );
  return { node, body };
}

/** Names and values, each value an element to be written to: {node, values: {name: element}}. */
export function facts(names) {
  const values = {};
  const node = el(
    "dl",
    { class: "facts" },
    Object.entries(names).map(([name, label]) => {
      values[name] = el("dd");
      return el("div", {}, el("dt", {}, label), values[name]);
    }),
  );
  return { node, values };
}

export function button(text, listener, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click: listener } }, text);
}
