"""Who is measured: how each is started, and what it does not do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import API, Lane

_HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-infer"
# `make bench` builds it from peers/requirements.txt, outside the tree.
PEERS_PYTHON = Path(os.environ.get("BENCH_PEERS") or _CACHE / "bench-peers") / "bin" / "python"

WORKER, JOB_WORKER = "worker", "worker, job items"
HANDWRITTEN_TUNED = "hand-written and tuned, transactions"
HANDWRITTEN_TX, HANDWRITTEN = "hand-written, transactions", "hand-written"
HANDWRITTEN_JOB_TX = "hand-written, job items, transactions"
QUIX = "Quix Streams, exactly once"


@dataclass(frozen=True, slots=True)
class Contestant:
    """`command` is one process that reads a lane's source and writes its target until it is ended.

    `of_job`: it is given items with a job's headers. `share` of the items are enough for it: it is that slow.
    """

    name: str
    command: Callable[[Lane], list[str]]
    guarantee: str
    lacks: str
    is_ours: bool = False
    of_job: bool = False
    share: float = 1.0
    needs: Path | None = None

    @property
    def is_there(self) -> bool:
        return self.needs is None or self.needs.exists()


def _worker(lane: Lane) -> list[str]:
    return lane.role("worker", API)


def handwritten(*options: str) -> Callable[[Lane], list[str]]:
    def command(lane: Lane) -> list[str]:
        return [sys.executable, "-m", "benchmarks.handwritten", *_where(lane), *options]

    return command


def _peer(file: str) -> Callable[[Lane], list[str]]:
    def command(lane: Lane) -> list[str]:
        return [str(PEERS_PYTHON), str(_HERE / "peers" / file), *_where(lane), "--scratch", str(lane.folder)]

    return command


def _where(lane: Lane) -> list[str]:
    return ["--bootstrap", lane.bootstrap, "--source", lane.source, "--target", lane.target, "--group", lane.group]


OURS = Contestant(WORKER, _worker, "exactly once", "", is_ours=True)
OURS_OF_JOB = Contestant(JOB_WORKER, _worker, "exactly once", "", is_ours=True, of_job=True)
BY_HAND_TX = Contestant(
    HANDWRITTEN_TX, handwritten(), "exactly once", "no isolation, retries, dead letters, headers, ids or progress"
)
BY_HAND_JOB_TX = Contestant(
    HANDWRITTEN_JOB_TX,
    handwritten("--headers"),
    "exactly once",
    "no isolation, retries, dead letters or progress; it carries the headers on",
    of_job=True,
)
BY_HAND_TUNED = Contestant(
    HANDWRITTEN_TUNED,
    handwritten("--tuned"),
    "exactly once",
    "as above; it knows librdkafka's fetch.queue.backoff.ms",
)
BY_HAND_UNREAD = Contestant(
    "hand-written and tuned, items unread",
    handwritten("--tuned", "--unread"),
    "exactly once",
    "as above, and it has no model: as fast as items come",
)
BY_HAND = Contestant(
    HANDWRITTEN, handwritten("--plain"), "at least once", "as above, and no transactions: a crash repeats results"
)
PEERS: Sequence[Contestant] = (
    Contestant(
        QUIX,
        _peer("quix_app.py"),
        "exactly once",
        "no isolation, retries or dead letters; the model is called with one item at a time",
        needs=PEERS_PYTHON,
    ),
    Contestant(
        "Bytewax",
        _peer("bytewax_flow.py"),
        "none without its recovery store",
        "no commits (a restart begins anew), no transactions, no isolation, no consumer group",
        needs=PEERS_PYTHON,
    ),
    Contestant(
        "Arroyo",
        _peer("arroyo_consumer.py"),
        "at least once",
        "no transactions, no isolation; commits once a second",
        share=0.3,
        needs=PEERS_PYTHON,
    ),
    Contestant(
        "Faust",
        _peer("faust_app.py"),
        "at least once",
        "no transactions, no isolation; reads uncommitted, so it begins while the topic is still being filled",
        share=0.06,
        needs=PEERS_PYTHON,
    ),
)
EVERYBODY: Sequence[Contestant] = (OURS, BY_HAND_TX, BY_HAND_TUNED, BY_HAND, *PEERS, OURS_OF_JOB, BY_HAND_JOB_TX)
"""At 100 B."""
BIG_ITEMS: Sequence[Contestant] = (
    OURS,
    BY_HAND_TX,
    BY_HAND_TUNED,
    BY_HAND_UNREAD,
    PEERS[0],
    OURS_OF_JOB,
    BY_HAND_JOB_TX,
)
"""At 1 KB and 100 KB: those with the same guarantee."""
