"""Where everybody stands, seen from outside while faults are injected: groups' places, records that came out."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_infer.jobs.status import JobStatus, decode_status

ROOT = Path(__file__).parents[2]
SLACK = 20
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """`places` are the groups' committed offsets, `ends` the logs' ends, `owners` the members that read a partition.

    `at` in seconds since the epoch.
    """

    at: float
    places: Mapping[str, Mapping[Partition, int]]
    ends: Mapping[Partition, int]
    owners: Mapping[str, Mapping[Partition, str]]

    def is_idle(self, group: str, partition: Partition) -> bool:
        """Nothing waits for the group there.

        Faust commits the last record's offset + 1: markers and what was aborted may stand behind it.
        """
        slack = SLACK if group.endswith(".tracker") else 0
        return self.ends[partition] - self.places[group].get(partition, 0) <= slack


def standing(before: Sample, now: Sample, groups: Iterable[str]) -> list[str]:
    """Where something waits for a group that has not got on since `before`.

    A partition whose owner has got on with another one has its turn still to come.
    """
    return [
        f"{group}: {topic}[{number}] at {now.places[group][topic, number]} of {now.ends[topic, number]}"
        for group in groups
        for topic, number in _standing(before, now, group)
    ]


def _standing(before: Sample, now: Sample, group: str) -> list[Partition]:
    places, owners = now.places[group], now.owners[group]
    moved = {partition for partition, place in places.items() if place > before.places[group].get(partition, 0)}
    working = {owners[partition] for partition in moved if partition in owners}
    return [
        partition
        for partition in places
        if partition not in moved and owners.get(partition) not in working and not now.is_idle(group, partition)
    ]


class Told:
    """Runs a process that tells line by line, and another one where it has ended, until closed."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._ending = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name=module, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join()

    def renew(self) -> None:
        """Ends the process, so that another one takes its place: it may hang in librdkafka as well as anybody."""
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        while not self._ending.wait(0.1):
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
            )
            with self._process as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if self._ending.is_set():
                        process.kill()
                    elif line.strip() and line.endswith("\n"):  # not what a process that crashed was just saying
                        self.take(json.loads(line))

    def take(self, said: Any) -> None:
        raise NotImplementedError


class Watch(Told):
    """Keeps the latest sample until closed. A broker that is away leaves a gap."""

    def __init__(self, bootstrap: str, groups: Mapping[str, Sequence[str]]) -> None:
        super().__init__("tests.soak.sampler", bootstrap, json.dumps(groups))
        self._lock = threading.Condition()
        self._latest: Sample | None = None

    def after(self, at: float, within_s: float) -> Sample | None:
        """The first sample that was begun after `at`; None where there is none in time."""
        with self._lock:
            self._lock.wait_for(lambda: self._latest is not None and self._latest.at >= at, within_s)
            return self._latest if self._latest is not None and self._latest.at >= at else None

    def take(self, said: dict[str, Any]) -> None:
        sample = Sample(
            at=said["at"],
            places={group: _by_partition(places) for group, places in said["places"].items()},
            ends=_by_partition(said["ends"]),
            owners={group: _by_partition(owners) for group, owners in said["owners"].items()},
        )
        with self._lock:
            self._latest = sample
            self._lock.notify_all()


def _by_partition(listed: list[list[Any]]) -> dict[Partition, Any]:
    return {(topic, number): value for topic, number, value in listed}


@dataclass(slots=True)
class Seen:
    """What has come out so far: how many `records` and their items' ids, results and dead letters, and each job's
    `status`."""

    ids: set[str] = field(default_factory=set)
    status: dict[str, JobStatus] = field(default_factory=dict)
    places: set[tuple[str, int, int]] = field(default_factory=set)

    @property
    def records(self) -> int:
        return len(self.places)


class Tally(Told):
    """Follows results, dead letters and status, as any consumer would."""

    def __init__(self, bootstrap: str, outputs: Sequence[str], status: str) -> None:
        super().__init__("tests.soak.teller", bootstrap, status, ",".join(outputs))
        self.seen = Seen()
        self._status = status
        self._reached: dict[int, int] = {}

    def take(self, said: list[Any]) -> None:
        """A process that follows another one tells everything again."""
        topic, partition, offset, key, item_id, value = said
        if topic != self._status:
            self.seen.places.add((topic, partition, offset))
            self.seen.ids.add(item_id)
        elif offset > self._reached.get(partition, -1):
            self._reached[partition] = offset
            if key and value:
                self.seen.status[key] = decode_status(value.encode())
