"""Pictures in chat requests, as OpenAI's clients send them: what a torchvision model sees in each.

stream-infer -f examples/openai_batch/stream-infer.yaml up, and then docs/coming-from-openai.md.
"""

from __future__ import annotations

import binascii
import secrets
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from stream_infer.errors import UndecodableItem
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.predictors.torchvision import TorchvisionClassifier


class ChatClassifier:
    """The body of a /v1/chat/completions request in, whose last message has a picture as a base64 data URL; a chat
    completion out, with the label as the assistant's words, and all of `top` beside it. What else a body says is left.

    `config`: `model`, `weights` and `config` as a predictor of type torchvision has them.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        spec = PredictorSpec("torchvision", config["model"], config.get("config", {}), config.get("weights"))
        self._classifier = TorchvisionClassifier.from_spec(spec)
        self._model = spec.target

    def preprocess(self, item: Any) -> Any:
        return self._classifier.preprocess(picture_in(item))

    def collate(self, items: Sequence[Any]) -> Any:
        return self._classifier.collate(items)

    def predict(self, batch: Any) -> list[Any]:
        outputs = self._classifier.predict(batch)
        return [one if isinstance(one, Exception) else self._completion(one) for one in outputs]

    def warmup(self) -> None:
        self._classifier.warmup()

    def _completion(self, output: Mapping[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": output["label"]}
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "top": output["top"],
        }


def picture_in(body: Any) -> bytes:
    """Raises UndecodableItem where there is none."""
    try:
        parts = body["messages"][-1]["content"]
        [url] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        _, mark, data = url.partition(";base64,")
        if not mark:
            raise ValueError("its url is no base64 data URL")
        return b64decode(data, validate=True)
    except (LookupError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        raise UndecodableItem(f"the last message has no picture that can be read: {error}") from None
