"""Records that the binding cannot write but others can: made with its librdkafka, straight from C."""

import ctypes
from pathlib import Path

import confluent_kafka

_END, _TOPIC, _VALUE, _KEY, _MSGFLAGS, _HEADER = 0, 1, 4, 5, 7, 9
_PRODUCER, _COPY = 0, 2
_FLUSH_MS = 30_000


def produce_with_header(bootstrap_servers: str, topic: str, key: bytes, value: bytes, name: bytes) -> None:
    """One record whose header is called `name`, which need not be UTF-8."""
    [library] = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*")
    kafka = ctypes.CDLL(str(library))
    for function in (kafka.rd_kafka_conf_new, kafka.rd_kafka_new):
        function.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    kafka.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap_servers.encode(), error, len(error))
    producer = ctypes.c_void_p(kafka.rd_kafka_new(_PRODUCER, conf, error, len(error)))
    assert producer, error.value
    size = ctypes.c_size_t
    try:
        failed = kafka.rd_kafka_producev(
            producer, _TOPIC, topic.encode(), _MSGFLAGS, _COPY, _VALUE, value, size(len(value)), _KEY, key,
            size(len(key)), _HEADER, name, b"x", ctypes.c_ssize_t(1), _END,
        )  # fmt: skip
        assert failed == 0
        assert kafka.rd_kafka_flush(producer, _FLUSH_MS) == 0
    finally:
        kafka.rd_kafka_destroy(producer)
