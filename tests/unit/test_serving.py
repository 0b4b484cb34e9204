"""What a worker says of the API that it serves."""

import pytest

from stream_infer.cli import serving
from stream_infer.definitions import ApiState, Definition, decode_report
from stream_infer.kafka import publisher
from stream_infer.records import OutgoingRecord
from stream_infer.settings import Settings


def test_secrets_in_what_an_installer_or_a_constructor_says_are_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []

    class Publisher:
        def __init__(self, *_given: object) -> None: ...

        def publish(self, records: list[OutgoingRecord]) -> None:
            told.extend(record.value for record in records if record.value is not None)

        def close(self) -> None: ...

    monkeypatch.setattr(publisher, "Publisher", Publisher)
    definition = Definition(name="cats", revision="r1", definition={}, at=0.0)

    serving.report(Settings(), definition, ApiState.FAILED, "no answer of https://joe:s3cretword@pip.example/simple")

    [value] = told
    said = decode_report(value).message
    assert "s3cretword" not in said
    assert "pip.example/simple" in said
