"""Prints docs/metrics.md."""

import sys

from stream_infer.telemetry.catalogue.page import page

sys.stdout.write(page())
