"""Predictors that never come up."""

import ctypes
import os
import sys
import time
from pathlib import Path


class Raising:
    def __init__(self, config):
        raise OSError("no such weights: model.bin")

    def predict(self, items):
        return items


class ColdOnly:
    def __init__(self, config):
        pass

    def warmup(self):
        raise RuntimeError("the warm-up batch does not fit")

    def predict(self, items):
        return items


class Slow:
    def __init__(self, config):
        time.sleep(3600)

    def predict(self, items):
        return items


class Crashing:
    def __init__(self, config):
        print("loading the library", file=sys.stderr, flush=True)
        ctypes.string_at(0)

    def predict(self, items):
        return items


class WithoutConfig:
    def __init__(self):
        pass

    def predict(self, items):
        return items


class WithoutPredict:
    def __init__(self, config):
        pass

    def predicts(self, items):
        return items


class Fickle:
    """Cannot be loaded while the file `obstacle` is there."""

    def __init__(self, config):
        if Path(config["obstacle"]).read_text():
            raise RuntimeError("an obstacle")

    def predict(self, items):
        return items


class ThirdTimeLucky:
    """Fails to load twice, in the way that `how` says; `counter` is a file that counts."""

    def __init__(self, config):
        counter = Path(config["counter"])
        tries = int(counter.read_text() or "0") + 1 if counter.exists() else 1
        counter.write_text(str(tries))
        if tries > 2:
            return
        match config["how"]:
            case "hang":
                time.sleep(3600)
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                sys.exit(5)
            case "leave":
                os._exit(6)

    def predict(self, items):
        return items


not_a_class = 1
