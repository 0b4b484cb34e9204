"""The predictor of `make soak`: each item says how it is to behave. Writes down whatever it is given."""

import ctypes
import json
import mmap
import os
import resource
import sys
import time
from pathlib import Path

from stream_infer.errors import ItemError, RetryableError

FOR_EVER_S = 3600
ADDRESS_SPACE = 2 << 30
OVERSIZE = 1 << 20


class Soaking:
    def __init__(self, config):
        self._pause = config["pause"]
        self._retry_after = config.get("retry_after", 1.5)
        self._mark_every = config.get("mark_every", 7)
        self._cured = Path(config["folder"]) / "cured"
        self._attempts = Path(config["folder"]) / "attempts"
        calls = Path(config["folder"]) / "calls" / f"{os.getppid()}-{os.getpid()}.jsonl"
        self._calls = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.RLIM_INFINITY))

    def predict(self, items):
        takes = self._pause * sum(item["kind"] != "broken" for item in items)
        line = {"at": time.time(), "names": [item["name"] for item in items], "takes": takes}
        os.write(self._calls, json.dumps(line).encode() + b"\n")
        for item in items:
            if item["n"] % self._mark_every == 0:
                print(f"this is {item['name']}", flush=True)
        time.sleep(takes)
        if self._cured.exists():
            return [self._answer({**item, "kind": KEPT.get(item["kind"])}) for item in items]
        for item in items:  # first, so that what an item says about itself is not counted in a call that is lost
            if item["kind"] in VIOLENT:
                print(f"{item['name']} is about to {item['kind']}", file=sys.stderr, flush=True)
                VIOLENT[item["kind"]]()
        return [self._answer(item) for item in items]

    def _answer(self, item):
        match item["kind"]:
            case "none":
                return None
            case "item-error":
                return ItemError("this item is refused")
            case "broken":
                return ItemError("this item is broken")
            case "hopeless":
                return RetryableError("this never works")
            case "transient" if self._attempt(item) <= 1 + item["n"] % 2:
                return RetryableError("not yet")
            case "throttled" if self._attempt(item) <= 1:
                return RetryableError("too many requests", retry_after=self._retry_after)
            case "oversize":
                return {"name": item["name"], "twice": item["n"] * 2, "rest": "x" * OVERSIZE}
        return {"name": item["name"], "twice": item["n"] * 2}

    def _attempt(self, item):
        """Counted outside of the process: the size of a file."""
        file = os.open(self._attempts / item["name"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, b".")
            return os.fstat(file).st_size
        finally:
            os.close(file)


def _raise():
    raise ValueError("this item raises")


def _eat():
    eaten = []
    try:
        while True:
            eaten.append(mmap.mmap(-1, 64 << 20))  # untouched: it takes address space, no memory
    except OSError:
        raise MemoryError from None


KEPT = {"none": "none", "oversize": "oversize"}
VIOLENT = {
    "raising": _raise,
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: sys.exit(3),
    "hang": lambda: time.sleep(FOR_EVER_S),
    "memory": _eat,
}
