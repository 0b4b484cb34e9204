"""Predictors whose trouble ends; what they were called with stands in `folder`, one file a process."""

import os
import sqlite3
import time
from pathlib import Path

import orjson

from stream_infer.errors import RetryableError


class Recording:
    def __init__(self, config):
        self.folder = Path(config["folder"])
        self.pause = config.get("pause", 0.0)
        self.file = (self.folder / f"calls-{os.getpid()}").open("a")

    def record(self, items):
        self.file.writelines(orjson.dumps(item).decode() + "\n" for item in items)
        self.file.flush()

    def predict(self, items):
        self.record(items)
        time.sleep(self.pause)
        return items


class Transient(Recording):
    """Each item fails `times` times, whichever process has it."""

    def __init__(self, config):
        super().__init__(config)
        self.times = config["times"]
        self.counts = sqlite3.connect(self.folder / "counts.db", isolation_level=None, timeout=30)
        self.counts.execute("create table if not exists seen (item text primary key, number int)")

    def predict(self, items):
        self.record(items)
        return [self.one(item) for item in items]

    def one(self, item):
        query = "insert into seen values (?, 1) on conflict do update set number = number + 1 returning number"
        [[number]] = self.counts.execute(query, (orjson.dumps(item),)).fetchall()
        return RetryableError("not yet") if number <= self.times else item


class Breakable(Recording):
    """Neither loads nor predicts while the file `broken` is there."""

    def __init__(self, config):
        super().__init__(config)
        self.check()

    def check(self):
        if (self.folder / "broken").exists():
            raise RuntimeError("it is broken")

    def predict(self, items):
        self.check()
        return super().predict(items)


class Picky(Recording):
    def predict(self, items):
        if "bad" in items:
            raise ValueError("a bad item")
        return items
