"""Items and messages as a test needs them."""

from stream_infer.headers import read_item
from stream_infer.records import Headers, Item, Message


def message_at(
    topic: str = "items",
    partition: int = 0,
    offset: int = 0,
    value: bytes | None = b"{}",
    headers: Headers = (),
    key: bytes | None = None,
) -> Message:
    return Message(topic, partition, offset, key, value, headers, 0)


def item_at(
    topic: str = "items",
    partition: int = 0,
    offset: int = 0,
    value: bytes | None = b"{}",
    headers: Headers = (),
    key: bytes | None = None,
) -> Item:
    return read_item(message_at(topic, partition, offset, value, headers, key))
