"""What an API has beside its predictor."""

from __future__ import annotations

from stream_infer.configuration.meanings.meanings import Meanings
from stream_infer.http_settings import ApiWebhook, RealtimeSettings
from stream_infer.results import Join, Results
from stream_infer.settings import ApiSettings, BatchingSettings, BreakerSettings, RetrySettings, WorkerSettings

APIS: Meanings = {
    ApiSettings: {
        "name": "lower-case letters, digits, `-`; at most 63",
        "partitions": "of the API's topics: the most workers that can share its work. May grow, never shrink",
    },
    BatchingSettings: {
        "max_batch_size": (
            "items in one call of `predict`, at most; `auto`: [found](predictors.md#how-many-at-a-time) when the "
            "predictor is loaded"
        ),
        "max_batch_bytes": "of their payloads, at most",
        "max_batch_cost": (
            "[the longest item's length times how many there are](predictors.md#items-that-are-padded), at most"
        ),
        "cost_field": "the text or list of a JSON item whose length counts for that; else the payload's bytes",
        "max_wait_ms": (
            "milliseconds to wait for a fuller micro-batch; none while the model is idle and nothing waits"
        ),
        "call_timeout": "seconds for one call; then the process is replaced",
        "load_timeout": "seconds to import, construct and warm up",
        "preprocess_threads": "threads for `preprocess`",
    },
    WorkerSettings: {
        "min": (
            "`up` [keeps](operations.md#scaling) as many; with 0 an idle API has no process and no memory on the GPU"
        ),
        "max": "and starts no more, nor more than there are partitions. `up --workers N` means N, always",
        "idle_seconds": "for so long workers are kept that are not needed any more",
        "drain_timeout": (
            "seconds that a worker which is to end has for what is in its predictor; the rest is done again elsewhere. "
            "`up` waits 20 at most"
        ),
        "max_in_flight": "items that a worker has read and not yet committed, at most",
        "max_in_flight_bytes": "and their bytes",
    },
    RetrySettings: {
        "max_attempts": (
            "1 to 10: how often an item, or a job's `on_job_complete`, is tried; makes one retry topic less than that"
        ),
        "delays": (
            "seconds in each retry topic, in order; the last one serves all further ones. Up to 20% more, by chance"
        ),
        "max_wait": (
            "seconds for which a service may put an item off (`Retry-After`) without costing it an attempt, and "
            "for which its producer may (`si-not-before`)"
        ),
    },
    BreakerSettings: {
        "max_ratio": (
            "more failures than that in the predictor, and the worker finds out whether the model or a job is to "
            "blame; 1 switches it off"
        ),
        "window": "of the last so many first attempts",
    },
    RealtimeSettings: {
        "replicas": "[replicas](realtime.md) that `up` starts; without `realtime` the API answers no requests",
        "listen": (
            "of the first replica; the next ones listen on the ports after it. Beyond loopback only with "
            "`gateway.api_keys_file`"
        ),
        "addresses": "where replicas are that `up` does not start, such as `http://10.0.0.7:8090`",
        "max_in_flight": "items that a replica has taken and not answered, at most; then 429",
        "max_in_flight_bytes": "and their bytes; one item alone may have more",
        "timeout": "seconds for an answer, and the most that a client may wish for by `si-timeout`",
        "drain_delay": "seconds for which a replica that is to end still answers, unready",
        "drain_timeout": "seconds that it has then for what it has taken",
    },
    ApiWebhook: {
        "url": "where the end of this API's jobs is told, in place of `webhooks.url`",
        "events": "of these alone",
        "secrets": "in place of `webhooks.secrets`",
    },
    Results: {
        "format": (
            "how results lie in the store: `jsonl`, `jsonl.gz`, `parquet`, `per-item` ([results](results.md)) or "
            "[a plugin's](plugins.md)"
        ),
        "input_filter": "JSONPath (it begins with `$`) or JMESPath: what the predictor gets of an item",
        "output_filter": "likewise: what is kept of an output, joined or not",
    },
    Join: {
        "input": "what was sent beside what came out: `join: input`, or an object with the names that the two get",
        "output": "the other name",
        "merge": "an input that is an object gets the output as one more member instead",
    },
}
