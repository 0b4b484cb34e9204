"""What a panel is, and how it looks in Grafana."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

DATA_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
NUMBER_HEIGHT: Final = 4
GRAPH_HEIGHT: Final = 8


class Shape(StrEnum):
    """`NUMBER`: the last value, one for each series. `STACKED`: areas that add up."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"


class Unit(StrEnum):
    """Grafana's names."""

    COUNT = "short"
    PER_SECOND = "cps"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    RATIO = "percentunit"
    CELSIUS = "celsius"
    WATTS = "watt"


class Steps(NamedTuple):
    """A colour for what is below the first bound, and one from each bound on; bounds rise."""

    base: str
    above: tuple[tuple[float, str], ...] = ()


NEITHER_GOOD_NOR_BAD: Final = Steps("blue")


def warn_at(bound: float, bad: float | None = None) -> Steps:
    """Yellow from `bound` on, red from `bad` on."""
    return Steps("green", ((bound, "yellow"), *(((bad, "red"),) if bad is not None else ())))


def warn_below(bound: float, bad: float) -> Steps:
    """Yellow below `bound`, red below `bad`."""
    return Steps("red", ((bad, "yellow"), (bound, "green")))


class Query(NamedTuple):
    """`legend` may have labels: `{{api}}`."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`tells` an operator what it is and what to make of it. `span`: of 24 columns; `top`: where the axis ends."""

    title: str
    tells: str
    unit: Unit
    queries: tuple[Query, ...]
    shape: Shape = Shape.LINES
    steps: Steps = NEITHER_GOOD_NOR_BAD
    span: int = 8
    top: float | None = None


Built: TypeAlias = stat.Panel | timeseries.Panel


def built(panel: Panel, number: int) -> Built:
    """`number`: its id on the dashboard."""
    made: Built = _number(panel) if panel.shape is Shape.NUMBER else _graph(panel)
    made.id(number).title(panel.title).description(panel.tells).datasource(DATA_SOURCE).unit(panel.unit.value)
    made.span(panel.span).height(NUMBER_HEIGHT if panel.shape is Shape.NUMBER else GRAPH_HEIGHT)
    made.thresholds(_thresholds(panel.steps))
    if panel.unit is not Unit.SECONDS:  # what is left of a job's time may be below 0
        made.min(0)
    if panel.top is not None:
        made.max(panel.top)
    for name, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_target(query, name, at_once=panel.shape is Shape.NUMBER))
    return made


def _target(query: Query, name: str, *, at_once: bool) -> Dataquery:
    target = Dataquery().ref_id(name).expr(query.expr).legend_format(query.legend).datasource(DATA_SOURCE)
    return target.instant() if at_once else target.range()


def _thresholds(steps: Steps) -> dashboard_builders.ThresholdsConfig:
    first = Threshold(value=None, color=steps.base)
    rest = [Threshold(value=bound, color=color) for bound, color in steps.above]
    return dashboard_builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([first, *rest])


def _number(panel: Panel) -> stat.Panel:
    has_several = any("{{" in query.legend for query in panel.queries)
    return (
        stat.Panel()
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if has_several else BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("-")
    )


def _graph(panel: Panel) -> timeseries.Panel:
    graph = (
        timeseries.Panel()
        .line_width(1)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.steps.above:
        graph.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if panel.shape is Shape.STACKED:
        return graph.fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return graph.fill_opacity(0)
