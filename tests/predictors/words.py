"""Counts words; what a text says may make it fail, or its process."""

import ctypes
import os
import time
from pathlib import Path

from stream_infer.errors import RetryableError


class Words:
    """`pause`: seconds a call. `mended`: what is wrong no more. `fail_all`: nothing works."""

    def __init__(self, config):
        self.pause = config.get("pause", 0.0)
        self.mended = config.get("mended", False)
        self.fails = config.get("fail_all", False)
        self.seen = Path(config["seen"]) if "seen" in config else None

    def predict(self, items):
        time.sleep(self.pause)
        for text in items:
            if self.fails or (text.startswith("poison") and not self.mended):
                raise ValueError("poison in the batch")
            if text.startswith("crash"):
                ctypes.string_at(0)
            if text.startswith("later") and self.seen and not self.seen.exists():
                self.seen.write_text("once")
                raise RetryableError("come again")
            if text.startswith("exit"):
                os._exit(3)
        return [{"words": len(text.split())} for text in items]
