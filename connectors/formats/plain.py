"""What most formats have nothing of: objects beside the object, and schemas that could disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from stream_infer.ports import ItemObject, ResultLines


class PlainFormat:
    def items(self, lines: ResultLines) -> Iterator[ItemObject]:  # noqa: ARG002 - as every format's
        return iter(())

    def shape_of(self, data: bytes) -> str | None:  # noqa: ARG002 - as above
        return None

    def agree(self, shapes: Collection[str]) -> bool:  # noqa: ARG002 - as above
        return True

    def plain(self, data: bytes) -> bytes:
        return data
