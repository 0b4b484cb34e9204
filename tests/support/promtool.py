"""Prometheus's own checker: `promtool`, of Debian's package `prometheus`."""

import shutil
import subprocess

from tests.support.services import missing


def complaints_about(metrics: bytes) -> str:
    """What `promtool check metrics` says of what a process has answered; empty where it is well."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool is not installed: apt-get install prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=30, check=False
    )
    said = (checked.stdout + checked.stderr).decode()
    return said if checked.returncode else ""
