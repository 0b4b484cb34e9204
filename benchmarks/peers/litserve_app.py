"""LitServe: one API server and one worker, its faster queue; batches of one item where it is told so.

python litserve_app.py MODEL PORT BATCH
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

from benchmarks.realtime_model import WAIT_MS, model_of


class Api(litserve.LitAPI):
    def __init__(self, model: str, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=WAIT_MS / 1000 if batch > 1 else 0.0)
        self._name, self._batch = model, batch

    def setup(self, device: str) -> None:  # noqa: ARG002
        self._model = model_of(self._name)

    def decode_request(self, request):  # untyped: a type would be the request's model
        return request

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, x: Any) -> Any:
        return self._model.predict(x) if self._batch > 1 else self._model.predict([x])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    name, port, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    server = litserve.LitServer(Api(name, batch), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
