"""Where `up` says that each of its processes shows its numbers."""

import json

from stream_infer.local.supervision import role_specs
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
    targets = targets_of(SETTINGS, SPECS, addresses)

    assert {target.name: target.role.value for target in targets} == {
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
    found = [target.address for target in targets]
    assert len(set(found)) == len(found)
    assert found[:3] == ["127.0.0.1:18080", "127.0.0.1:18090", "127.0.0.1:18091"]


def test_the_file_is_there_for_as_long_as_they_are(tmp_path):
    file = targets_file(tmp_path)
    targets = targets_of(SETTINGS, SPECS, {"sink": "127.0.0.1:18200"})

    with announced(targets, file):
        said = json.loads(file.read_text())

    assert said == file_sd(targets)
    assert {"targets": ["127.0.0.1:18200"], "labels": {"instance": "sink", "role": "sink"}} in said
    assert list(file.parent.iterdir()) == []


def test_a_gateway_with_tls_is_asked_by_it():
    tls = {"certificate_file": "tls.crt", "private_key_file": "tls.key"}
    settings = Settings.model_validate({"gateway": {"listen": "localhost:18080", "tls": tls}})
    [gateway] = file_sd(targets_of(settings, (), {}))

    assert gateway["labels"] == {"instance": "gateway", "role": "gateway", "__scheme__": "https"}
