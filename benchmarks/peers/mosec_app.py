"""mosec: one worker process, orjson in place of its json; batches of one item where it is told so.

BENCH_MODEL=null BENCH_BATCH=32 python mosec_app.py --address 127.0.0.1 --port PORT
"""

from __future__ import annotations

import os
from typing import Any

import orjson
from mosec import Server, Worker

from benchmarks.realtime_model import WAIT_MS, model_of

_BATCH = int(os.environ["BENCH_BATCH"])


class Served(Worker):
    def __init__(self) -> None:
        super().__init__()
        self._model = model_of(os.environ["BENCH_MODEL"])

    def deserialize(self, data: bytes) -> Any:
        return orjson.loads(data)

    def serialize(self, data: Any) -> bytes:
        return orjson.dumps(data)

    def forward(self, data: Any) -> Any:
        return self._model.predict(data) if _BATCH > 1 else self._model.predict([data])[0]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Served, num=1, max_batch_size=_BATCH, max_wait_time=WAIT_MS if _BATCH > 1 else 0)
    server.run()
