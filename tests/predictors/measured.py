"""A predictor of which there is something to count."""

from stream_infer.errors import ItemError, RetryableError


class Measured:
    """Echoes, but for what it refuses, and what it asks to come again much later."""

    def __init__(self, config):
        pass

    def predict(self, items):
        return [self._judged(item) for item in items]

    def _judged(self, item):
        if item == "refused":
            return ItemError("refused")
        if item == "later":
            return RetryableError("later", retry_after=600.0)
        return item
