"""Predictors with `collate`."""

import threading

from failing import Failing, Poisoned


class Collating:
    """Sums of what it collated; None is refused."""

    def __init__(self, config):
        self.thread = ""

    def preprocess(self, item):
        if item is None:
            raise ValueError("nothing to be collated")
        return item + 1

    def collate(self, items):
        self.thread = threading.current_thread().name
        return tuple(items)

    def predict(self, batch):
        assert isinstance(batch, tuple)
        assert self.thread.startswith("collate")
        return [[item, len(batch)] for item in batch]


class FailingInCollate(Failing):
    def collate(self, items):
        return super().predict(items)

    def predict(self, items):
        return items


class PoisonedInCollate(Poisoned):
    def collate(self, items):
        return super().predict(items)

    def predict(self, items):
        return items
