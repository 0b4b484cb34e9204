"""Each alert fires when it should and does not when all is well, as Prometheus's own tool finds."""

import re

import pytest
import yaml

from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.files import ALERTS_FILE, DASHBOARDS
from stream_infer.telemetry.catalogue import items
from tests.support.alert_cases import FIRES, MINUTES, QUIET, WELL, WORKER, series
from tests.support.promtool import complaints_about_rules, failures_of_rules

SEVERITY = {alert.name: alert.severity.value for alert in ALERTS}


def given(changed, *asked):
    """A test of promtool's with these numbers, and the expressions that are asked at the end."""
    numbers = {**WELL, **changed}
    return {
        "rule_files": [str(ALERTS_FILE)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": said} for one, said in numbers.items() if said is not None],
                "promql_expr_test": list(asked),
            }
        ],
    }


def test_promtool_finds_nothing_to_say_of_the_rules():
    assert complaints_about_rules(ALERTS_FILE) == ""


def test_promtool_can_read_every_expression_of_the_dashboards(tmp_path):
    exprs = sorted({query.expr for one in DASHBOARDS for panel in one.panels for query in panel.queries})
    said = [re.sub(r"\$__rate_interval", "1m", expr) for expr in exprs]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(said)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert complaints_about_rules(file) == ""


@pytest.mark.parametrize("case", FIRES, ids=lambda case: f"{case.alert}: {case.case}")
def test_it_fires_in_time_and_no_other_does(case, tmp_path):
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": SEVERITY[case.alert], **case.labels}
    written = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    firing = [{"labels": f"ALERTS{{{written}}}", "value": 1}]
    asked = {case.minute - 1: [], case.minute: firing, 30: firing}
    said = [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": samples}
        for minute, samples in asked.items()
    ]

    assert failures_of_rules(given(case.changed, *said), tmp_path / "fires.yaml") == ""


@pytest.mark.parametrize("case", QUIET, ids=lambda case: case.case)
def test_nothing_fires(case, tmp_path):
    fired = f'count_over_time(ALERTS{{alertstate="firing"}}[{MINUTES}m])'
    quiet = {"expr": fired, "eval_time": f"{MINUTES}m", "exp_samples": []}

    assert failures_of_rules(given(case.changed, quiet), tmp_path / "quiet.yaml") == ""


@pytest.mark.parametrize(
    ("said", "risen"),
    [
        ("_x19 500+0x40", 500),
        ("200+0x19 500+0x40", 300),
        ("200+0x14 stale stale stale 3+0x40", 3),
        ("200+0x60", 0),
    ],
    ids=["new", "not new", "of a process that began anew", "as before"],
)
def test_what_is_counted_for_the_first_time_is_on_the_panels_of_dead_letters(said, risen, tmp_path):
    [panel] = (panel for one in DASHBOARDS for panel in one.panels if panel.title == "Dead letters, by exception")
    [query] = panel.queries
    timeouts = series(items.ITEMS_REJECTED, api="echo", stage="fetch", exception="TimeoutError", **WORKER)
    shown = {
        "expr": f"round({query.expr.replace('$api', '.*')})",
        "eval_time": "22m",
        "exp_samples": [{"labels": '{api="echo", exception="TimeoutError"}', "value": risen}],
    }

    assert failures_of_rules(given({timeouts: said}, shown), tmp_path / "panel.yaml") == ""


def test_each_alert_is_seen_to_fire():
    assert {case.alert for case in FIRES} == set(SEVERITY)
