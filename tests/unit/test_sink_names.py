"""Object names say where a record came from, and no two writers can give the same."""

import pytest

from stream_infer.jobs.manifest import Kind
from stream_infer.sink.names import Destination, ObjectName, hour_of, is_job_id, new_instance, object_key, read_name

NAME = ObjectName(Kind.RESULTS, 3, 1234, 2, "0f3a5b7c9d1e")


def test_a_jobs_object_lies_in_the_folder_of_its_kind() -> None:
    key = object_key("echo", Destination("j1", 2), NAME)

    assert key == "echo/j1/results/results-p00003-o00000000000000001234-g2-0f3a5b7c9d1e.jsonl"


def test_an_object_of_no_job_lies_in_its_hour_under_the_apis_name() -> None:
    key = object_key("echo", Destination(None, hour="dt=2025-01-31/hour=23"), NAME)

    assert key == "stream/dt=2025-01-31/hour=23/echo-results-p00003-o00000000000000001234-g2-0f3a5b7c9d1e.jsonl"


@pytest.mark.parametrize(
    "destination", [Destination("j1", 2), Destination(None, 2, "dt=2025-01-31/hour=23")], ids=["job", "stream"]
)
def test_a_name_is_read_back_even_where_the_apis_name_looks_like_one(destination: Destination) -> None:
    assert read_name(object_key("results-p00001", destination, NAME)) == NAME


@pytest.mark.parametrize("key", ["echo/j/manifest.json", "echo/j/_SUCCESS", "echo/j/results/mine.jsonl", ""])
def test_what_the_sink_did_not_name_is_nobodys_business(key: str) -> None:
    assert read_name(key) is None


@pytest.mark.parametrize("text", ["../../etc", "a/b", "", ".", "..", "_pending", "a\nb", "x" * 129, "dt=1"])
def test_a_job_id_that_could_lead_elsewhere_is_none(text: str) -> None:
    assert not is_job_id(text)


def test_instances_differ() -> None:
    assert new_instance() != new_instance()


@pytest.mark.parametrize(
    ("timestamp_ms", "hour"),
    [
        (1738367999999, "dt=2025-01-31/hour=23"),
        (-1, "dt=1970-01-01/hour=00"),
        (2**62, "dt=9999-12-31/hour=23"),
    ],
)
def test_the_hour_is_that_of_the_record_in_utc(timestamp_ms: int, hour: str) -> None:
    assert hour_of(timestamp_ms) == hour
