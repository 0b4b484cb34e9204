"""A model that takes its time, so that there is a middle in which something can be killed."""

import time


class Steady:
    """Each call takes `pause` seconds; an item that says so fails alone."""

    def __init__(self, config):
        self.pause = config["pause"]

    def predict(self, items):
        time.sleep(self.pause)
        if any(item["poison"] for item in items):
            raise ValueError("poison in the batch")
        return [{"twice": item["n"] * 2} for item in items]
