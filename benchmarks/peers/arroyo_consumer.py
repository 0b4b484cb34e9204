"""Arroyo: offsets are committed once a second behind what is produced, at least once; no transactions."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import FrameType

import orjson
from arguments import BATCH, WAIT_S, Arguments, predict, read_arguments
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer
from arroyo.backends.kafka.configuration import build_kafka_configuration, build_kafka_consumer_configuration
from arroyo.commit import ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory, Produce, RunTask
from arroyo.processing.strategies.batching import BatchStep, UnbatchStep, ValuesBatch
from arroyo.types import Commit, Message, Partition, Topic


def labelled(message: Message[ValuesBatch[KafkaPayload]]) -> ValuesBatch[KafkaPayload]:
    batch = message.payload
    outputs = predict([orjson.loads(value.payload.value) for value in batch])
    return [
        value.replace(KafkaPayload(value.payload.key, orjson.dumps(output), []))
        for value, output in zip(batch, outputs, strict=True)
    ]


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    def __init__(self, told: Arguments) -> None:
        self._target = Topic(told.target)
        given = {"compression.type": "lz4", "linger.ms": 5}
        self._producer = KafkaProducer(
            build_kafka_configuration(given, bootstrap_servers=[told.bootstrap]), use_simple_futures=True
        )

    def create_with_partitions(
        self,
        commit: Commit,
        partitions: Mapping[Partition, int],  # noqa: ARG002 - Arroyo's own signature
    ) -> ProcessingStrategy[KafkaPayload]:
        produced = Produce(self._producer, self._target, CommitOffsets(commit))
        return BatchStep(BATCH, WAIT_S, RunTask(labelled, UnbatchStep(produced)))


def main() -> None:
    told = read_arguments()
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {}, told.group, auto_offset_reset="earliest", bootstrap_servers=[told.bootstrap]
        )
    )
    processor = StreamProcessor(consumer, Topic(told.source), Factory(told), ONCE_PER_SECOND)

    def stop(_number: int, _frame: FrameType | None) -> None:
        processor.signal_shutdown()

    signal.signal(signal.SIGTERM, stop)
    processor.run()


if __name__ == "__main__":
    main()
