// Asking before something is done, and asking for a key.

import { setText } from "./elements.js";
import { hasKey, useKey } from "./requests.js";

const WHY = "Sent with every request of this page. It is kept in this tab only, and forgotten when the tab is closed.";
const ask = document.getElementById("ask-dialog");
const key = document.getElementById("key-dialog");
const field = document.getElementById("key-field");

/** Whether the person wants it. Escape means no; the focus comes back to where it was. */
export function confirmed({ title, text, action }) {
  setText(document.getElementById("ask-title"), title);
  setText(document.getElementById("ask-text"), text);
  setText(document.getElementById("ask-yes"), action);
  ask.returnValue = "no";
  ask.showModal();
  return new Promise((resolve) => {
    ask.addEventListener("close", () => resolve(ask.returnValue === "yes"), { once: true });
  });
}

/** What was asked is asked no more: the page that it was about is left. */
export function dismiss() {
  if (ask.open) ask.close("no");
}

/** Whether another key is used from now on. An empty field forgets the one that was. */
export function askForKey(why = null) {
  if (key.open) return Promise.resolve(false);
  setText(document.getElementById("key-why"), why === null ? WHY : `${why} ${WHY}`);
  field.value = "";
  field.placeholder = hasKey() ? "a key is in use; leave empty to forget it" : "";
  key.returnValue = "cancel";
  key.showModal();
  return new Promise((resolve) => {
    key.addEventListener("close", () => {
      const saves = key.returnValue === "save";
      if (saves) useKey(field.value.trim());
      field.value = "";
      resolve(saves);
    }, { once: true });
  });
}

// Enter would press the form's first button, which is to cancel.
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    key.close("save");
  }
});
