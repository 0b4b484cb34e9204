"""Which topics a sink reads: those of all APIs, which may come and go."""

from __future__ import annotations

from collections.abc import Mapping

from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.definitions import CurrentSettings
from stream_infer.sink.flush import Outlet, outlets


class Subscription:
    """Of one consumer, and for its thread."""

    def __init__(self, apis: CurrentSettings) -> None:
        self._apis = apis
        self._seen = apis.settings
        self._outlets: Mapping[str, Outlet] = outlets(self._seen)

    @property
    def is_empty(self) -> bool:
        return not self._outlets

    def outlet(self, topic: str) -> Outlet:
        return self._outlets[topic]

    def begin(self, consumer: GroupConsumer) -> None:
        consumer.subscribe(outlets(self._seen))

    def renew(self, consumer: GroupConsumer) -> None:
        """Whose topics stay, stays assigned. What was read of an API that has gone, and is not committed, is read again
        should it come back."""
        now = self._apis.settings
        if now is self._seen:
            return
        self._seen = now
        self._outlets = {**self._outlets, **outlets(now)}  # records of one that has gone may be on their way yet
        self.begin(consumer)
