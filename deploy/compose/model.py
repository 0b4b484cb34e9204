"""The API of deploy/compose.yaml: a predictor that needs no PyTorch."""


class Shouter:
    """What is said, louder."""

    def __init__(self, config):
        self.mark = config.get("mark", "!")

    def predict(self, items):
        return [item["text"].upper() + self.mark for item in items]
