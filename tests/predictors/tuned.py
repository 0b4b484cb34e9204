"""Predictors whose micro-batches are as large as serves them."""

import os
import signal
import time


class Clocked:
    """Does up to 16 items in the time of one; answers with how many it was given.

    By a clock of its own, which is what a call is timed with in here: a busy machine does not change what is found.
    """

    def __init__(self, config):
        self.now = 0.0
        time.perf_counter = lambda: self.now

    def example(self):
        return {"any": "item"}

    def predict(self, items):
        self.now += 0.02 * max(1, len(items) / 16)
        return [len(items)] * len(items)


class WithoutExample:
    def __init__(self, config):
        pass

    def predict(self, items):
        return items


class FailsWithItsExample:
    def __init__(self, config):
        pass

    def example(self):
        return 0

    def predict(self, items):
        return [1 / item for item in items]


class FallsOver:
    """Takes its process down with more than 8 items, and with an item that says so."""

    def __init__(self, config):
        pass

    def example(self):
        return 0

    def predict(self, items):
        time.sleep(0.02)
        if len(items) > 8 or "fall" in items:
            os.kill(os.getpid(), signal.SIGSEGV)
        return [len(items)] * len(items)
