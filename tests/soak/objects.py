"""What lies in the store is what came out, once, as its manifests say, and nothing else. Pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator

from stream_infer.jobs.manifest import MANIFEST_NAME, SUCCESS_NAME, ManifestRecord, job_folder
from stream_infer.uploads import submission_id
from tests.soak.evidence import Evidence
from tests.soak.truth import DOUBLED, LOST, MISJUDGED, OTHER, Finding, Truth


def check_objects(truth: Truth, found: Evidence) -> Iterator[Finding]:
    named: set[str] = set(found.recorded)
    yield from _check_records("the manifest topic", found, found.recorded.values())
    for job_id, name in truth.jobs.items():
        ids = [item_id for item_id, item in truth.items.items() if item.source.name == name]
        folder = job_folder(truth.items[ids[0]].source.api.name, job_id)
        manifest = found.manifests.get(job_id)
        if manifest is None:
            yield Finding(OTHER, f"job {name} has no {MANIFEST_NAME}")
            continue
        keys = [record.key for record in manifest.objects]
        named |= {*keys, folder + MANIFEST_NAME}
        yield from _check_records(f"job {name}: its {MANIFEST_NAME}", found, manifest.objects)
        if manifest.cause is None:
            named.add(folder + SUCCESS_NAME)
            if folder + SUCCESS_NAME not in found.objects:
                yield Finding(OTHER, f"job {name} has no {SUCCESS_NAME}")
        yield from _compare(f"job {name}", truth, found, ids, keys, trimmed=True)
    stream = [key for key in found.objects if key.startswith("stream/") and not key.startswith("stream/_pending/")]
    named |= set(stream) | set(found.stored)
    # A gateway that was killed before it wrote the job leaves its inline items for a day.
    named |= {key for key in found.objects if submission_id(key) is not None}
    ids = [item_id for item_id, item in truth.items.items() if not item.source.is_job]
    yield from _compare("the streams", truth, found, ids, stream)
    orphans = sorted(set(found.objects) - named)
    if orphans:
        yield Finding(OTHER, f"{len(orphans)} objects that nothing names: {orphans[:5]}")


def _check_records(what: str, found: Evidence, records: Iterable[ManifestRecord]) -> Iterator[Finding]:
    """Each object named is there, of the size, the sum and the number of lines that are said."""
    missing, wrong = [], []
    for record in records:
        body = found.objects.get(record.key)
        if body is None:
            missing.append(record.key)
        elif (record.bytes, record.sha256, record.count) != (len(body), _sum(body), len(body.splitlines())):
            told = f"{record.count} records, {record.bytes} bytes, sha256 {record.sha256[:12]}"
            wrong.append(f"{record.key} has {len(body.splitlines())}, {len(body)}, {_sum(body)[:12]}, not {told}")
    if missing:
        yield Finding(OTHER, f"{what} names {len(missing)} objects that are not there: {missing[:3]}")
    if wrong:
        yield Finding(OTHER, f"{what} is wrong about {len(wrong)} objects: {wrong[0]}")


def _sum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _compare(
    what: str, truth: Truth, found: Evidence, ids: Iterable[str], keys: Iterable[str], *, trimmed: bool = False
) -> Iterator[Finding]:
    """`trimmed`: errors that were replayed are left out."""
    records = Counter({one: len(found.results.get(one, ())) + len(found.dead.get(one, ())) for one in ids})
    if trimmed:
        records -= Counter(one for one in records if one in truth.replayed)
    lines = [json.loads(line) for key in keys for line in found.objects.get(key, b"").splitlines()]
    stored = Counter(str(line["item_id"]) for line in lines)
    less, more = +(records - stored), +(stored - records)
    if less:
        yield Finding(LOST, f"{what}: {less.total()} records are in no object, {list(less)[:3]} among them")
    if more:
        yield Finding(DOUBLED, f"{what}: objects hold {more.total()} records too many, {list(more)[:3]} among them")
    stripped = [line for line in lines if not _bears_what_was_published(line, found)]
    if stripped:
        yield Finding(MISJUDGED, f"{what}: {len(stripped)} lines lack their item's key or source: {stripped[0]}")


def _bears_what_was_published(line: dict[str, object], found: Evidence) -> bool:
    given = [
        ((item.message.key or b"").decode(errors="replace"), item.source or "")
        for item in found.published[str(line["item_id"])]
    ]
    return not given or (line.get("key", ""), line.get("source", "")) in given
