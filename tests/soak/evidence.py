"""What is there when all is over: topics read `read_committed`, objects by manifest, calls, logs. Judges nothing."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.s3 import S3Access
from connectors.stores import open_store
from stream_infer.dead_letters import DeadLetter, read_dead_letter
from stream_infer.headers import read_item
from stream_infer.jobs.log_lines import decode_line
from stream_infer.jobs.manifest import MANIFEST_NAME, JobManifest, ManifestRecord, decode_manifest, job_folder
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.groups import group_lag
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import REFERENCE, Item, Message
from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import ApiTopics, Topics, group_specs, retry_tiers

READ_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Call:
    """One micro-batch, as the predictor has written it down when it began. `process` is worker and predictor, by pid.

    `takes`: the seconds that it sleeps at least.
    """

    at: float
    process: str
    names: tuple[str, ...]
    takes: float = 0.0

    @property
    def answered(self) -> float:
        """Not earlier than this."""
        return self.at + self.takes


@dataclass(frozen=True, slots=True)
class Retry:
    """A record of a retry tier. `written` is its timestamp; both times in seconds since the epoch."""

    tier: int
    attempt: int
    not_before: float
    written: float


@dataclass(slots=True)
class Evidence:
    """`statuses` are a job's rows in their order, `recorded` the committed manifest records by their objects' keys.

    Keys of objects are below the store. `lines` are what predictors printed, by the jobs in whose logs it is. `retries`
    are in the order in which they were written. `hooks`: how often each job's was asked for, in each generation;
    `completed`: how often it has run in all.
    """

    published: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    hooks: Counter[tuple[str | None, int]] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)
    retries: dict[str, list[Retry]] = field(default_factory=lambda: defaultdict(list))
    results: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    dead: dict[str, list[DeadLetter]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, list[JobStatus]] = field(default_factory=lambda: defaultdict(list))
    recorded: dict[str, ManifestRecord] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, JobManifest] = field(default_factory=dict)
    stored: dict[str, Any] = field(default_factory=dict)
    lags: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    lines: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def final(self, job_id: str) -> JobStatus | None:
        rows = self.statuses.get(job_id)
        return rows[-1] if rows else None


def gather(settings: Settings, access: S3Access, folder: Path, lags: Mapping[str, int]) -> Evidence:
    """Reads everything. Raises what reading raises: then there is nothing to judge."""
    topics = Topics(settings.kafka.topic_prefix)
    found = Evidence(lags=dict(lags))
    for api in settings.apis:
        _gather_api(settings, api, topics.api(api.name), found)
    for message in sorted(_all(settings, topics.status), key=lambda message: message.position):
        if message.key is not None and message.value is not None:
            found.statuses[message.key.decode()].append(decode_status(message.value))
    for message in _all(settings, topics.manifests):
        if message.value is not None:
            record = decode_manifest(message.value)
            found.recorded[record.key] = record
    for message in _all(settings, topics.logs):
        line = decode_line(message.key, message.value)
        if line is not None and line.source == "predictor":
            found.lines[line.job_id].add(line.line)
    _gather_objects(settings, access, found)
    found.calls = read_calls(folder / "calls")
    found.completed = Counter({file.name: file.stat().st_size for file in (folder / "completed").iterdir()})
    found.logs = {file.stem: file.read_text(errors="replace") for file in (folder / "roles").glob("*.log")}
    return found


def _gather_api(settings: Settings, api: ApiSettings, names: ApiTopics, found: Evidence) -> None:
    for message in _all(settings, names.items):
        item = read_item(message)
        if item.control is None:
            found.published[item.item_id].append(item)
        else:
            found.hooks[item.job_id, item.generation] += 1
    for tier in range(1, 1 + retry_tiers(api)):
        for message in _all(settings, names.retry(tier)):
            item = read_item(message)
            retry = Retry(tier, item.attempt, item.not_before or 0.0, message.timestamp_ms / 1000)
            found.retries[item.item_id].append(retry)
    for message in _all(settings, names.results):
        item = read_item(message)
        found.results[item.item_id].append(item)
    for message in _all(settings, names.dlq):
        letter = read_dead_letter(message)
        found.dead[letter.item.item_id].append(letter)
    for retries in found.retries.values():
        retries.sort(key=lambda retry: retry.written)


def _gather_objects(settings: Settings, access: S3Access, found: Evidence) -> None:
    store = open_store(settings.store, access)
    keys = [entry.key for entry in store.list("")]
    found.objects = {key: store.get(key) for key in keys if not key.startswith("_payloads/")}
    found.objects |= {key: b"" for key in keys if key.startswith("_payloads/")}
    for job_id, rows in found.statuses.items():
        manifest = found.objects.get(job_folder(rows[-1].api, job_id) + MANIFEST_NAME)
        if manifest is not None:
            found.manifests[job_id] = JobManifest.model_validate_json(manifest)
    root = settings.store.rstrip("/") + "/"
    for items in found.results.values():
        for item in items:
            if item.content_type == REFERENCE:
                uri = str(json.loads(item.message.value or b"")["uri"])
                found.stored[uri.removeprefix(root)] = json.loads(store.get(uri.removeprefix(root)))


def _all(settings: Settings, topic: str) -> list[Message]:
    reader = TopicReader(settings.kafka, topic)
    try:
        return reader.read_to_end(READ_WITHIN_S)
    finally:
        reader.close()


def read_calls(folder: Path) -> list[Call]:
    """A line that a killed predictor has not written to its end is none."""
    calls = []
    for file in folder.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            calls.append(Call(said["at"], file.stem, tuple(said["names"]), said["takes"]))
    return sorted(calls, key=lambda call: call.at)


def lags_of(settings: Settings) -> dict[str, int]:
    """Each group's lag. For the tracker, which commits last+1, the records that it has not folded."""
    topics = Topics(settings.kafka.topic_prefix)
    found = {}
    for group in group_specs(settings):
        lags = group_lag(settings, group.name, group.topics)
        if group.name != topics.tracker_group:
            found[group.name] = sum(lags.values())
        else:
            found[group.name] = _unread(settings, group.topics, lags)
    return found


def _unread(settings: Settings, read: Sequence[str], lags: Mapping[tuple[str, int], int]) -> int:
    if not any(lags.values()):
        return 0
    count = 0
    for topic in read:
        reader = TopicReader(settings.kafka, topic)
        try:
            ends = reader.ends()
            places = {number: end - lags[topic, number] for number, end in ends.items()}
            count += sum(message.offset >= places[message.partition] for message in reader.read_to_end())
        finally:
            reader.close()
    return count
