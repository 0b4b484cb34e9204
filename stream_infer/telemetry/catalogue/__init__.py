"""Every metric there is, by the part that it tells of: `python -m stream_infer.telemetry.catalogue` makes its page.

metric.py   what a metric is
items.py    a worker: what becomes of items, and what it holds
model.py    a predictor: micro-batches, its process, its GPU
jobs.py     the tracker's rows, and the intake
store.py    the sink
serving.py  HTTP, and what the gateway sees of Kafka
"""
