"""Every file that is made, and what is to stand in it."""

from __future__ import annotations

import json
from pathlib import Path

from docs_made import asyncapi, command_line, configuration, http, topics
from stream_infer.configuration import json_schema
from stream_infer.telemetry.catalogue import page as metrics

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def generated() -> dict[Path, str]:
    by_hand = DOCS / "configuration.md"
    return {
        by_hand: configuration.with_tables(by_hand.read_text(encoding="utf-8")),
        DOCS / "stream-infer.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        DOCS / "command-line.md": command_line.page(),
        DOCS / "http-reference.md": http.page(),
        DOCS / "topics.md": topics.page(),
        DOCS / "asyncapi.yaml": asyncapi.document(),
        DOCS / "metrics.md": metrics.page(),
    }
