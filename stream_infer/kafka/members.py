"""Who is in consumer groups at the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.settings import KafkaSettings

_TIMEOUT_S = 5.0


class GroupMembers:
    """Asked again and again by one client. One thread at a time uses it; `client_ids` may block."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._admin: AdminClient | None = None

    def client_ids(self, groups: Sequence[str]) -> Mapping[str, list[str]]:
        """The client ids of each group's members; of one that does not exist there are none.

        Raises ServiceUnavailable, or StreamInferError for what the broker does not let us see.
        """
        if self._admin is None:
            self._admin = AdminClient(client_config(self._kafka, "members"))
        return member_ids(self._admin, groups, self._kafka.bootstrap)


def member_ids(admin: AdminClient, groups: Sequence[str], where: str) -> dict[str, list[str]]:
    """As GroupMembers.client_ids."""
    if not groups:
        return {}
    found: dict[str, list[str]] = {}
    for group, future in admin.describe_consumer_groups(list(groups), request_timeout=_TIMEOUT_S).items():
        try:
            found[group] = [member.client_id for member in future.result().members]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise translate(error, f"describing group {group}", where) from error
            found[group] = []
    return found
