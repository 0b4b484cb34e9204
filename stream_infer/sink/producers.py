"""A transactional producer that is ready, or none at all."""

from __future__ import annotations

from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.settings import KafkaSettings


def start_producer(kafka: KafkaSettings, transactional_id: str) -> TransactionalProducer:
    """Fences every earlier producer of this id. Raises ServiceUnavailable or Fenced, and leaves nothing behind then."""
    producer = TransactionalProducer(kafka, transactional_id)
    try:
        producer.initialise()
    except BaseException:
        producer.close()
        raise
    return producer
