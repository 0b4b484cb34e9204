// What was dropped or chosen: the files, by their paths, and what a job makes of them.

const TABLES = [
  ["jsonl", /\.(jsonl|ndjson)(\.gz)?$/i],
  ["csv", /\.(csv|tsv)(\.gz)?$/i],
  ["parquet", /\.parquet$/i],
  ["tar", /\.(tar|tar\.gz|tgz)$/i],
];

const TOLD_EACH = 500;

const isHidden = (path) => path.split("/").some((part) => part.startsWith("."));

const inOrder = (files) => files.sort((one, other) => (one.name < other.name ? -1 : Number(one.name > other.name)));

/** Of a file input; a folder's files have their path in it. Hidden files are left out, as they are of a directory. */
export function chosenFiles(input) {
  const files = [...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
  return inOrder(files.filter(({ name }) => !isHidden(name)));
}

/** Of a drop, folders to any depth; `onFound(count)` now and then. The entries have to be taken before the first await: then
 * the browser forgets them. */
export async function droppedFiles(transfer, onFound) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return inOrder([...transfer.files].map((file) => ({ name: file.name, file })));
  const found = [];
  const waiting = entries.map((entry) => [entry, entry.name]);
  while (waiting.length > 0) {
    const [entry, path] = waiting.pop();
    try {
      if (entry.isFile) found.push({ name: path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
      else waiting.push(...(await entriesOf(entry)).map((one) => [one, `${path}/${one.name}`]));
    } catch (error) {
      throw new Error(`${path} cannot be read: ${error.message}`);
    }
    if (found.length % TOLD_EACH === 1) onFound(found.length);
  }
  return inOrder(found.filter(({ name }) => !isHidden(name)));
}

/** A browser gives at most 100 at a time. */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** The kind of source that the files are: one table or archive is read as such, anything else is packed, a file an item. */
export function kindOf(files) {
  const table = files.length === 1 ? TABLES.find(([, ending]) => ending.test(files[0].name)) : undefined;
  return table?.[0] ?? "packed";
}
