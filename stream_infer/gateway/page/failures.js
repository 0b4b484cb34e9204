// Dead letters by their reason, each with a look at its payload; and running them again.

import { confirmed } from "./dialogs.js";
import { button, el, foreign, replace, Rows, set, setText, table } from "./elements.js";
import { carriedOut, errorNote, items, time } from "./pieces.js";
import { get, getBlob, post } from "./requests.js";
import { bytes, counted, lastPart, moment, number } from "./words.js";

const LISTED = 20;
const MOST_REASONS = 100;
const LONGEST_SHOWN = 20_000;
// Looking through the topic costs the gateway seconds where there are many.
const LOOK_EVERY_S = 10;

/** Of a job, or of an API for a `path` of one. {node, update(job)}: updates look again where more has failed. */
export function failures({ signal, say, path, onReplayed = () => {}, isApi = false }) {
  const trouble = el("div");
  const outcome = el("div");
  const summary = el("p", { class: "muted" }, "Nothing has failed.");
  const { node: list, body } = table("Failures by reason", [
    { text: "Items", class: "n" }, { text: "Reason" }, { text: "Newest message", class: "wide" }, { text: "When", class: "wide" },
    { text: el("span", { class: "unseen" }, "Actions") },
  ]);
  set(list, "hidden", true);
  const looking = button("Look again", () => look());
  const replaying = button("Run all again", () => replay({}, null), { hidden: true });
  const opened = el("div", { class: "opened" });
  const title = el("h2", { id: "failures-head", tabindex: "-1" }, "Failures");
  const node = el(
    "section", { class: "card", "aria-labelledby": "failures-head" },
    el("div", { class: "line" }, title, el("div", { class: "actions" }, replaying, looking)),
    trouble, outcome, summary, list, opened,
  );
  const rows = new Rows(body, groupRow);
  let canReplay = isApi;
  let known = null;
  let lookedAt = 0;
  let isLooking = false;
  let isBehind = false;
  let shown = null;

  /** Where it is under way, once more behind it: what has failed since it began may not be in it. */
  const look = async () => {
    isBehind = true;
    if (isLooking) return;
    isLooking = true;
    while (isBehind) {
      isBehind = false;
      await carriedOut(looking, trouble, async () => {
        lookedAt = Date.now();
        known = await get(`${path}/dlq?limit=1`, signal);
        show();
      });
    }
    isLooking = false;
  };

  function show() {
    const count = known.groups.reduce((sum, group) => sum + group.count, 0);
    const again = known.replayed > 0 ? ` ${number(known.replayed)} ${known.replayed === 1 ? "was" : "were"} run again.` : "";
    const older = known.is_complete ? "" : " Older ones were not looked at.";
    const listed = known.groups.length > MOST_REASONS ? `; the ${MOST_REASONS} most frequent are listed` : "";
    const reasons = counted(known.groups.length, "reason") + listed;
    setText(summary, `${count === 0 ? "Nothing has failed." : `${items(count)} failed, for ${reasons}.`}${again}${older}`);
    set(list, "hidden", count === 0);
    set(replaying, "hidden", !canReplay || count === 0);
    rows.show(known.groups.slice(0, MOST_REASONS), (group) => `${group.stage} ${group.exception}`);
  }

  function groupRow(first) {
    let group = first;
    const named = `that failed with ${lastPart(first.exception)} in ${first.stage}`;
    const showing = button("Show", () => open(group), { "aria-label": `Show items ${named}` });
    const again = button("Run again", () => replay({ stage: group.stage, exception: group.exception }, group), { "aria-label": `Run items again ${named}` });
    const count = el("td", { class: "n" });
    const message = el("td", { class: "wide message" });
    const when = el("td", { class: "wide" });
    const reason = el("th", { scope: "row", title: first.exception },
      foreign(lastPart(first.exception)), el("span", { class: "muted stage" }, "in ", foreign(first.stage)));
    const update = (now) => {
      group = now;
      setText(count, number(now.count));
      replace(message, foreign(now.message, "span"));
      replace(when, time(now.first), moment(now.last) !== moment(now.first) ? [" – ", time(now.last)] : null);
      set(again, "hidden", !canReplay);
    };
    return { node: el("tr", {}, count, reason, message, when, el("td", { class: "actions" }, showing, again)), update };
  }

  async function open(group) {
    const query = new URLSearchParams({ limit: LISTED, stage: group.stage, exception: group.exception });
    replace(opened, el("p", { class: "muted" }, "Looking…"));
    shown = group;
    try {
      const { dead_letters: letters } = await get(`${path}/dlq?${query}`, signal);
      if (shown !== group) return; // another reason was asked for since
      const title = el("h3", { tabindex: "-1" }, foreign(lastPart(group.exception)), ` in ${group.stage}`);
      const more = group.count > letters.length ? el("p", { class: "muted" }, `The newest ${letters.length} of ${number(group.count)}.`) : null;
      replace(opened, el("div", { class: "line" }, title, button("Close", () => replace(opened))), more,
        el("ul", { class: "letters" }, letters.map((letter) => letterEntry(letter, path, signal))));
      title.focus();
    } catch (error) {
      if (!signal.aborted && shown === group) replace(opened, errorNote(error));
    }
  }

  async function replay(which, group) {
    const count = group === null ? known.groups.reduce((sum, one) => sum + one.count, 0) : group.count;
    const sure = await confirmed({
      title: group === null ? "Run all failed items again?" : `Run ${items(count)} again?`,
      text: isApi
        ? "Those that belong to no job go back into the API's topic. Those of a job are run again from the job's own page."
        : `${items(count)} go back into the topic, and the job opens for another run. Their results are added to the others.`,
      action: "Run again",
    });
    if (!sure) return;
    replace(outcome, el("p", { class: "muted" }, "Running again…"));
    const done = await carriedOut(replaying, trouble, () => post(`${path}/dlq/replay`, JSON.stringify(which)));
    replace(outcome);
    if (done === undefined) return;
    const refused = done.refused.length > 0 ? ` ${items(done.refused.length)} cannot run again: ${done.refused[0].reason}` : "";
    const ofJobs = done.of_jobs > 0 ? ` ${items(done.of_jobs)} belong to jobs.` : "";
    const rest = done.is_complete ? "" : " That is how far it is: the gateway goes on with it.";
    const told = `${items(done.replayed)} run again.${ofJobs}${refused}${rest}`;
    replace(outcome, el("p", { class: "note" }, foreign(told, "span")));
    say(told);
    replace(opened);
    // The button's row may go, and the focus would go with it.
    if (list.contains(document.activeElement)) title.focus({ preventScroll: true });
    onReplayed();
    look();
  }

  let seen = "";
  const update = (job) => {
    const { rejected, reopened } = job.counts;
    if (canReplay !== job.is_final) {
      canReplay = job.is_final;
      if (known !== null) show();
    }
    const now = `${rejected} ${reopened} ${job.is_final}`;
    if (rejected + reopened === 0 || now === seen) return;
    if (!job.is_final && Date.now() - lookedAt < LOOK_EVERY_S * 1000) return;
    seen = now;
    look();
  };
  if (isApi) look();
  return { node, update };
}

