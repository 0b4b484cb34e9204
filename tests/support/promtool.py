"""Prometheus's own checker: `promtool`, as `make prometheus` unpacks it, or on the PATH."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stream_infer.local.kafka_jars import default_cache_dir
from tests.support.services import missing


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is; skips the test where it is not, and fails it in CI."""
    kept = default_cache_dir() / "bin" / name
    found = str(kept) if kept.exists() else shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: make prometheus, or Debian's package prometheus")
    return found


def complaints_about(metrics: bytes) -> str:
    """What `promtool check metrics` says of what a process has answered; empty where it is well."""
    command = [program("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=metrics, capture_output=True, timeout=30, check=False)
    said = (checked.stdout + checked.stderr).decode()
    return said or (f"status {checked.returncode}" if checked.returncode else "")


def complaints_about_rules(file: Path) -> str:
    """What `promtool check rules` says of a file of rules, all that may be doubted included; empty where it is well."""
    command = [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return checked.stdout + checked.stderr if checked.returncode else ""


def failures_of_rules(tests: Mapping[str, Any], file: Path) -> str:
    """What `promtool test rules` says of these tests, which it reads from `file`; empty where all hold."""
    file.write_text(yaml.safe_dump(tests))
    command = [program("promtool"), "test", "rules", str(file)]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return tested.stdout + tested.stderr if tested.returncode else ""
