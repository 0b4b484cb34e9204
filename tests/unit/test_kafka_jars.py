import hashlib
from pathlib import Path

import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.local import kafka_jars
from stream_infer.local.kafka_jars import PinnedJar, default_cache_dir, provide_kafka_jars, read_pins
from tests.support import connect_jars

GOOD = b"the pinned bytes"
PIN = PinnedJar("org.apache.kafka", "kafka-clients", "4.2.0", hashlib.sha256(GOOD).hexdigest())


def test_the_pins_name_kafka_and_a_binding_for_its_log():
    pins = read_pins(kafka_jars._PINS.read_text())

    names = {pin.file_name for pin in pins}
    assert {"kafka_2.13-4.2.0.jar", "kafka-clients-4.2.0.jar", "log4j-slf4j-impl-2.25.3.jar"} <= names
    assert len(names) == len(pins) == 46
    assert all(len(pin.sha256) == 64 for pin in pins)


@pytest.mark.parametrize("jars", [connect_jars.CONNECT, connect_jars.ICEBERG])
def test_what_the_tests_add_is_pinned_likewise_and_none_twice(jars: str):
    pins = read_pins(connect_jars.pins(jars))
    brokers = {pin.file_name for pin in read_pins(kafka_jars._PINS.read_text())}

    assert len({pin.artifact for pin in pins}) == len(pins) > 40
    assert all(len(pin.sha256) == 64 for pin in pins)
    assert jars == connect_jars.ICEBERG or brokers.isdisjoint(pin.file_name for pin in pins)


def test_the_cache_follows_xdg_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "stream-infer"

    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "stream-infer"


def test_a_jar_appears_only_once_its_bytes_are_right(tmp_path: Path):
    answers = [b"truncat", GOOD]

    def resolve() -> Path:
        path = tmp_path / "download"
        path.write_bytes(answers.pop(0))
        return path

    kafka_jars._fetch_verified(PIN, resolve, tmp_path)

    assert (tmp_path / PIN.file_name).read_bytes() == GOOD
    assert answers == []


def test_a_jar_that_cannot_be_had_is_one_clear_error(tmp_path: Path):
    def resolve() -> Path:
        raise ConnectionError("no route to host")

    with pytest.raises(
        ServiceUnavailable, match=r"kafka-clients-4\.2\.0\.jar cannot be had.*no route to host.*network"
    ):
        kafka_jars._fetch_verified(PIN, resolve, tmp_path)
    assert not (tmp_path / PIN.file_name).exists()


def test_a_half_filled_cache_is_completed_with_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pins = read_pins(kafka_jars._PINS.read_text())
    libs = tmp_path / "kafka-4.2.0"
    libs.mkdir()
    for pin in pins[2:]:
        (libs / pin.file_name).touch()
    fetched: list[PinnedJar] = []
    monkeypatch.setattr(kafka_jars, "_download", lambda missing, _: fetched.extend(missing))
    said: list[str] = []

    assert provide_kafka_jars(tmp_path, said.append) == libs

    assert fetched == pins[:2]
    assert "2 jars" in said[0]


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(ServiceUnavailable, match=r"cannot be kept in .*XDG_CACHE_HOME"):
        provide_kafka_jars(tmp_path / "file")
