"""A predictor that is wrong until a file says that it was mended."""

from pathlib import Path

from stream_infer.errors import ItemError


class NegativeNumber(ItemError):
    """The item will be refused as often as it comes."""


class Mending:
    """Refuses every item whose `n` is below 0, until the file `mended` is there."""

    def __init__(self, config):
        self.mended = Path(config["mended"])

    def predict(self, items):
        bad = not self.mended.exists()
        return [NegativeNumber("negative") if bad and item["n"] < 0 else {"n": item["n"]} for item in items]
