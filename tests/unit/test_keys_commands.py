"""`stream-infer keys` and `topics rights`: what they print, and what they write."""

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_infer.cli.app import main
from stream_infer.cli.check import Finding, check_gateway
from stream_infer.cli.context import Invocation
from stream_infer.cli.gateway_access import api_key
from stream_infer.errors import UsageError
from stream_infer.http.keys import Scope
from stream_infer.http.keys_file import keys_in, read_keys
from stream_infer.kafka.rights import Role, rights
from stream_infer.settings import Settings
from stream_infer.topics import Topics

API = {"name": "cats", "predictor": {"type": "native", "target": "model.py:Cats"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream-infer.yaml").write_text(
        yaml.safe_dump({"gateway": {"api_keys_file": "keys.yaml"}, "apis": [API]})
    )
    return tmp_path


def run(*words: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == status


def test_a_new_key_is_shown_once_and_only_its_hash_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("keys", "new", "nightly", "--scope", "read", "--scope", "submit", "--expires-days", "30", "--add")
    said = capsys.readouterr()
    key = said.out.strip()

    text = (folder / "keys.yaml").read_text()
    [entry] = read_keys(folder / "keys.yaml")
    assert read_keys(folder / "keys.yaml").find(key) == entry
    assert entry.scopes == {Scope.READ, Scope.SUBMIT}
    assert entry.expires is not None
    assert key not in text + said.err
    assert key.split("_", 2)[2] not in text

    run("keys", "ls")
    listed = capsys.readouterr().out
    assert listed.split()[:3] == [entry.id, "nightly", "read,submit"]
    assert entry.hash.removeprefix("sha256:") not in listed


def test_without_add_the_entry_is_shown_for_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("keys", "new", "ops", "--scope", "admin", "--requests-per-second", "5", "-o", "json")
    told = json.loads(capsys.readouterr().out)
    ring = keys_in(yaml.safe_dump([told["entry"]]), "told")
    found = ring.find(told["key"])
    assert found is not None
    assert (found.name, found.requests_per_second) == ("ops", 5.0)
    assert not (folder / "keys.yaml").exists()


def test_a_key_that_signs_is_a_profile_of_awss_and_its_secret_lies_in_a_file_of_the_owner(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("keys", "new", "plain", "--scope", "read", "--add")
    (folder / "keys.yaml").chmod(0o644)
    run("keys", "new", "nightly", "--scope", "submit", "--sigv4", "--add")
    said = capsys.readouterr()

    profiles = configparser.ConfigParser()
    profiles.read_string(said.out.partition("\n")[2])  # behind the plain key
    profile = profiles["nightly"]
    assert len(profile["aws_access_key_id"]) == 20
    assert len(profile["aws_secret_access_key"]) == 40
    entry = read_keys(folder / "keys.yaml").signing(profile["aws_access_key_id"])
    assert entry is not None
    assert (entry.name, entry.aws_secret, entry.hash) == ("nightly", profile["aws_secret_access_key"], None)
    assert (folder / "keys.yaml").stat().st_mode & 0o777 == 0o600
    assert "let its owner alone read it" in said.err
    assert entry.aws_secret not in said.err + repr(entry)

    run("keys", "ls")
    run("keys", "ls", "-o", "json")
    listed = capsys.readouterr().out
    assert f"sigv4 {entry.access_key}" in listed
    assert entry.aws_secret not in listed


def test_the_pair_of_a_key_that_signs_is_told_to_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("keys", "new", "ops", "--scope", "admin", "--sigv4", "-o", "json")
    told = json.loads(capsys.readouterr().out)
    entry = keys_in(yaml.safe_dump([told["entry"]]), "told").signing(told["access_key_id"])
    assert entry is not None
    assert entry.aws_secret == told["secret_access_key"]
    assert "key" not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "new", "a b", "--scope", "read"], "is no name for a key"),
        (["keys", "new", "a"], "--scope"),
        (["keys", "new", "a", "--scope", "write"], "write"),
        (["keys", "new", "a", "--scope", "read", "--requests-per-second", "inf"], "--requests-per-second inf is no"),
        (["keys", "new", "a", "--scope", "read", "--requests-per-second", "nan"], "--requests-per-second"),
        (["keys", "ls"], "keys.yaml"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    run(*words, status=2)
    assert said in capsys.readouterr().err


def test_without_a_file_of_keys_there_is_none_to_add_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "stream-infer.yaml").write_text(yaml.safe_dump({"apis": [API]}))
    run("keys", "new", "a", "--scope", "read", "--add", status=2)
    assert "gateway.api_keys_file is not set" in capsys.readouterr().err


def test_a_client_takes_its_key_from_a_file_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\n")
    environ = {"STREAM_INFER_API_KEY": "from-the-environment"}
    assert api_key(Invocation(environ=environ)) == "from-the-environment"
    assert api_key(Invocation(key_file=file, environ=environ)) == "from-the-file"
    assert api_key(Invocation(environ={})) is None
    assert api_key(Invocation(environ={"STREAM_INFER_API_KEY": ""})) is None
    for wrong in ("", "two words", "two\nlines", "é"):
        file.write_text(wrong)
        with pytest.raises(UsageError, match="holds no key"):
            api_key(Invocation(key_file=file, environ=environ))
    for wrong in ("two words", "si_1_x\nsi_2_y", "é"):
        with pytest.raises(UsageError, match="STREAM_INFER_API_KEY holds no key") as caught:
            api_key(Invocation(environ={"STREAM_INFER_API_KEY": wrong}))
        assert wrong not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        api_key(Invocation(key_file=tmp_path / "none", environ=environ))


def test_check_says_whether_the_gateway_may_listen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found(**gateway: Any) -> Finding:
        keys_file = folder / "keys.yaml"
        settings = Settings.model_validate({"gateway": {"api_keys_file": keys_file, **gateway}, "apis": [API]})
        return check_gateway(settings)

    assert "there is no" in found().said
    run("keys", "new", "a", "--scope", "read", "--add")
    assert found(listen="0.0.0.0:8080") == Finding("gateway", 0, "0.0.0.0:8080, keys: 1")
    assert found(api_keys_file=None) == Finding("gateway", 0, "127.0.0.1:8080, nobody is asked for a key")
    for wrong, said in (
        ({"listen": "0.0.0.0:8080", "api_keys_file": None}, "gateway.api_keys_file"),
        ({"tls": {"certificate_file": "none.crt", "private_key_file": "none.key"}}, "none.crt"),
    ):
        finding = found(**wrong)
        assert (finding.exit_code, said in finding.said) == (2, True), finding
    realtime = Settings.model_validate({"apis": [API | {"realtime": {"listen": "0.0.0.0:8090"}}]})
    assert "apis.cats.realtime.listen" in check_gateway(realtime).said


def test_rights_are_listed_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("topics", "rights", "--role", "worker", "-o", "json")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(told["worker"]) == len(rights(Role.WORKER, Topics("stream-infer"), ["cats"]))
    wanted = {"operation": "Read", "resource": "topic", "name": "stream-infer.cats.retry.", "pattern": "prefixed"}
    assert wanted in told["worker"]

    run("topics", "rights")
    listed = capsys.readouterr().out
    assert all(f"\n{role} " in f"\n{listed}" for role in Role)
    run("topics", "rights", "--api", "dogs", status=2)
