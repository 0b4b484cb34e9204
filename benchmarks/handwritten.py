"""What a user would write by hand: one thread, confluent-kafka, a transaction every 200 ms, no isolation of anything.

It does not retry, split, dead-letter, fetch, count or survive its model. It is the measure of what those may cost.
"""

from __future__ import annotations

import argparse
import time

import orjson
from confluent_kafka import Consumer, Message, Producer

COMMIT_S = 0.2
BATCH = 256


def predict(items: list[object]) -> list[object]:
    """The null model."""
    return [{"label": "null"}] * len(items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--items", type=int, required=True)
    options = parser.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": f"handwritten-{options.target}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "transactional.id": f"handwritten-{options.target}",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
        }
    )
    producer.init_transactions()
    consumer.subscribe([options.source])
    run(consumer, producer, options.target, options.items)
    consumer.close()


def run(consumer: Consumer, producer: Producer, target: str, items: int) -> None:
    done = 0
    begun = False
    last_commit = time.monotonic()
    while done < items:
        messages = [message for message in consumer.consume(BATCH, 0.1) if is_record(message)]
        if messages:
            if not begun:
                producer.begin_transaction()
                begun = True
            outputs = predict([orjson.loads(message.value() or b"null") for message in messages])
            for message, output in zip(messages, outputs, strict=True):
                producer.produce(target, orjson.dumps(output), message.key())
            producer.poll(0)
            done += len(messages)
        if begun and (time.monotonic() - last_commit >= COMMIT_S or done >= items):
            places = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata())
            producer.commit_transaction()
            begun = False
            last_commit = time.monotonic()


def is_record(message: Message) -> bool:
    if message.error() is not None:
        raise SystemExit(str(message.error()))
    return True


if __name__ == "__main__":
    main()
