"""The null model as a native predictor: what is left is stream-infer's own cost."""

from collections.abc import Mapping, Sequence


class Null:
    def __init__(self, config: Mapping[str, object]) -> None:
        pass

    def predict(self, items: Sequence[object]) -> list[object]:
        return [{"label": "null"}] * len(items)
