"""Alerts ask for what there is, say what an operator has to know, and have their part of the runbooks."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.monitoring.alerts import ALERTS, RUNBOOKS, rules
from stream_infer.telemetry.catalogue import serving
from tests.support.promql import complaints

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / RUNBOOKS).read_text()
HEADINGS = re.findall(r"^## (StreamInfer\w+)$", PAGE, re.MULTILINE)


@pytest.fixture(params=ALERTS, ids=lambda alert: alert.name)
def alert(request):
    return request.param


def test_each_alert_has_a_runbook_and_each_runbook_an_alert():
    assert [alert.name for alert in ALERTS] == HEADINGS


def test_an_alert_asks_only_for_what_the_catalogue_has(alert):
    assert complaints(alert.expr) == []


def test_an_alert_speaks_of_labels_that_it_has(alert):
    said = alert.summary + alert.description
    named = set(re.findall(r"\$labels\.(\w+)", said))
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", alert.expr) for label in group.split(",")}
    added = set(re.findall(r'label_replace\(.*?, "(\w+)"', alert.expr))
    own = {"instance", "role"} if alert.expr.startswith("up{") else set()

    assert named
    assert named <= by | added | own


def test_an_alert_waits_for_what_ends_by_itself(alert):
    assert int(alert.lasts.removesuffix("m")) >= 1
    assert alert.summary[0].isupper() or alert.summary.startswith("{{")
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")


def test_its_rule_says_where_its_runbook_is(alert):
    rule = alert.as_rule()

    assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert.name.lower()}"
    assert (ROOT / "docs/runbooks.md").exists()


def test_a_runbook_says_what_it_means_how_to_look_what_to_do_and_when_it_is_over(alert):
    part = PAGE.split(f"## {alert.name}\n")[1].split("\n## ")[0]

    for word in ("**Means**", "**Look**", "**Do**", "**Over**"):
        assert word in part, word


def test_the_page_lists_each_alert_with_its_severity():
    rows = re.findall(r"^\| \[(StreamInfer\w+)\]\(#(\w+)\) \| (\w+) \|", PAGE, re.MULTILINE)

    assert rows == [(alert.name, alert.name.lower(), alert.severity) for alert in ALERTS]


def test_what_gateways_say_of_all_is_never_summed(alert):
    for metric in (serving.LAG, serving.LAG_AGE, serving.GROUP_MEMBERS):
        assert not re.search(rf"sum[^(]*(\([^)]*\) )?\({metric.name}\b", alert.expr)


def test_the_file_is_what_a_prometheus_rule_has_as_its_spec():
    said = yaml.safe_load(rules())

    assert list(said) == ["groups"]
    assert [rule["alert"] for group in said["groups"] for rule in group["rules"]] == [alert.name for alert in ALERTS]
