// Numbers, times and states as a person reads them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

export const number = (value) => WHOLE.format(value);

export const rate = (value) => (value >= 100 ? WHOLE.format(value) : SHORT.format(value));

export function counted(value, name) {
  return `${number(value)} ${value === 1 ? name : `${name}s`}`;
}

/** Seconds: 0.3 s, 42 s, 3 min 5 s, 2 h 10 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds < 10) return `${SHORT.format(Math.max(0, Math.round(seconds * 10) / 10))} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : SHORT.format(value)} ${units[unit]}`;
}

/** Seconds since 1970 as a time of today, with the day where it is another one. Anybody may write any time into a record. */
export function moment(at) {
  const date = dateOf(at);
  if (date === null) return "at no time";
  const day = DAY.format(date);
  return day === DAY.format(new Date()) ? CLOCK.format(date) : `${day}, ${CLOCK.format(date)}`;
}

/** Null for what is no time at all. */
export function dateOf(at) {
  const date = new Date(at * 1000);
  return Number.isNaN(date.getTime()) ? null : date;
}

const STATES = {
  validating: ["validating", "wait"],
  enqueuing: ["enqueuing", "wait"],
  running: ["running", "live"],
  stopping: ["stopping", "wait"],
  finalizing: ["finalizing", "live"],
  succeeded: ["succeeded", "done"],
  completed_with_failures: ["completed with failures", "bad"],
  stopped: ["stopped", "done"],
  timed_out: ["timed out", "bad"],
  failed: ["failed", "bad"],
  live: ["live", "done"],
  idle: ["idle", "done"],
  starting: ["starting", "wait"],
  hindered: ["hindered", "bad"],
  unknown: ["unknown", "wait"],
};

/** Of a job or an API: what it is called, and its tone: wait, live, done or bad. */
export function state(name) {
  const [word, tone] = STATES[name] ?? [String(name), "wait"];
  return { word, tone };
}

export const JOB_STATES = [
  "validating", "enqueuing", "running", "stopping", "finalizing", "succeeded", "completed_with_failures", "stopped",
  "timed_out", "failed",
];

/** The last part of an exception's name, which is what people know it by. */
export const lastPart = (name) => name.slice(name.lastIndexOf(".") + 1) || name;
