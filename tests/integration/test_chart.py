"""The chart as Helm renders it, judged by the programs that judge charts. No cluster is asked."""

from pathlib import Path

import pytest
import yaml

from deploy.generated import ROOT
from stream_infer.configuration import load_settings
from stream_infer.settings import Settings
from stream_infer.topics import group_specs
from tests.support.kubernetes_schemas import LOCATION, write_schemas
from tests.support.tools import kubernetes_definitions, run, tool

CHART = ROOT / "helm/stream-infer"
KUBERNETES = "1.34.0"
EXAMPLES = ["full", "small"]
# Images have versions: a registry that is away is no reason for a pod not to start.
IGNORED = "container-image-pull-policy"


def rendered(example: str, *more: str) -> str:
    """With `more` arguments of helm's."""
    shown = {"prometheusRule": CHART / "files/alerts.yaml", "dashboards": CHART / "files/dashboards"}
    enabled = [f"--set=metrics.{name}.enabled=true" for name, place in shown.items() if place.exists()]
    done = run(
        tool("helm"), "template", "si", str(CHART), "--namespace", "inference", "--kube-version", KUBERNETES,
        "--values", str(CHART / f"ci/{example}-values.yaml"), *enabled, *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(kubernetes_definitions(), folder)
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_finds_nothing_to_complain_of(example: str) -> None:
    done = run(
        tool("helm"), "lint", str(CHART), "--strict", "--kube-version", KUBERNETES,
        "--values", str(CHART / f"ci/{example}-values.yaml"),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


def test_the_charts_own_tests_pass() -> None:
    done = run(tool("helm-unittest"), "--strict", str(CHART))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_resource_is_one_that_kubernetes_keda_and_prometheus_know(example: str, schemas: Path) -> None:
    done = run(
        tool("kubeconform"), "-strict", "-summary", "-schema-location", f"{schemas}/{LOCATION}", stdin=rendered(example)
    )

    assert done.returncode == 0, done.stdout
    assert "Skipped: 0" in done.stdout


def test_a_misspelt_key_would_be_noticed(schemas: Path) -> None:
    wrong = rendered("full").replace("podManagementPolicy:", "podManagmentPolicy:")
    wrong = wrong.replace("pollingInterval:", "pollInterval:")

    done = run(tool("kubeconform"), "-strict", "-schema-location", f"{schemas}/{LOCATION}", stdin=wrong)

    assert done.returncode != 0
    assert "podManagmentPolicy" in done.stdout
    assert "pollInterval" in done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_kube_score_finds_nothing_critical(example: str) -> None:
    # A limit of CPU throttles: Kafka's heartbeats are then late, and the group rebalances.
    done = run(
        tool("kube-score"), "score", "--kubernetes-version", "v1.34", "--ignore-container-cpu-limit",
        "--exit-one-on-warning", "--ignore-test", IGNORED, "-", stdin=rendered(example),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


def configurations(text: str) -> list[str]:
    maps = [one for one in yaml.safe_load_all(text) if one and one["kind"] == "ConfigMap"]
    return [one["data"]["stream-infer.yaml"] for one in maps if "stream-infer.yaml" in one["data"]]


def settings_of(text: str, folder: Path) -> Settings:
    """What a pod makes of its file; the user's name and password are in its environment."""
    file = folder / "stream-infer.yaml"
    file.write_text(configurations(text)[0])
    is_guarded = "sasl_mechanism" in file.read_text()
    secrets = {"STREAM_INFER__KAFKA__SECURITY__USERNAME": "u", "STREAM_INFER__KAFKA__SECURITY__PASSWORD": "p"}
    return load_settings(file, secrets if is_guarded else {})


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_configuration_that_pods_get_is_one(example: str, tmp_path: Path) -> None:
    text = rendered(example)
    files, settings = configurations(text), settings_of(text, tmp_path)

    assert len(files) == 2, "the topics job has its own, which is there before it"
    assert files[0] == files[1]
    assert settings.apis
    assert all(api.workers.drain_timeout == api.batching.call_timeout + 10 for api in settings.apis)


def test_the_autoscaler_watches_groups_and_topics_that_there_are(tmp_path: Path) -> None:
    text = rendered("full")
    known = {group.name: set(group.topics) for group in group_specs(settings_of(text, tmp_path))}
    watched: dict[str, set[str]] = {}
    for one in yaml.safe_load_all(text):
        if one and one["kind"] == "ScaledObject":
            for trigger in one["spec"]["triggers"]:
                if trigger["type"] == "kafka":
                    said = trigger["metadata"]
                    watched.setdefault(said["consumerGroup"], set()).add(said["topic"])

    assert len(watched) == 2
    assert watched == {group: known.get(group) for group in watched}


def test_a_change_of_one_api_ends_no_worker_of_another(tmp_path: Path) -> None:
    changed = yaml.safe_load((CHART / "ci/full-values.yaml").read_text())
    [sentiment] = [api for api in changed["config"]["apis"] if api["name"] == "sentiment"]
    sentiment["batching"] = {"max_wait_ms": 7}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(changed))

    before, after = checksums(rendered("full")), checksums(rendered("full", "--values", str(values)))

    restarted = {name for name in before if before[name] != after[name]}
    assert {name for name in before if "-worker-" in name or "-realtime-" in name} & restarted == {
        "si-stream-infer-worker-sentiment",
        "si-stream-infer-realtime-sentiment",
    }
    assert "si-stream-infer-gateway" in restarted


def checksums(text: str) -> dict[str, str]:
    """What of the configuration each pod is started for, by the name of what makes it."""
    resources = [one for one in yaml.safe_load_all(text) if one and one["kind"] in ("Deployment", "StatefulSet")]
    return {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for one in resources
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_is_chosen_by_a_policy_and_every_selector_by_its_own_pods(example: str) -> None:
    resources = [one for one in yaml.safe_load_all(rendered(example)) if one]
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in resources
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    ]
    policies = [one["spec"]["podSelector"]["matchLabels"] for one in resources if one["kind"] == "NetworkPolicy"]
    services = [one["spec"]["selector"] for one in resources if one["kind"] == "Service"]

    for labels in pods:
        assert [policy for policy in policies if policy.items() <= labels.items()], labels
    for selector in services:
        assert len([labels for labels in pods if selector.items() <= labels.items()]) == 1, selector
