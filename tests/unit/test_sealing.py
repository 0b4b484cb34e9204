"""The key of the seal on definitions."""

from pathlib import Path

import pytest

from stream_infer.errors import ConfigError
from stream_infer.local.sealing import seal_key


def test_the_key_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    file = seal_key(tmp_path)
    key = file.read_bytes()

    assert len(key) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert seal_key(tmp_path).read_bytes() == key
    assert [one.name for one in file.parent.iterdir()] == ["seal.key"]


def test_where_it_cannot_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "apis").write_text("")
    with pytest.raises(ConfigError, match=r"seal\.key cannot be written: .*set state_dir"):
        seal_key(tmp_path)
