"""From `stream-infer.yaml`, the environment and the flags to `Settings`.

Nothing else reads the environment, but for what OpenTelemetry's standard variables say (telemetry/otel.py).
"""

from stream_infer.configuration.loading import DEFAULT_FILE, load_definitions, load_settings
from stream_infer.configuration.schema import json_schema

__all__ = ["DEFAULT_FILE", "json_schema", "load_definitions", "load_settings"]
