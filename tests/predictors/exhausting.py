"""Predictors that run out of memory, each in its own way."""

import resource
import sys
import time
from pathlib import Path

MIB = 1 << 20


class OnDevice:
    """Raises what PyTorch raises when a micro-batch holds more than `most` in all; an item is what it takes.

    Answers with the sizes of its micro-batches so far.
    """

    def __init__(self, config):
        import torch

        self.torch = torch
        self.most = config["most"]
        self.sizes = []

    def predict(self, items):
        self.sizes.append(len(items))
        if sum(items) > self.most:
            raise self.torch.cuda.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {sum(items)} GiB. GPU 0 has a total capacity of {self.most} GiB"
            )
        return [self.sizes] * len(items)


class OnDeviceInCollate(OnDevice):
    def collate(self, items):
        super().predict(items)
        return items

    def predict(self, items):
        return items


class Limited:
    """May take `room` MiB more than it has when it is loaded; an item takes as many MiB as it says."""

    def __init__(self, config):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = taken + config["room"] * MIB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def predict(self, items):
        held = [bytearray(item * MIB) for item in items]
        return [len(each) // MIB for each in held]


class InSmallPieces(Limited):
    """Takes its memory object by object, so that nothing is left when it runs out."""

    def predict(self, items):
        held = [[bytes(1000 + n % 7) for n in range(item * 1000)] for item in items]
        return [len(each) // 1000 for each in held]


class InPreprocess(Limited):
    def preprocess(self, item):
        return bytearray(item * MIB)

    def predict(self, items):
        return [len(each) // MIB for each in items]


class Touching(Limited):
    """Touches every page of it."""

    def predict(self, items):
        held = [bytearray(b"x") * MIB for item in items for _ in range(item)]
        return [len(held)] * len(items)


class ToTheBrim:
    """Takes as many MiB as an item says, or its config, and touches every page, in steps, until somebody ends it."""

    def __init__(self, config):
        self.base = _take(config.get("base", 0))

    def predict(self, items):
        held = [_take(item) for item in items]
        print("held", sum(map(len, held)), "MiB", file=sys.stderr)
        return items


def _take(mebibytes):
    """In steps: who looks at the memory now and then is to see it grow."""
    taken = []
    for _ in range(mebibytes):
        taken.append(bytearray(b"x") * MIB)
        time.sleep(0.005)
    return taken
