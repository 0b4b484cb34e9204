"""What a request would cost without any server: decode, predict, encode, in a loop.

python -m benchmarks.realtime_direct MODEL SECONDS
"""

from __future__ import annotations

import json
import sys
import time

import orjson

from benchmarks.realtime_client import quantile
from benchmarks.realtime_model import body_of, model_of


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    model, body = model_of(name), body_of(name)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    before = time.perf_counter()
    while before < end:
        orjson.dumps(model.predict([orjson.loads(body)])[0])
        now = time.perf_counter()
        taken.append(now - before)
        before = now
    taken.sort()
    found = {"p50": 1e3 * quantile(taken, 0.5), "p99": 1e3 * quantile(taken, 0.99), "worst": 1e3 * taken[-1]}
    print(json.dumps({"rate": len(taken) / sum(taken), **found, "cpu": 1.0, "other": 0}))


if __name__ == "__main__":
    main()
