"""A predictor whose outputs are files: so many bytes as are asked for, with a type of their own."""

from typing import Any

from stream_infer.records import Payload


class Drawing:
    def __init__(self, config: dict[str, Any]) -> None: ...

    def predict(self, items: list[int]) -> list[Payload]:
        return [Payload(b"\x89PNG" + b"." * size, "image/png") for size in items]
