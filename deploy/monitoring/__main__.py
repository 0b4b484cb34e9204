"""Writes what Grafana and Prometheus read: `python -m deploy.monitoring`."""

from deploy.monitoring.files import files

for path, text in files().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
