"""Faust: an agent over batches, offsets committed behind them, at least once; no transactions, reads uncommitted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import faust
import orjson
from arguments import BATCH, WAIT_S, predict, read_arguments


def main() -> None:
    told = read_arguments()
    app = faust.App(
        told.group,
        broker=f"kafka://{told.bootstrap}",
        datadir=told.scratch,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0.005,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(told.source, **raw)
    target = app.topic(told.target, **raw)

    @app.agent(source)
    async def label(items: Any) -> AsyncIterator[None]:
        async for events in items.take_events(BATCH, within=WAIT_S):
            outputs = predict([orjson.loads(event.value) for event in events])
            for event, output in zip(events, outputs, strict=True):
                await target.send(key=event.key, value=orjson.dumps(output))
            yield None

    faust.Worker(app, loglevel="WARNING", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
