"""Predictors that fail on items of their name, each in its own way."""

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from stream_infer.errors import RetryableError

MOST_FILES = 1000
"""Whoever starts this process may have hundreds of files open, and what it is given has numbers behind them."""


def write_to_sockets(data):
    for fd in range(3, MOST_FILES):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, data)


class Panic(BaseException):
    """No Exception."""


class Failing:
    """Does to the process what an item asks for; other items are echoed."""

    def __init__(self, config):
        self.config = config

    def predict(self, items):
        for item in items:
            self.suffer(item)
        return items

    def suffer(self, item):  # noqa: C901, PLR0912 - a table of harms
        match item:
            case "raise":
                raise ValueError("poison in the batch")
            case "segfault":
                print("about to read address 0", file=sys.stderr, flush=True)
                ctypes.string_at(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit(3)
            case "leave":
                os._exit(4)
            case "abort":
                os.abort()
            case "drain":
                write_to_sockets(b"siw1" + b"\xff" * 8 + b"nonsense")
                time.sleep(60)
            case "panic":
                raise Panic("as in an extension in Rust")
            case "hang":
                self.hang_here()
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "close":
                os.closerange(3, MOST_FILES)
                time.sleep(60)
            case "garble":
                write_to_sockets(b"GET / HTTP/1.1\r\n")
                time.sleep(60)
            case "retry":
                raise RetryableError("the service is busy", retry_after=12.0)
            case {"retry_after": wish}:
                raise RetryableError("the service is busy", retry_after=wish)
            case {"print": count}:
                for number in range(count):
                    print("line", number, flush=True)

    def hang_here(self):
        time.sleep(3600)

    def on_job_complete(self, job):
        self.suffer(job.config.get("do"))


class CrashingOnce(Failing):
    """Dies on the first call after a file was asked for; the next process lives."""

    def predict(self, items):
        try:
            Path(self.config["trap"]).unlink()
        except FileNotFoundError:
            return items
        os.kill(os.getpid(), signal.SIGKILL)
        return None


class CrashingInPreprocess(Failing):
    def preprocess(self, item):
        self.suffer(item)
        return item

    def predict(self, items):
        return items


class OneShort:
    """Forgets the last output of every micro-batch that has more than `least` items."""

    def __init__(self, config):
        self.least = config.get("least", 1)

    def predict(self, items):
        return items[:-1] if len(items) > self.least else items


class NoList:
    def __init__(self, config):
        pass

    def predict(self, items):
        return None


class WithGrandchild:
    """Has a process of its own that keeps every descriptor open."""

    def __init__(self, config):
        pass

    def warmup(self):
        self.grandchild = subprocess.Popen(["sleep", "600"], close_fds=False)

    def predict(self, items):
        return [self.grandchild.pid] * len(items)


class Poisoned:
    """As with CUDA: after one error that poisons the context, everything in this process fails."""

    def __init__(self, config):
        self.error = None
        self.says = config.get("says", "CUDA error: device-side assert triggered")
        self.returned = config.get("returned", False)

    def predict(self, items):
        if "poison" in items and not self.error:
            self.error = RuntimeError(f"{self.says}\nCUDA kernel errors might be asynchronously reported")
        if self.error and self.returned:
            return [self.error] * len(items)
        if self.error:
            raise self.error
        return items


class CrashingWhileBusy(Failing):
    """The items "slow" keep the model busy for as long as it takes another one's preprocess to do its worst."""

    def preprocess(self, item):
        if item != "slow":
            time.sleep(0.2)
            self.suffer(item)
        return item

    def predict(self, items):
        if "slow" in items and not Path(self.config["seen"]).exists():
            Path(self.config["seen"]).touch()
            time.sleep(30)
        return items


class ExitingWithThreads(Failing):
    """sys.exit, while a thread of its own would keep the process for ever."""

    def predict(self, items):
        if "exit" in items:
            threading.Thread(target=time.sleep, args=(3600,)).start()
            sys.exit("no more of this")
        return items
