"""The gateway from outside, for programs: `stream_infer.client(…)` and `stream_infer.async_client(…)`.

What is asked and what an answer means is said once, without I/O: `calls.py` has every request, `steps.py` how several
follow each other. `gateway.py` and `async_gateway.py` carry it out, by httpx. Importing any of it loads no Kafka, no
model framework and no server.
"""
