// Files as one tar archive (POSIX.1-2001), which is how a folder travels in one upload. The files themselves are not
// read here: a Blob refers to them, and the browser reads them as it sends.

const BLOCK = 512;
const TEXT = new TextEncoder();
const MOST_BY_NAME = 100;
const MOST_OCTAL = 8 ** 11;

/** A Blob of `files`, each {name, file}: the name is the path within the archive. */
export function tarOf(files) {
  const parts = [];
  for (const { name, file } of files) {
    const bytes = TEXT.encode(name);
    const records = [];
    if (bytes.length > MOST_BY_NAME || bytes.length !== name.length) records.push(record("path", name));
    if (file.size >= MOST_OCTAL) records.push(record("size", String(file.size)));
    if (records.length > 0) {
      const data = joined(records);
      parts.push(header(TEXT.encode("PaxHeader"), data.length, "x", file), data, padding(data.length));
    }
    parts.push(header(bytes.subarray(0, MOST_BY_NAME), file.size, "0", file), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

function header(name, size, type, file) {
  const block = new Uint8Array(BLOCK);
  const put = (at, text) => block.set(TEXT.encode(text), at);
  const octal = (value, digits) => Math.floor(value).toString(8).padStart(digits, "0");
  block.set(name, 0);
  put(100, "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, `${octal(size < MOST_OCTAL ? size : 0, 11)}\0`);
  put(136, `${octal(Math.max(0, (file.lastModified ?? 0) / 1000), 11)}\0`);
  put(148, "        ");
  put(156, type);
  put(257, "ustar\u000000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${octal(sum, 6)}\0 `);
  return block;
}

/** "length key=value" and a line end; the length counts all of it, itself included. */
function record(key, value) {
  const rest = TEXT.encode(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return joined([TEXT.encode(String(length)), rest]);
}

function joined(arrays) {
  const whole = new Uint8Array(arrays.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of arrays) {
    whole.set(one, at);
    at += one.length;
  }
  return whole;
}

const padding = (size) => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
