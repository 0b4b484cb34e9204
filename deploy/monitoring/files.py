"""Where it all lies."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.monitoring.alerts import rules
from deploy.monitoring.dashboards import as_json
from deploy.monitoring.jobs import JOBS
from deploy.monitoring.kafka import KAFKA
from deploy.monitoring.store import STORE
from deploy.monitoring.workers import WORKERS

DEPLOY: Final = Path(__file__).resolve().parents[1]
DASHBOARDS: Final = (JOBS, WORKERS, KAFKA, STORE)
ALERTS_FILE: Final = DEPLOY / "prometheus/alerts.yaml"
_MADE_BY: Final = "# Made by: python -m deploy.monitoring\n"


def dashboard_file(name: str) -> Path:
    return DEPLOY / "grafana/dashboards" / f"{name}.json"


def files() -> dict[Path, str]:
    """Every file that is made here, and what is to stand in it."""
    dashboards = {dashboard_file(one.name): as_json(one) for one in DASHBOARDS}
    return {**dashboards, ALERTS_FILE: _MADE_BY + rules()}
