"""Files of deploy/ and helm/ that follow from the code: `python -m deploy.generated` writes them, a test compares.

Of the chart values.schema.json (values_schema.yaml, and below `config` the schema of stream-infer.yaml),
files/defaults.yaml (what its templates have to know of the settings), and copies of alerts and dashboards, since it
packs its own folder. strimzi/*.yaml has the topics and users of deploy/compose/stream-infer.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stream_infer.cli.strimzi import topic_manifests, user_manifests, yaml_text
from stream_infer.configuration import load_settings
from stream_infer.configuration.schema import json_schema
from stream_infer.http_settings import RealtimeSettings
from stream_infer.settings import ApiSettings, KafkaSettings

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm/stream-infer"
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
MADE_BY = "# Made by: python -m deploy.generated\n"
EXAMPLE_CLUSTER = "kafka"


def generated() -> dict[Path, str]:
    """Every such file and what is to stand in it."""
    settings = load_settings(COMPOSE / "stream-infer.yaml", {})
    return {
        **_copies(),
        CHART / "values.schema.json": json.dumps(values_schema(), indent=2) + "\n",
        CHART / "files/defaults.yaml": MADE_BY + yaml.safe_dump(defaults()),
        DEPLOY / "strimzi/topics.yaml": MADE_BY + yaml_text(topic_manifests(settings, EXAMPLE_CLUSTER)),
        DEPLOY / "strimzi/users.yaml": MADE_BY + yaml_text(user_manifests(settings, EXAMPLE_CLUSTER)),
    }


def _copies() -> dict[Path, str]:
    alerts = sorted((DEPLOY / "prometheus").glob("alerts.yaml"))
    dashboards = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
    places = [(file, CHART / "files" / file.name) for file in alerts]
    places += [(file, CHART / "files/dashboards" / file.name) for file in dashboards]
    return {copy: file.read_text(encoding="utf-8") for file, copy in places}


def values_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, which every Helm 3 reads; the configuration's is of a later draft, and says nothing new."""
    values: dict[str, Any] = yaml.safe_load((DEPLOY / "values_schema.yaml").read_text(encoding="utf-8"))
    settings = {key: value for key, value in json_schema().items() if key not in ("$schema", "$defs")}
    values["$defs"] |= {"Settings": settings, **json_schema()["$defs"]}
    return values


def defaults() -> dict[str, Any]:
    """As the settings have them."""
    predictor: Mapping[str, str] = {"type": "native", "target": "model.py:Model"}
    api = ApiSettings.model_validate({"name": "any", "predictor": predictor})
    batching, workers, realtime = api.batching, api.workers, RealtimeSettings()
    return {
        "topic_prefix": KafkaSettings().topic_prefix,
        "presumed_batch_size": batching.model_copy(update={"max_batch_size": "auto"}).presumed_batch_size,
        "realtime": {"replicas": realtime.replicas, "drain_timeout": realtime.drain_timeout},
        "api": {
            "partitions": api.partitions,
            "retry": {"max_attempts": api.retry.max_attempts},
            "workers": {"min": workers.min, "max": workers.max, "idle_seconds": workers.idle_seconds},
            "batching": {"max_batch_size": batching.max_batch_size, "call_timeout": batching.call_timeout},
        },
    }


def main() -> None:
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