function letterEntry(letter, path, signal) {
  const detail = el("div", { class: "detail" });
  const opening = button("Look", async () => {
    const isOpen = opening.getAttribute("aria-expanded") === "true";
    set(opening, "aria-expanded", isOpen ? "false" : "true");
    if (isOpen) {
      replace(detail);
      return;
    }
    replace(detail, el("p", { class: "muted" }, "Looking…"));
    try {
      const found = await get(`${path}/dlq/${encodeURIComponent(letter.ref)}`, signal);
      replace(detail, letterDetail(found, path, signal));
    } catch (error) {
      if (!signal.aborted) replace(detail, errorNote(error));
    }
  }, { "aria-expanded": "false", "aria-label": `Look at item ${letter.item_id}` });
  return el(
    "li", {},
    el("div", { class: "line" },
      el("span", {}, foreign(letter.custom_id ?? letter.item_id), letter.is_replayed ? " (runs again)" : null), time(letter.timestamp), opening),
    el("p", { class: "message" }, foreign(letter.message, "span")), detail,
  );
}

function letterDetail(letter, path, signal) {
  const preview = el("div", { class: "preview" });
  showPayload(preview, letter, path, signal);
  const said = letter.log.map((line) => `${moment(line.at)} ${line.who} ${line.line}`).join("\n");
  return [
    el("dl", { class: "facts long" },
      pair("Item", letter.item_id), pair("Source", letter.source), pair("Attempt", number(letter.attempt)), pair("Worker", letter.worker),
      pair("Payload", `${letter.content_type}, ${bytes(letter.payload_bytes)}`)),
    preview,
    letter.stacktrace && folded("Stack", letter.stacktrace),
    said && folded("What workers said around it", said),
  ].filter(Boolean);
}

function pair(name, value) {
  return value === null || value === "" ? null : el("div", {}, el("dt", {}, name), el("dd", {}, foreign(value)));
}

function folded(title, text) {
  return el("details", {}, el("summary", {}, title), shownText(text, title));
}

function shownText(text, label) {
  const cut = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}\n… ${number(text.length - LONGEST_SHOWN)} more characters` : text;
  return el("pre", { class: "foreign", tabindex: "0", role: "group", "aria-label": label }, cut);
}

const isReference = (letter) => letter.content_type.startsWith("application/vnd.stream-infer.ref+json");

/** Text as text, a picture as a picture; what is elsewhere is brought when asked for, or where it says it is a picture. */
function showPayload(place, letter, path, signal) {
  const { payload, payload_encoding: encoding } = letter;
  const parts = [];
  if (encoding === "json") parts.push(shownText(JSON.stringify(payload, null, 2), "Payload"));
  if (encoding === "text") parts.push(shownText(payload, "Payload"));
  if (encoding === "none") parts.push(el("p", { class: "muted" }, "It has no payload."));
  const named = isReference(letter) ? String(payload?.content_type ?? payload?.uri ?? "") : letter.content_type;
  const mayBePicture = named.startsWith("image/") || /\.(jpe?g|png|gif|webp|bmp|avif)$/i.test(named);
  const brought = el("div");
  if (encoding === "base64" || isReference(letter) || mayBePicture) {
    const bring = () => showBytes(brought, letter, path, signal);
    if (mayBePicture) bring();
    else brought.append(button("Bring the payload", bring));
  }
  replace(place, parts, brought);
}

async function showBytes(place, letter, path, signal) {
  replace(place, el("p", { class: "muted" }, "Bringing the payload…"));
  try {
    const blob = await getBlob(`${path}/dlq/${encodeURIComponent(letter.ref)}/payload`, signal);
    if (blob === null) {
      replace(place, el("p", { class: "muted" }, "It has no payload."));
      return;
    }
    const where = URL.createObjectURL(blob);
    signal.addEventListener("abort", () => URL.revokeObjectURL(where));
    // The gateway calls a picture only what begins like one; anything else is offered as a file, and never shown.
    replace(place, blob.type.startsWith("image/")
      ? el("img", { src: where, alt: `Payload of item ${letter.item_id}`, class: "picture" })
      : el("a", { href: where, download: `payload-${letter.ref}` }, `The payload as a file (${bytes(blob.size)})`));
  } catch (error) {
    if (!signal.aborted) replace(place, errorNote(error));
  }
}
