"""Prints the JSON Schema of stream-infer.yaml."""

import json
import sys

from stream_infer.configuration.schema import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
