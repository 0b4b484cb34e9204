"""Predictors that do what they should."""

import sys
import threading
import time
from pathlib import Path

from stream_infer.errors import ItemError, RetryableError


class Echo:
    def __init__(self, config):
        self.config = config

    def predict(self, items):
        return list(items)


class Modules:
    """Says of each module whether its process has it."""

    def __init__(self, config):
        pass

    def predict(self, items):
        return [item in sys.modules for item in items]


class Sizes:
    """Says how large the micro-batch was in which the item came."""

    def __init__(self, config):
        self.pause = config.get("pause", 0)

    def predict(self, items):
        time.sleep(self.pause)
        return [len(items)] * len(items)


class Gated:
    """Is at an item "wait" until the file `config["gate"]` is there, and says so; answers with the number of items of
    the call."""

    def __init__(self, config):
        self.gate = Path(config["gate"])

    def predict(self, items):
        if "wait" in items:
            print("at the gate", flush=True)
        while "wait" in items and not self.gate.exists():
            time.sleep(0.005)
        return [len(items)] * len(items)


class Null:
    def __init__(self, config):
        pass

    def predict(self, items):
        return [{"label": "null"}] * len(items)


class Preprocessing:
    def __init__(self, config):
        self.threads = set()

    def preprocess(self, item):
        self.threads.add(threading.current_thread().name)
        if item == "bad":
            raise ValueError("bad item")
        if item == "refused":
            raise ItemError("refused item")
        if item == "later":
            raise RetryableError("come back", retry_after=7.0)
        return item.upper()

    def predict(self, items):
        assert "MainThread" not in self.threads
        return items


class Hooked:
    def __init__(self, config):
        self.seen = 0

    def predict(self, items):
        self.seen += len(items)
        return items

    def on_job_complete(self, job):
        print(f"job {job.id} is complete after {self.seen} items with {job.config}")
        if job.config.get("fail"):
            raise ValueError("the hook fails")


class Assorted:
    """Each item names the output that it wants."""

    def __init__(self, config):
        pass

    def predict(self, items):
        wanted = {
            "text": "plain",
            "bytes": b"\x00\x01",
            "none": None,
            "set": {"deep": [1, {2}]},
            "nan": {"score": float("nan")},
            "null": {"score": None},
            "keys": {1: "one"},
            "reject": ValueError("this one not"),
            "retry": RetryableError("busy", retry_after=3.0),
        }
        return [wanted[item] for item in items]


class Greeting:
    """Greets as the item's job says; without a job, and without a word, by "hello"."""

    def __init__(self, config):
        self.default = config.get("greeting", "hello")

    def preprocess(self, item):
        return str(item)

    def predict(self, items, job):
        greeting = self.default if job is None else job.config.get("greeting", self.default)
        return [f"{greeting} {item} of {len(items)}" for item in items]
