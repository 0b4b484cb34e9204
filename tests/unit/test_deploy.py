"""What lies in deploy/ and helm/ agrees with the code, as far as files alone say so."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.generated import ROOT, generated
from stream_infer.configuration import load_settings
from stream_infer.local.supervision import RoleKind
from stream_infer.telemetry.catalogue.every import metrics_at
from stream_infer.telemetry.catalogue.metric import Role

COMPOSE = ROOT / "deploy/compose.yaml"
DOCKERFILE = ROOT / "deploy/Dockerfile"
CHART = ROOT / "helm/stream-infer"
ROLES = sorted(set(RoleKind) - {RoleKind.LOOKOUT, RoleKind.PREPARE})  # of `up` alone


@pytest.fixture(scope="module")
def services() -> dict[str, dict]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_follows_from_the_code_is_what_the_code_makes(path: Path):
    assert path.read_text() == generated()[path], "run: make generated"


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert chart["appVersion"] == project["version"]


def test_the_chart_has_no_alerts_or_dashboards_but_those_of_the_compose_file():
    shown = {*(CHART / "files").glob("alerts.yaml"), *(CHART / "files/dashboards").glob("*.json")}

    assert shown <= set(generated())


def test_the_chart_scales_by_a_metric_that_there_is():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    wanted = values["worker"]["autoscaling"]["prometheus"]["metric"]

    assert wanted in {metric.name for metric in metrics_at(Role.TRACKER) if metric.label_names == ("api",)}


def test_every_role_has_a_place_in_the_chart():
    text = "".join(file.read_text() for file in (CHART / "templates").glob("*.yaml"))

    assert [role for role in ROLES if f'"{role}"' not in text] == []


def test_the_configuration_of_the_compose_file_is_one():
    settings = load_settings(ROOT / "deploy/compose/stream-infer.yaml", {})

    assert [api.name for api in settings.apis] == ["shouter"]
    assert settings.gateway.listen == "0.0.0.0:8080"


def test_every_role_runs_in_the_compose_file_as_nobody_who_may_write(services):
    roles = [role for role in ROLES if role != RoleKind.REALTIME]

    assert [role for role in roles if role not in services] == []
    for name in [*roles, "topics", "keys", "bucket"]:
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert "user" not in services[name], f"{name}: the image says who"


def test_nothing_of_the_compose_file_is_reached_from_other_machines(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert len(ports) >= 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_knows_of_every_service_whether_it_works(services):
    """Those of our image by its HEALTHCHECK."""
    own = {name for name, service in services.items() if service["image"].startswith("stream-infer:")}

    assert own >= {"gateway", "worker", "keys"}
    assert [name for name, service in services.items() if name not in own and "healthcheck" not in service] == []


def test_every_image_has_a_version(services):
    images = [service["image"] for service in services.values()]
    bases = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)

    assert len(bases) == 1
    assert [image for image in [*images, *bases] if not re.search(r":(v?\d+\.\d+|\$\{STREAM_INFER_TAG)", image)] == []


def test_what_the_image_copies_is_not_ignored_and_is_there():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    allowed = [line.removeprefix("!") for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().split()]

    for place in " ".join(copied).split():
        assert (ROOT / place).exists(), place
        assert place in allowed, place


def test_the_image_is_made_of_locked_packages():
    locks = re.findall(r"-r (requirements/\S+)", DOCKERFILE.read_text())

    assert sorted(set(locks)) == ["requirements/build.txt", "requirements/control.txt", "requirements/worker.txt"]
    assert [lock for lock in locks if "--hash=sha256:" not in (ROOT / lock).read_text()] == []


def test_nobody_in_the_image_is_root_and_the_chart_names_the_same_user():
    dockerfile = DOCKERFILE.read_text()

    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    assert dockerfile.index("\nUSER ") > dockerfile.index("\nRUN groupadd")
    assert "runAsUser: 10001" in (CHART / "templates/_pod.tpl").read_text()
