"""Keys, their file, and what each lets in."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from multidict import CIMultiDict
from structlog.testing import capture_logs

from stream_infer.errors import ConfigError
from stream_infer.gateway.access import RULES
from stream_infer.gateway.event_stream import EventStream
from stream_infer.gateway.gate import Gate, guarding
from stream_infer.http.admission import entry_of
from stream_infer.http.callers import CALLER, Caller
from stream_infer.http.keys import KeyEntry, KeyRing, NewKey, Scope, SentKey, for_aws, hash_of, new_key, sent_key
from stream_infer.http.keys_file import add_entry, entry_text, keys_in, open_keys, read_keys
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.rates import Bucket, Rate, take
from stream_infer.http.reloading import Reloading
from stream_infer.http_settings import GatewaySettings
from stream_infer.redaction import redact_text

NOW = 1_800_000_000.0


def made(*scopes: Scope, name: str = "nightly", **fields: Any) -> NewKey:
    key, entry = new_key(name, scopes or (Scope.SUBMIT,))
    return NewKey(key, entry.model_copy(update=fields))


def test_a_key_is_found_by_itself_alone() -> None:
    mine, other = made(), made()
    ring = KeyRing([mine.entry, other.entry])

    assert ring.find(mine.key) == mine.entry
    assert ring.find(other.key) == other.entry
    wrong = [mine.key[:-1], mine.key + "x", mine.key.upper(), f"si_{mine.entry.id}_", f"si_{mine.entry.id}", "si_", ""]
    wrong += [
        made().key,
        mine.entry.hash,
        mine.entry.id,
        "é",
        "\udcff",
        f"si_{other.entry.id}_{mine.key.split('_', 2)[2]}",
    ]
    assert [ring.find(key) for key in wrong] == [None] * len(wrong)


def test_neither_the_key_nor_its_secret_is_in_what_is_kept() -> None:
    key, entry = made()
    secret = key.split("_", 2)[2]

    assert len(secret) >= 43, "256 bits"
    assert secret not in entry_text(entry)
    assert secret not in repr(KeyRing([entry]).find(key))
    assert entry.hash == hash_of(key)
    assert made().key != made().key


def test_two_keys_of_one_id_are_refused() -> None:
    entry = made().entry
    with pytest.raises(ValueError, match=f"two keys have the id {entry.id}"):
        KeyRing([entry, entry])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Authorization": "Bearer k1"}, SentKey("k1", "Authorization")),
        ({"authorization": "bearer  k1 "}, SentKey("k1", "Authorization")),
        ({"x-api-key": "k1"}, SentKey("k1", "X-API-Key")),
        ({"X-API-Key": "k1", "Authorization": "Bearer k2"}, SentKey("k1", "X-API-Key")),
        ({"Authorization": "AWS4-HMAC-SHA256 …", "X-Amz-Security-Token": "k1"}, SentKey("k1", "X-Amz-Security-Token")),
        ({"Authorization": "Basic dTpw"}, None),
        ({"X-API-Key": " "}, None),
    ],
)  # fmt: skip
def test_a_key_is_read_from_where_clients_put_it(headers: dict[str, str], expected: SentKey | None) -> None:
    assert sent_key(CIMultiDict(headers)) == expected


def problem_of(ring: KeyRing, headers: dict[str, str], scope: Scope, now: float = NOW) -> Problem:
    with pytest.raises(Problem) as caught:
        entry_of(ring, CIMultiDict(headers), scope, now)
    return caught.value


def test_who_has_no_key_is_told_how_to_send_one() -> None:
    problem = problem_of(KeyRing(), {}, Scope.READ)
    assert (problem.kind, problem.status) == (ProblemKind.NO_KEY, 401)
    assert "scope read" in problem.document.detail
    assert "STREAM_INFER_API_KEY" in problem.document.detail
    assert problem.all_headers()["WWW-Authenticate"] == 'Bearer realm="stream-infer"'


def test_a_key_that_is_unknown_or_has_expired_is_none_and_is_not_repeated() -> None:
    end = datetime.fromtimestamp(NOW, UTC)
    key, entry = made(expires=end)
    ring = KeyRing([entry])

    assert entry_of(ring, CIMultiDict(Authorization=f"Bearer {key}"), Scope.SUBMIT, NOW - 0.001)[0] == entry
    for sent in (key, made().key):
        problem = problem_of(ring, {"Authorization": f"Bearer {sent}"}, Scope.SUBMIT)
        assert problem.status == 401
        assert sent not in problem.body().decode()
    assert "has expired" in problem_of(ring, {"X-API-Key": key}, Scope.SUBMIT).document.detail


@pytest.mark.parametrize(
    ("has", "may"),
    [
        ({Scope.READ}, {Scope.READ}),
        ({Scope.SUBMIT}, {Scope.SUBMIT}),
        ({Scope.READ, Scope.SUBMIT}, {Scope.READ, Scope.SUBMIT}),
        ({Scope.ADMIN}, {Scope.READ, Scope.SUBMIT, Scope.ADMIN}),
    ],
)
def test_a_scope_is_what_it_says_and_admin_is_all(has: set[Scope], may: set[Scope]) -> None:
    key, entry = made(*has)
    ring = KeyRing([entry])
    for scope in Scope:
        if scope in may:
            assert entry_of(ring, {"X-API-Key": key}, scope, NOW)[0] is entry
        else:
            problem = problem_of(ring, {"X-API-Key": key}, scope)
            assert (problem.status, problem.kind) == (403, ProblemKind.SCOPE_MISSING)
            assert f"the scope {scope}" in problem.document.detail


def gate_for(*entries: KeyEntry, rate: float | None = None, at: list[float] | None = None) -> Gate:
    times = at or [0.0]
    ring = Reloading("API keys", [], lambda: KeyRing(entries))
    return Gate(ring, rate, {}, clock=lambda: NOW, monotonic=lambda: times[0])


def test_who_was_let_in_is_so_until_the_key_is_taken_back_or_ends() -> None:
    times, end = [NOW], datetime.fromtimestamp(NOW + 10, UTC)
    key, entry = made(Scope.READ, expires=end)
    gate = Gate(Reloading("API keys", [], lambda: KeyRing([entry])), None, {}, clock=lambda: times[0])
    caller = gate.admit(RULES["GET /v1/events"], {"X-API-Key": key})

    assert caller.is_let_in()
    times[0] = NOW + 10
    assert not caller.is_let_in(), "it has ended"
    times[0] = NOW
    for taken in ([], [entry.model_copy(update={"scopes": frozenset({Scope.SUBMIT})})]):
        gate.keys.value = KeyRing(taken)
        assert not caller.is_let_in()
    gate.keys.value = KeyRing([entry])
    assert caller.is_let_in()


def test_a_stream_ends_once_its_key_is_taken_back() -> None:
    class Request(dict[Any, Any]):
        path, transport = "/v1/events", SimpleNamespace(is_closing=lambda: False)

    let_in = [True]
    stream = EventStream(cast(Any, Request({CALLER: Caller("reader", is_let_in=lambda: let_in[0])})))
    stream.require_listener()
    let_in[0] = False
    with pytest.raises(ConnectionResetError, match="taken back"):
        stream.require_listener()


def test_one_action_of_a_path_may_ask_for_less() -> None:
    key, entry = made(Scope.READ)
    gate, rule = gate_for(entry), RULES["POST /"]
    describe = CIMultiDict({"X-API-Key": key, "x-amz-target": "SageMaker.DescribeTransformJob"})

    assert gate.admit(rule, describe).name == "nightly"
    for target in ("SageMaker.CreateTransformJob", "SageMaker.StopTransformJob", "SageMaker.Else", ""):
        with pytest.raises(Problem, match="scope submit"):
            gate.admit(rule, CIMultiDict({"X-API-Key": key, "X-Amz-Target": target}))


def test_the_log_says_who_was_refused_what_and_from_where() -> None:
    mine, theirs = made(Scope.SUBMIT), made()
    guard = guarding(gate_for(mine.entry))
    route = SimpleNamespace(resource=SimpleNamespace(canonical="/v1/jobs"))

    async def ask(key: str) -> int:
        headers, info = CIMultiDict({"X-API-Key": key}), SimpleNamespace(route=route)
        request = SimpleNamespace(match_info=info, headers=headers, method="GET", path="/v1/jobs", remote="10.1.2.3")
        return (await guard(cast(Any, request), cast(Any, None))).status

    with capture_logs() as lines:
        assert [asyncio.run(ask(key)) for key in (mine.key, theirs.key)] == [403, 401]
    assert [line["problem"] for line in lines] == ["scope-missing", "no-key"]
    assert all(line["remote"] == "10.1.2.3" for line in lines)
    assert f"{mine.entry.id} of nightly has submit" in lines[0]["reason"]
    assert not [line for line in lines if mine.key in str(line) or theirs.key in str(line)]


def test_an_open_route_asks_for_nothing_and_believes_nothing() -> None:
    caller = gate_for().admit(RULES["GET /healthz"], CIMultiDict({"X-API-Key": "anything"}))
    assert (caller.name, caller.sent) == ("anonymous", None)


def test_a_caller_that_asks_too_often_is_told_when_to_come_again() -> None:
    """2 a second, 2 at once: at 0.0 two go and the third has to wait 0.5 s, at 0.5 one goes."""
    at = [0.0]
    key, entry = made(requests_per_second=2.0)
    gate, rule = gate_for(entry, at=at), RULES["POST /v1/apis/{api}/jobs"]

    def ask() -> None:
        gate.admit(rule, {"X-API-Key": key})

    ask()
    ask()
    with pytest.raises(Problem) as caught:
        ask()
    assert (caught.value.status, caught.value.all_headers()["Retry-After"]) == (429, "1")
    at[0] = 0.5
    ask()
    with pytest.raises(Problem):
        ask()


def test_a_second_key_of_one_name_is_no_second_allowance_and_of_another_is() -> None:
    (one, first), (two, second), (three, third) = made(), made(), made(name="other")
    gate, rule = gate_for(first, second, third, rate=1.0), RULES["GET /v1/jobs"]
    entries = [entry.model_copy(update={"scopes": frozenset({Scope.READ})}) for entry in (first, second, third)]
    gate = gate_for(*entries, rate=1.0)

    gate.admit(rule, {"X-API-Key": one})
    with pytest.raises(Problem, match="nightly may ask 1 times a second"):
        gate.admit(rule, {"X-API-Key": two})
    gate.admit(rule, {"X-API-Key": three})


def test_a_bucket_fills_with_time_up_to_its_burst() -> None:
    rate = Rate(per_second=10.0, burst=3.0)
    bucket: Bucket | None = None
    for _ in range(3):
        bucket, wait_s = take(bucket, rate, 100.0)
        assert wait_s == 0
    assert take(bucket, rate, 100.0) == (Bucket(0.0, 100.0), 0.1)
    assert take(bucket, rate, 100.05).wait_s == pytest.approx(0.05)
    assert take(bucket, rate, 1000.0).bucket == Bucket(2.0, 1000.0)
    assert take(Bucket(0.0, 100.0), rate, 99.0) == (Bucket(0.0, 99.0), 0.1)


def test_a_file_of_keys_is_read_and_added_to_and_keeps_its_comments(tmp_path: Any) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("# who may do what\n")
    one, two = made(Scope.READ), made(Scope.ADMIN, Scope.SUBMIT, expires=datetime(2030, 1, 1, tzinfo=UTC))
    add_entry(file, one.entry)
    add_entry(file, two.entry)

    ring = read_keys(file)
    assert list(ring) == [one.entry, two.entry]
    assert ring.find(two.key) == two.entry
    text = file.read_text()
    assert text.startswith("# who may do what\n")
    assert len(text.splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["keys.yaml"]


def test_a_file_that_is_added_to_keeps_its_rights_and_a_link_leads_to_it(tmp_path: Path) -> None:
    file, link = tmp_path / "v1.yaml", tmp_path / "keys.yaml"
    file.write_text(entry_text(made().entry))
    file.chmod(0o640)
    link.symlink_to("v1.yaml")
    if os.geteuid() == 0:
        os.chown(file, 1234, 5678)
    before = file.stat()
    add_entry(link, made().entry)

    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert link.is_symlink()
    assert len(read_keys(link)) == 2


def test_a_file_with_a_secret_in_it_is_its_owners_alone_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    entry = for_aws(made().entry)
    add_entry(file, entry)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)  # to a group, on purpose: what is added later keeps that
    add_entry(file, made().entry)
    add_entry(file, for_aws(made().entry))
    assert file.stat().st_mode & 0o777 == 0o640
    assert entry.access_key is not None
    assert read_keys(file).signing(entry.access_key) == entry


def test_a_file_of_secrets_that_everybody_may_read_is_said(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    settings = GatewaySettings(api_keys_file=file)
    for entry, mode, said in ((made().entry, 0o644, 0), (for_aws(made().entry), 0o640, 0), (None, 0o644, 1)):
        if entry is not None:
            add_entry(file, entry)
        file.chmod(mode)
        with capture_logs() as lines:
            open_keys(settings)
        assert [line["event"] for line in lines] == ["secrets_readable"] * said


def test_of_two_that_add_at_once_each_ones_entry_is_there(tmp_path: Path) -> None:
    file, entries = tmp_path / "keys.yaml", [made().entry for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: add_entry(file, entry), entries))
    assert {entry.id for entry in read_keys(file)} == {entry.id for entry in entries}


def test_a_place_for_the_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        add_entry(tmp_path / "none" / "keys.yaml", made().entry)


def test_a_file_that_is_no_list_of_lines_is_left_as_it_is(tmp_path: Any) -> None:
    file = tmp_path / "keys.yaml"
    entry = made().entry
    before = "[" + yaml.safe_dump(entry.model_dump(mode="json"), default_flow_style=True).strip() + "]"
    file.write_text(before)
    with pytest.raises(ConfigError, match="add this by hand"):
        add_entry(file, made().entry)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", "is no list"),
        ("- {id: x", "is no YAML"),
        ("- 1", "entry 1"),
        ("- {id: a, name: n, scopes: [reed], hash: sha256:" + "0" * 64 + "}", r"entry 1: scopes\.0"),
        ("- {id: a, name: n, scopes: [], hash: sha256:" + "0" * 64 + "}", "entry 1: scopes"),
        ("- {id: a, name: n, scopes: [read], hash: plain}", "entry 1: hash"),
        ("- {id: a, name: n, scopes: [read]}", "entry 1: .*either a hash or an aws_secret"),
        ("- {id: a, name: n, scopes: [read], aws_secret: short}", "entry 1: aws_secret"),
        (
            "- {id: a, name: n, scopes: [read], aws_secret: " + "x" * 40 + ", hash: sha256:" + "0" * 64 + "}",
            "either a hash or an aws_secret",
        ),
        ("- {id: a, name: n, scopes: [read], hash: sha256:" + "0" * 64 + ", expires: 2030-01-01T00:00:00}", "expires"),
        ("- {id: a, name: n, scopes: [read], hash: sha256:" + "0" * 64 + ", more: 1}", "entry 1: more"),
        ("- {id: a, name: n, scopes: [read], hash: sha256:" + "0" * 64 + ", requests_per_second: .inf}", "per_second"),
        ("[" * 5000, "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_file_of_keys_is_said_with_its_entry(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        keys_in(text, "keys.yaml")
    assert "gateway.api_keys_file: keys.yaml" in str(caught.value)


def test_an_empty_file_has_no_key() -> None:
    assert len(keys_in("", "f")) == len(keys_in("# none yet\n", "f")) == len(keys_in("[]", "f")) == 0


def test_a_file_that_changes_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Any) -> None:
    file = tmp_path / "keys.yaml"
    old, new = made(), made()
    file.write_text(entry_text(old.entry))
    keys = Reloading("API keys", [file], lambda: read_keys(file))
    assert not keys.refresh()

    file.write_text(entry_text(old.entry) + entry_text(new.entry))
    assert keys.refresh()
    assert keys.value.find(old.key)
    assert keys.value.find(new.key)

    file.write_text(entry_text(new.entry)[:-9])
    assert not keys.refresh()
    assert keys.value.find(old.key), "what was read before stays"

    file.unlink()
    assert not keys.refresh()
    assert keys.value.find(old.key)

    file.write_text(entry_text(new.entry))
    assert keys.refresh()
    assert keys.value.find(old.key) is None, "taken back"


def test_a_file_that_cannot_be_read_is_told_once_and_tried_until_it_can(tmp_path: Path) -> None:
    """As where its rights are mended, which changes neither its content nor its time."""
    said: list[str | None] = [None]

    def read() -> str:
        if said[0] is not None:
            raise ConfigError(said[0])
        return "read"

    file = tmp_path / "keys.yaml"
    file.write_text("1")
    reloading = Reloading("API keys", [file], read)
    file.write_text("22")
    with capture_logs() as lines:
        for fault in ("Permission denied", "Permission denied", "is no YAML"):
            said[0] = fault
            assert not reloading.refresh()
        said[0] = None
        assert reloading.refresh()
        assert not reloading.refresh()
    assert [line.get("reason") for line in lines] == ["Permission denied", "is no YAML", None]


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Any) -> None:
    """As Kubernetes renews a secret: the link of the folder is replaced, the file's own is not."""
    for number, key in ((1, made()), (2, made())):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "keys.yaml").write_text(entry_text(key.entry))
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "data" / "keys.yaml"
    keys = Reloading("API keys", [file], lambda: read_keys(file))
    [before] = keys.value

    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(tmp_path / "data")
    assert keys.refresh()
    assert list(keys.value) != [before]


def test_a_key_in_a_log_line_is_hidden_but_for_its_id() -> None:
    key, entry = made()
    assert redact_text(f"asked with {key}.") == f"asked with si_{entry.id}_***."
    assert redact_text("si_unit is no key") == "si_unit is no key"
    signing = for_aws(entry)
    assert signing.aws_secret is not None
    for said in (entry_text(signing), f"aws_secret_access_key = {signing.aws_secret}", f"{signing.model_dump()}"):
        assert signing.aws_secret not in redact_text(said)


def test_expiry_is_of_whole_entries() -> None:
    entry = made(expires=datetime.now(UTC) + timedelta(days=1)).entry
    assert not entry.has_expired(time.time())
    assert entry.has_expired(time.time() + 86_401)
