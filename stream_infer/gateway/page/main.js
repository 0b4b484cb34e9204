// Which page is shown, and what all of them share: the head, the key, what is said to screen readers.

import { apiPage } from "./api.js";
import { askForKey, dismiss } from "./dialogs.js";
import { el, replace, set, setText } from "./elements.js";
import { jobPage } from "./job.js";
import { overview } from "./overview.js";
import { gateway } from "./requests.js";
import { submitPage } from "./submit.js";

const main = document.getElementById("main");
const said = document.getElementById("said");
const trouble = document.getElementById("trouble");
const PAGES = [
  [/^\/jobs\/([^/]+)$/, (context, id) => jobPage({ ...context, id }), "overview"],
  [/^\/apis\/([^/]+)$/, (context, name) => apiPage({ ...context, name }), "overview"],
  [/^\/submit$/, submitPage, "submit"],
  [/^\/?$/, overview, "overview"],
];
let leaving = new AbortController();
let isFirst = true;
// What the page that is shown does with another key.
let withKey = show;

/** Told to screen readers when they have nothing else to tell. */
function say(text) {
  setText(said, "");
  setTimeout(() => setText(said, text), 50);
}

const head = (text) => el("h1", { tabindex: "-1" }, text);

function show() {
  dismiss();
  leaving.abort();
  leaving = new AbortController();
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  const context = { signal: leaving.signal, head, say, query: new URLSearchParams(search) };
  const { page, names, section } = placeOf(path);
  const { title, nodes, rekeyed = show } = page(context, ...names);
  withKey = rekeyed;
  document.title = `${title} · stream-infer`;
  for (const one of document.querySelectorAll("nav a")) set(one, "aria-current", one.dataset.page === section ? "page" : null);
  replace(main, nodes);
  if (!isFirst) {
    // A new page begins at its head, for the eyes and for a screen reader.
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
  isFirst = false;
}

/** Anybody may write any address: one that is no name of anything leads nowhere. */
function placeOf(path) {
  for (const [pattern, page, section] of PAGES) {
    const found = pattern.exec(path);
    if (found !== null) {
      try {
        return { page, names: found.slice(1).map(decodeURIComponent), section };
      } catch {
        break;
      }
    }
  }
  return { page: nowhere, names: [], section: null };
}

function nowhere() {
  return { title: "Nothing here", nodes: [head("Nothing here"), el("p", {}, "There is no such page. ", el("a", { href: "#/" }, "Overview"))] };
}

async function takeKey(why) {
  if (await askForKey(why)) withKey();
}

// The first sentence says what is wrong; those behind it are about command lines.
gateway.addEventListener("key-wanted", ({ detail }) => takeKey(/^.*?\.(?=\s|$)/s.exec(detail)?.[0] ?? detail));
gateway.addEventListener("away", () => setText(trouble, "The gateway does not answer. This page tries on."));
gateway.addEventListener("reached", () => setText(trouble, ""));
document.getElementById("key-button").addEventListener("click", () => takeKey(null));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
// A file that is dropped beside its place would be opened in the page's stead, and what is in a form be gone.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
addEventListener("hashchange", show);
show();
