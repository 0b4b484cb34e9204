"""Where `up` says that each of its processes shows its numbers."""

import json

from stream_infer.local import targets
from stream_infer.local.supervision import RoleKind, RoleSpec, role_specs
from stream_infer.local.targets import announced, choose_addresses, file_sd, targets_file, targets_of
from stream_infer.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "gateway": {"listen": "localhost:18080"},
        "apis": [
            {"name": "cats", "predictor": {"type": "native", "target": "p.py:P"}, "workers": {"min": 2, "max": 2}},
            {
                "name": "dogs",
                "predictor": {"type": "native", "target": "p.py:P"},
                "realtime": {"listen": "127.0.0.1:18090", "replicas": 2},
            },
        ],
    }
)
SPECS = role_specs((), (), SETTINGS.apis, None)


def test_each_role_has_an_address_of_its_own_and_the_lookout_none():
    addresses = choose_addresses(SETTINGS, SPECS)
    chosen = targets_of(SPECS, addresses)

    assert {target.name: target.role.value for target in chosen} == {
        "gateway": "gateway",
        "realtime dogs/0": "realtime",
        "realtime dogs/1": "realtime",
        "worker cats/0": "worker",
        "worker cats/1": "worker",
        "worker dogs/0": "worker",
        "intake": "intake",
        "sink": "sink",
        "tracker": "tracker",
    }
    found = [target.address for target in chosen]
    assert len(set(found)) == len(found)
    assert all(address.startswith("127.0.0.1:") for address in found)


def test_nobody_is_given_a_port_that_the_settings_name(monkeypatch):
    monkeypatch.setattr(
        targets,
        "find_free",
        lambda count, but_not: [port for port in range(18079, 18099) if port not in but_not][:count],
    )
    ports = {int(address.rpartition(":")[2]) for address in choose_addresses(SETTINGS, SPECS).values()}

    assert len(ports) == 9
    assert ports & {18080, 18090, 18091} == set()


def test_the_file_is_there_for_as_long_as_they_are(tmp_path):
    file = targets_file(tmp_path)
    shown = targets_of(SPECS, {"sink": "127.0.0.1:18200"})

    with announced(shown, file):
        said = json.loads(file.read_text())

    assert said == file_sd(shown)
    assert {"targets": ["127.0.0.1:18200"], "labels": {"instance": "sink", "role": "sink"}} in said
    assert list(file.parent.iterdir()) == []


def test_a_process_that_is_gone_for_good_is_no_target_any_more(tmp_path):
    """Past bug: the replica of an API that was deleted was down for whoever watched, until `up` ended."""
    shown = targets.Shown(SETTINGS.model_copy(update={"state_dir": tmp_path}), SPECS)
    replica = RoleSpec(RoleKind.REALTIME, "realtime mice/0", ())
    with shown.announced():
        assert shown.address_of(replica) is not None
        shown.forget(replica.name)
        shown.forget("worker mice/0")
        told = {target["labels"]["instance"] for target in json.loads(shown.file.read_text())}
        assert "realtime dogs/0" in told
        assert replica.name not in told
        assert shown.address_of(replica) is not None, "it may come back"
