"""What an operator sees of the metrics: dashboards for Grafana and alerts for Prometheus, made from the catalogue.

queries.py     PromQL of catalogued metrics: a typo in a name is a type error, one in a label is refused
panels.py      what a panel is, and how it looks in Grafana
dashboards.py  panels with their rows, variables and links, as Grafana reads them
jobs.py, workers.py (with realtime.py and gpu.py), kafka.py, store.py    the four of them
alerts.py      when somebody is called
files.py       the files under deploy/grafana and deploy/prometheus; __main__.py writes them, and a test compares
"""
