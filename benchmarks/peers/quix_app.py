"""Quix Streams, exactly once. Functions get rows one by one: it has no micro-batch without a stateful window."""

from __future__ import annotations

import orjson
from arguments import COMMIT_S, WAIT_S, predict, read_arguments
from quixstreams import Application


def main() -> None:
    told = read_arguments()
    app = Application(
        broker_address=told.bootstrap,
        consumer_group=told.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_S,
        # The default of 1 s would hold the last commit back until it has passed without a record.
        consumer_poll_timeout=WAIT_S,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5},
        state_dir=told.scratch,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    source = app.topic(told.source, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(told.target, key_serializer="bytes", value_serializer="bytes")
    rows = app.dataframe(source)
    rows = rows.apply(lambda value: orjson.dumps(predict([orjson.loads(value)])[0]))
    rows.to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
