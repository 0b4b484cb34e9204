"""What a user would write by hand: one thread, confluent-kafka, a transaction every 200 ms, no isolation of anything.

It does not retry, split, dead-letter, fetch, count or survive its model. It is the measure of what those may cost. It
commits as the worker does: at once when it has caught up, else every 200 ms. `--plain` is the same without
transactions: results go out as they come, offsets are committed behind them. `--tuned` fetches again at once: by
default librdkafka waits for a second once 100,000 messages lie in its queue, and this loop with it, every second.
`--headers` carries each message's headers on to its result, which can then be told by its ids. `--unread` answers
without a look at what it was sent: as fast as items of that size come at all.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TypeAlias

import orjson
from confluent_kafka import Consumer, Message, Producer

COMMIT_S = 0.2
# The worker's default `max_wait_ms`.
WAIT_S = 0.02

Produce: TypeAlias = Callable[[list[Message]], None]


def predict(items: list[object]) -> list[object]:
    """The null model."""
    return [{"label": "null"}] * len(items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "source", "target", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--headers", action="store_true")
    parser.add_argument("--unread", action="store_true")
    options = parser.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
        | ({"fetch.queue.backoff.ms": 10} if options.tuned else {})
    )
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            "enable.idempotence": True,
        }
        | ({} if options.plain else {"transactional.id": options.group})
    )
    if not options.plain:
        producer.init_transactions()
    consumer.subscribe([options.source])
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    loop = run_plain if options.plain else run_transactional
    produce = produce_unread if options.unread else produce_with_headers if options.headers else produce_alone
    loop(consumer, producer, partial(produce, producer, options.target), options.batch, lambda: not stopped)
    consumer.close()


def run_transactional(
    consumer: Consumer, producer: Producer, produce: Produce, batch: int, go_on: Callable[[], bool]
) -> None:
    begun = False
    last_commit = time.monotonic()
    while go_on():
        messages = [message for message in consumer.consume(batch, WAIT_S) if is_record(message)]
        if messages:
            if not begun:
                producer.begin_transaction()
                begun = True
            produce(messages)
        if begun and (len(messages) < batch or time.monotonic() - last_commit >= COMMIT_S):
            places = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata())
            producer.commit_transaction()
            begun = False
            last_commit = time.monotonic()


def run_plain(consumer: Consumer, producer: Producer, produce: Produce, batch: int, go_on: Callable[[], bool]) -> None:
    uncommitted = False
    last_commit = time.monotonic()
    while go_on():
        messages = [message for message in consumer.consume(batch, WAIT_S) if is_record(message)]
        if messages:
            produce(messages)
            uncommitted = True
        if uncommitted and (len(messages) < batch or time.monotonic() - last_commit >= COMMIT_S):
            producer.flush()
            consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
            uncommitted = False
            last_commit = time.monotonic()


def produce_alone(producer: Producer, target: str, messages: list[Message]) -> None:
    for message, output in answered(messages):
        producer.produce(target, output, message.key())
    producer.poll(0)


def produce_with_headers(producer: Producer, target: str, messages: list[Message]) -> None:
    for message, output in answered(messages):
        producer.produce(target, output, message.key(), headers=message.headers())
    producer.poll(0)


def produce_unread(producer: Producer, target: str, messages: list[Message]) -> None:
    for message in messages:
        producer.produce(target, b"null", message.key())
    producer.poll(0)


def answered(messages: list[Message]) -> Iterator[tuple[Message, bytes]]:
    outputs = predict([orjson.loads(message.value() or b"null") for message in messages])
    return zip(messages, map(orjson.dumps, outputs), strict=True)


def is_record(message: Message) -> bool:
    if message.error() is not None:
        raise SystemExit(str(message.error()))
    return True


if __name__ == "__main__":
    main()
