"""Folds `{p}.progress` into `{p}.status`: a faust-streaming app around the pure state machine of `jobs.lifecycle`.

    role.py         start, serve, shut down
    app.py          the Faust app: its settings, its credentials, its quiet
    exactly_once.py one explicit transaction per progress partition, over Faust's own producer
    folding.py      the agent's work: fold, write, take over partitions
    rows.py         the rows of one partition, no I/O

`{p}.status` is both what the tracker says and what it remembers: there is no changelog topic beside it.
"""

from stream_infer.tracker.role import run

__all__ = ["run"]
