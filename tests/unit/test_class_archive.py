import os
from pathlib import Path

import pytest

from stream_infer.local.class_archive import ClassArchive


@pytest.fixture
def java(tmp_path: Path) -> Path:
    """A java that writes an empty archive where it is told to."""
    path = tmp_path / "java"
    path.write_text('#!/bin/sh\nfor o; do case $o in -XX:SharedArchiveFile=*) : > "${o#*=}";; esac; done\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    (tmp_path / "jars").mkdir()
    return tmp_path / "jars"


def train(java: Path, jars: Path, exit_status: int) -> None:
    archive = ClassArchive.find(java, jars)
    [option] = [option for option in archive.java_options() if "ArchiveClassesAtExit" in option]
    Path(option.split("=")[1]).touch()
    archive.keep(exit_status)


def test_what_the_first_run_wrote_serves_the_next(java: Path, jars: Path):
    train(java, jars, exit_status=143)

    [option] = ClassArchive.find(java, jars).java_options()
    [base], [classes] = jars.glob("base-*.jsa"), jars.glob("kafka-*.jsa")
    assert option == f"-XX:SharedArchiveFile={base}:{classes}"


def test_a_run_that_was_killed_contributes_nothing(java: Path, jars: Path):
    train(java, jars, exit_status=137)

    assert list(jars.glob("kafka-*.jsa")) == list(jars.glob(".new-*")) == []


def test_a_java_that_cannot_make_archives_runs_without(java: Path, jars: Path):
    java.write_text("#!/bin/sh\nexit 1\n")

    assert ClassArchive.find(java, jars).java_options() == []


def test_leftovers_and_archives_of_another_time_are_removed(java: Path, jars: Path):
    old, recent = ["base-a.jsa", "kafka-a.jsa", ".new-a.1.jsa"], ["base-b.jsa", "kafka-b.jsa", ".new-b.2.jsa"]
    for name in old + recent:
        (jars / name).touch()
    for name in old:
        os.utime(jars / name, (0, 0))

    ClassArchive.find(java, jars)

    left = {file.name for file in jars.iterdir()}
    assert not left.intersection(old)
    assert left.issuperset(recent)
