"""A process that reads topics from their beginning, and prints each record as a line of JSON, until nobody reads it.

A process of its own, because librdkafka (2.16) may take its process down when a broker names no leader for a partition.
Called with the bootstrap servers and the topics. A line is topic, partition, offset, key, the item's id, and the value
where it is text.
"""

import json
import sys
import time
from collections.abc import Sequence

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.headers import Header
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings

EVERY_S = 0.1


def line_of(message: Message, values_of: Sequence[str]) -> str:
    item_id = (dict(message.headers).get(Header.ITEM_ID.value) or b"").decode()
    value = (message.value or b"").decode() if message.topic in values_of else ""
    key = (message.key or b"").decode(errors="replace")
    return json.dumps([message.topic, message.partition, message.offset, key, item_id, value])


def main() -> None:
    """Arguments: bootstrap servers, topics of which the values are told too, the other topics; by comma."""
    bootstrap, values_of, others = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what it tells
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    readers = [TopicReader(kafka, topic) for topic in (*values_of, *others)]
    while True:
        for reader in readers:
            try:
                messages = reader.poll(0.02)
            except StreamInferError:
                continue
            for message in messages:
                print(line_of(message, values_of))
        try:
            print(flush=True)
        except BrokenPipeError:
            sys.exit(0)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
