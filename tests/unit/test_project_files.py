"""Which files of a folder go along when it is deployed."""

import pytest

from stream_infer.clients import project
from stream_infer.clients.project import project_files
from stream_infer.configuration import load_definitions
from stream_infer.errors import ConfigError, UsageError
from tests.support.projects import write_project

PROJECT = {
    "model.py": "x = 1\n",
    "sub/words.txt": "w",
    "sub/kept.log": "k",
    "noise.log": "n",
    "data/large.bin": "l",
    ".env": "E=1",
    ".git/config": "g",
    "__pycache__/model.pyc": "p",
    "old.pyc": "p",
    "env/pyvenv.cfg": "home = /usr\n",
    "env/lib.py": "e",
}


def names(folder):
    return [name for name, _ in project_files(folder)]


def test_code_goes_along_and_what_is_made_of_it_does_not(tmp_path):
    folder = write_project(tmp_path, PROJECT)

    assert names(folder) == [".env", "data/large.bin", "model.py", "noise.log", "sub/kept.log", "sub/words.txt"]
    assert dict(project_files(folder))["model.py"] == b"x = 1\n"


def test_what_git_is_told_to_ignore_stays_here_as_git_reads_it(tmp_path):
    folder = write_project(tmp_path, PROJECT)
    write_project(folder, {".gitignore": "*.log\n/data/\n", "sub/.gitignore": "!kept.log\nwords.txt\n"})

    assert names(folder) == [".env", ".gitignore", "model.py", "sub/.gitignore", "sub/kept.log"]


def test_cortex_own_file_says_it_in_place_of_gits(tmp_path):
    folder = write_project(tmp_path, PROJECT | {".gitignore": "*.py\n", ".cortexignore": "*.log\ndata\n"})

    assert names(folder) == [".cortexignore", ".env", ".gitignore", "model.py", "sub/words.txt"]


def test_a_link_to_a_folder_above_has_an_end(tmp_path):
    folder = write_project(tmp_path, {"model.py": "x = 1\n"})
    (folder / "again").symlink_to(folder)

    assert names(folder) == ["model.py"]


def test_a_data_set_is_not_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "MOST_BYTES", 4)
    folder = write_project(tmp_path, {"a.bin": "123", "b.bin": "45"})

    with pytest.raises(UsageError, match=r"with b\.bin: keep data and models out"):
        names(folder)
    with pytest.raises(UsageError, match="no folder"):
        names(folder / "nothing")


def test_the_definitions_of_a_file_are_what_stands_there(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAM_INFER__APIS__CATS__PARTITIONS", "9")
    file = tmp_path / "stream-infer.yaml"
    file.write_text("store: file:///x\napis:\n- {name: cats, predictor: {type: native, target: 'm.py:M'}}\n")

    assert load_definitions(file) == [{"name": "cats", "predictor": {"type": "native", "target": "m.py:M"}}]
    file.write_text("apis:\n- {name: cats, predicter: {}}\n")
    with pytest.raises(ConfigError, match=r"stream-infer\.yaml:2: .*predicter"):
        load_definitions(file)


def test_the_definitions_of_a_cortex_yaml_are_in_our_words(tmp_path):
    file = tmp_path / "cortex.yaml"
    file.write_text("- name: cats\n  kind: BatchAPI\n  predictor: {type: python, path: p.py}\n")

    [definition] = load_definitions(file)
    assert definition["name"] == "cats"
    assert definition["predictor"] == {"type": "cortex", "path": "p.py"} | definition["predictor"]
