"""Panels with their rows, variables and links, as Grafana reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.monitoring.panels import DATA_SOURCE, Panel, built
from deploy.monitoring.queries import select
from stream_infer.telemetry.catalogue import jobs

TAG: Final = "stream-infer"
ALERTS_FIRING: Final = 'ALERTS{alertname=~"StreamInfer.+", alertstate="firing"}'


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`name`: of its file, and of its address in Grafana."""

    name: str
    title: str
    tells: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]


def as_json(dashboard: Dashboard) -> str:
    """A whole file. It is provisioned: Grafana shows it and saves no changes."""
    made = (
        builders.Dashboard(f"stream-infer: {dashboard.title}")
        .uid(dashboard.name)
        .description(dashboard.tells)
        .tags([TAG])
        .readonly()
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables([_data_source(), _apis()])
        .annotations([_own_annotations(), _firing()])
        .link(_links())
    )
    number = 0
    for row in dashboard.rows:
        number += 1
        made.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(built(panel, number))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _data_source() -> builders.DatasourceVariable:
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _apis() -> builders.QueryVariable:
    """All is every name there is, those included that come while somebody looks."""
    return (
        builders.QueryVariable("api")
        .label("API")
        .datasource(DATA_SOURCE)
        .query(f"label_values({select(jobs.JOBS)}, api)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


def _own_annotations() -> builders.AnnotationQuery:
    """Grafana's own: where none of that name is, it adds it, and a dashboard is not what its file says."""
    return (
        builders.AnnotationQuery()
        .name("Annotations & Alerts")
        .datasource(DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .built_in(1)
        .enable(enable=True)
        .hide(hide=True)
        .icon_color("blue")
        .type("dashboard")
    )


def _firing() -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name("Alerts of stream-infer")
        .datasource(DATA_SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .expr(ALERTS_FIRING)
    )


def _links() -> builders.DashboardLink:
    """To the other three, with what is chosen here."""
    return (
        builders.DashboardLink("stream-infer")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
