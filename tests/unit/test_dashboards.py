"""The dashboards that lie in deploy/ are those of the code, and say of each panel what an operator has to know."""

import json
import re
from pathlib import Path

import pytest

from deploy.monitoring.dashboards import as_json
from deploy.monitoring.files import DASHBOARDS, dashboard_file, files
from deploy.monitoring.queries import select
from stream_infer.settings import BatchingSettings
from stream_infer.telemetry.catalogue import items, model, serving
from stream_infer.telemetry.catalogue.every import every_metric
from stream_infer.telemetry.catalogue.metric import Histogram
from tests.support.promql import complaints, has_api, metrics_in, selectors

BIGGEST = 200_000
# Said by the batch size's limit, once it is found.
NOT_SHOWN = {model.BATCH_ITEMS_FOUND.name}
EXPRESSIONS = sorted({query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries})


def loaded(name):
    return json.loads(dashboard_file(name).read_text())


def shown_on(name):
    return [panel for panel in loaded(name)["panels"] if panel["type"] != "row"]


NAMES = [dashboard.name for dashboard in DASHBOARDS]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_lies_in_deploy_is_what_the_code_makes(path: Path):
    assert path.read_text() == files()[path], "run: python -m deploy.monitoring"


def test_there_are_no_other_dashboards():
    assert sorted(file.stem for file in dashboard_file("any").parent.glob("*.json")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_small_enough_for_a_config_map(name):
    assert dashboard_file(name).stat().st_size < BIGGEST


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_unit_a_description_thresholds_and_legends(name):
    panels = shown_on(name)

    assert len(panels) > 10
    for panel in panels:
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        assert defaults["unit"], title
        assert panel["description"].endswith((".", "?")), title
        assert panel["description"] != title
        assert defaults["thresholds"]["steps"][0]["value"] is None, title
        assert all(target["legendFormat"] for target in panel["targets"]), title
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title


@pytest.mark.parametrize("name", NAMES)
def test_the_bounds_of_thresholds_rise(name):
    for panel in shown_on(name):
        bounds = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]][1:]
        assert bounds == sorted(set(bounds)), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_titles_are_there_once(name):
    panels = loaded(name)["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in shown_on(name):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)) == len({target["expr"] for target in panel["targets"]})


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_on_another_or_beyond_the_edge(name):
    taken = set()
    for panel in loaded(name)["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", NAMES)
def test_data_source_and_api_are_chosen_above(name):
    said = loaded(name)
    variables = {variable["name"]: variable for variable in said["templating"]["list"]}

    assert list(variables) == ["datasource", "api"]
    assert variables["datasource"]["query"] == "prometheus"
    assert [variables["api"][key] for key in ("multi", "includeAll", "allValue")] == [True, True, ".*"]
    assert said["editable"] is False
    assert said["uid"] == name


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_asks_only_for_what_the_catalogue_has(expr):
    assert complaints(expr) == []


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_what_has_an_api_is_of_those_that_are_chosen(expr):
    assert [one for one in selectors(expr) if has_api(one[0]) and not one[1].startswith('api=~"$api')] == []


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_what_each_gateway_says_of_all_is_never_summed(expr):
    for metric in (serving.LAG, serving.LAG_AGE, serving.GROUP_MEMBERS, serving.REPLICAS):
        for before in expr.split(metric.name + "{")[:-1]:
            assert re.search(r"max( by \([^)]*\) |)\($", before), expr


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_a_panel_s_last_threshold_can_be_passed(dashboard):
    """A quantile is never above the last bound of its histogram's buckets."""
    ends = {metric.name: metric.bounds[-1] for metric in every_metric() if isinstance(metric, Histogram)}
    for panel in dashboard.panels:
        of = set().union(*(metrics_in(query.expr) for query in panel.queries if "quantile" in query.expr))
        assert all(bound < ends[name] for name in of for bound, _ in panel.steps.above), panel.title


def test_a_replica_that_answers_at_once_and_a_call_as_long_as_the_default_lets_it_can_be_told_from_others():
    assert model.MODEL_SECONDS.bounds[0] == serving.REALTIME_SECONDS.bounds[0] == 0.0001
    assert model.MODEL_SECONDS.bounds[-1] > 10 * BatchingSettings().call_timeout


def test_all_that_the_catalogue_has_is_to_be_seen():
    shown = set().union(*map(metrics_in, EXPRESSIONS))

    assert {metric.name for metric in every_metric()} - shown == NOT_SHOWN


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_a_legend_names_labels_that_its_expression_keeps(dashboard):
    for panel in dashboard.panels:
        for query in panel.queries:
            named = {part.partition("}}")[0] for part in query.legend.split("{{")[1:]}
            assert all(f"{label}," in query.expr or f"{label})" in query.expr for label in named), panel.title


def test_what_is_made_twice_is_the_same():
    assert as_json(DASHBOARDS[0]) == as_json(DASHBOARDS[0])


@pytest.mark.parametrize(
    ("metric", "matcher", "part"),
    [
        (serving.LAG, 'topik="retry"', ""),
        (serving.LAG, "topic=retry", ""),
        (serving.LAG, 'topic="retry"', "_count"),
        (items.TRANSACTION_SECONDS, 'api="a"', ""),
    ],
)
def test_what_a_metric_does_not_have_is_refused_as_it_is_written(metric, matcher, part):
    with pytest.raises(ValueError, match=metric.name):
        select(metric, matcher, part=part)


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("sum(stream_infer_lagg)", "no such metric: stream_infer_lagg"),
        ('stream_infer_lag_records{topik="a"}', "stream_infer_lag_records has no label topik"),
        ("sum by (state) (stream_infer_lag_records)", "stream_infer_lag_records has no label state to go by"),
        ("vector(1)", "no metric at all: vector(1)"),
    ],
)
def test_a_wrong_expression_is_noticed(expr, complaint):
    assert complaints(expr) == [complaint]
