"""Numbers of a deployment over an hour, a sample a minute: when all is well, and with one thing wrong or nearly so.

In the words of `promtool test rules`: `5+2x3` is 5 7 9 11, `1 1 stale` a process that is gone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from stream_infer.telemetry.catalogue import items, jobs, model, serving, store, webhooks
from stream_infer.telemetry.catalogue.metric import Metric

MINUTES = 60


def series(metric: Metric[Any] | str, **labels: str) -> str:
    name = metric if isinstance(metric, str) else metric.name
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def always(value: float) -> str:
    return f"{value}+0x{MINUTES}"


def rising(by: float, first: float = 0) -> str:
    return f"{first}+{by}x{MINUTES}"


def for_a_while(minutes: int, wrong: float, well: float) -> str:
    """As it should be for ten minutes, then wrong for so many, then well again."""
    return f"{well}+0x9 {wrong}+0x{minutes - 1} {well}+0x{MINUTES}"


GATEWAY, INTAKE, TRACKER, SINK, WORKER, REPLICA = (
    {"instance": name, "role": name.partition(" ")[0]}
    for name in ("gateway", "intake", "tracker", "sink", "worker echo/0", "realtime echo/0")
)
OF_API = {"api": "echo"}

SEEN_AGE = series(serving.LAG_SEEN_AGE, **GATEWAY)
INTAKES = series(jobs.INTAKE_PARTITIONS, **INTAKE)
TRACKERS = series(jobs.TRACKER_PARTITIONS, **TRACKER)
SINKS = series(store.SINK_PARTITIONS, **SINK)
GATEWAY_UP, REPLICA_UP = (series("up", **role) for role in (GATEWAY, REPLICA))
INTAKE_BEGAN, WORKER_BEGAN = (series("process_start_time_seconds", **role) for role in (INTAKE, WORKER))
MEMBERS = series(serving.GROUP_MEMBERS, group="worker", **OF_API, **GATEWAY)
WAITING = series(jobs.JOB_ITEMS_WAITING, **OF_API, **TRACKER)
TO_DO = series(serving.LAG, group="worker", **OF_API, topic="items", **GATEWAY)
ITEMS_AGE = series(serving.LAG_AGE, group="worker", **OF_API, topic="items", **GATEWAY)
EVENTS_AGE = series(serving.LAG_AGE, group="tracker", api="", topic="progress", **GATEWAY)
RESULTS_AGE = series(serving.LAG_AGE, group="sink", **OF_API, topic="results", **GATEWAY)
RETRY_AGE = series(serving.LAG_AGE, group="worker", **OF_API, topic="retry", **GATEWAY)
SERVING = series(items.BREAKER_STATE, **OF_API, state="serving", **WORKER)
HALTED = series(items.BREAKER_STATE, **OF_API, state="halted", **WORKER)
TRYING = series(items.BREAKER_STATE, **OF_API, state="trying", **WORKER)
CRASHED = series(model.CHILD_ENDS, **OF_API, reason="crashed", **WORKER)
NOT_LOADED = series(model.CHILD_ENDS, **OF_API, reason="not_loaded", **WORKER)
RENEWED = series(model.CHILD_ENDS, **OF_API, reason="renewed", **WORKER)
SUCCEEDED = series(items.ITEMS_ENDED, **OF_API, outcome="succeeded", **WORKER)
REJECTED = series(items.ITEMS_ENDED, **OF_API, outcome="rejected", **WORKER)
STORED_AGE = series(store.SINK_OLDEST_AGE, **SINK)
READY = series(serving.REPLICAS, **OF_API, state="ready", **GATEWAY)
UNREADY = series(serving.REPLICAS, **OF_API, state="unready", **GATEWAY)
STORE_FAILURES = series(store.SINK_STORE_FAILURES, **SINK)
TIME_USED = series(jobs.JOB_TIME_USED_RATIO, **OF_API, **TRACKER)
ANSWERED = series(serving.REALTIME_ANSWERS, **OF_API, status="200", **REPLICA)
FULL = series(serving.REALTIME_ANSWERS, **OF_API, status="429", **REPLICA)
UNTOLD_AGE = series(webhooks.WEBHOOK_OLDEST_AGE, **OF_API, **GATEWAY)
FAILED, GONE, GIVEN_UP, WITHDRAWN = (
    series(webhooks.WEBHOOK_ATTEMPTS, **OF_API, outcome=outcome, **GATEWAY)
    for outcome in ("failed", "gone", "given_up", "withdrawn")
)
REFUSED = series(serving.REALTIME_ANSWERS, **OF_API, status="422", **REPLICA)

# Now and then, one at a time.
HICCUPS = "0+0x9 1+0x3 2+0x3 3+0x3 4+0x3 5+0x40"
# Every five minutes, a moment or one time more; in between not there for a minute.
STARTS_OFTEN = " ".join(f"{1000 + 300 * time}+0x3 stale" for time in range(12))
SLOW_LOOP = " ".join(f"{time}+0x4" for time in range(12))

# Busy, with some dead letters, a predictor that has crashed once, a worker that `up` lists and has not started, one
# that comes and goes with its jobs, items that wait for an hour on purpose, and the last second's requests too many.
# One of two replicas is away, and so is a receiver of webhooks, for half an hour now; another one wants none.
WELL: Mapping[str, str] = {
    SEEN_AGE: always(3),
    INTAKES: always(8),
    TRACKERS: always(8),
    SINKS: always(16),
    GATEWAY_UP: always(1),
    REPLICA_UP: always(1),
    **{series("up", **role): always(1) for role in (INTAKE, TRACKER, SINK, WORKER)},
    series("up", instance="worker echo/1", role="worker"): always(0),
    INTAKE_BEGAN: "1000+0x9 1600+0x50",
    WORKER_BEGAN: rising(60, first=1000),
    MEMBERS: always(1),
    WAITING: always(500),
    TO_DO: always(500),
    ITEMS_AGE: always(20),
    EVENTS_AGE: always(2),
    RESULTS_AGE: always(12),
    RETRY_AGE: rising(60),
    SERVING: always(1),
    HALTED: always(0),
    TRYING: always(0),
    CRASHED: "0+0x9 1+0x50",
    NOT_LOADED: always(0),
    RENEWED: always(0),
    SUCCEEDED: rising(10_000),
    REJECTED: rising(20),
    series(items.ITEMS_ENDED, **OF_API, outcome="skipped", **WORKER): rising(100_000),
    series(serving.LAG, group="sink", **OF_API, topic="results", **GATEWAY): always(5),
    STORE_FAILURES: always(0),
    STORED_AGE: always(9),
    READY: always(1),
    UNREADY: always(1),
    TIME_USED: always(0.5),
    ANSWERED: rising(600),
    FULL: rising(6),
    REFUSED: rising(60),
    UNTOLD_AGE: always(1700),
    FAILED: rising(1),
    GONE: rising(1),
    GIVEN_UP: always(3),
    WITHDRAWN: always(3),
}


class Fires(NamedTuple):
    """With `changed` (None: not there at all) that one alert fires, with these labels, from that minute on."""

    alert: str
    case: str
    changed: Mapping[str, str | None]
    labels: Mapping[str, str]
    minute: int


class Quiet(NamedTuple):
    """With `changed` nothing fires at any time."""

    case: str
    changed: Mapping[str, str | None]


FIRES = (
    Fires("StreamInferRoleDown", "no gateway", {SEEN_AGE: None}, {"role": "gateway"}, 3),
    Fires("StreamInferRoleDown", "no intake", {INTAKES: None}, {"role": "intake"}, 3),
    Fires("StreamInferRoleDown", "no tracker", {TRACKERS: None}, {"role": "tracker"}, 3),
    Fires("StreamInferRoleDown", "the sink went", {SINKS: "16+0x9 stale"}, {"role": "sink"}, 13),
    Fires("StreamInferProcessDown", "one of them", {GATEWAY_UP: always(0)}, GATEWAY, 5),
    Fires("StreamInferProcessDown", "one of two replicas", {REPLICA_UP: always(0)}, REPLICA, 5),
    Fires("StreamInferRestarting", "it ends every five minutes", {INTAKE_BEGAN: STARTS_OFTEN}, INTAKE, 21),
    Fires("StreamInferPartitionsUnowned", "no intake has some", {INTAKES: always(7)}, {"role": "intake"}, 5),
    Fires("StreamInferPartitionsUnowned", "trackers have none", {TRACKERS: always(0)}, {"role": "tracker"}, 5),
    Fires("StreamInferNoWorkers", "a job waits", {MEMBERS: always(0), WAITING: always(1), TO_DO: always(0)}, OF_API, 5),
    Fires(
        "StreamInferNoWorkers",
        "items without a job",
        {MEMBERS: always(0), WAITING: always(0), TO_DO: always(1)},
        OF_API,
        5,
    ),
    Fires("StreamInferBreakerOpen", "halted", {SERVING: always(0), HALTED: always(1)}, OF_API, 5),
    Fires(
        "StreamInferBreakerOpen",
        "halted and trying in turns",
        {SERVING: always(0), HALTED: "1" + " 0 1" * 30, TRYING: "0" + " 1 0" * 30},
        OF_API,
        5,
    ),
    Fires("StreamInferChildCrashLoop", "it crashes", {CRASHED: rising(1)}, OF_API, 17),
    Fires("StreamInferChildCrashLoop", "it takes minutes to load, then crashes", {CRASHED: SLOW_LOOP}, OF_API, 25),
    Fires("StreamInferChildCrashLoop", "it does not load", {NOT_LOADED: rising(2)}, OF_API, 16),
    Fires("StreamInferDeadLettersRising", "5% of all", {REJECTED: rising(500)}, OF_API, 3),
    Fires("StreamInferDeadLettersRising", "a little more than 1%", {REJECTED: rising(130)}, OF_API, 3),
    Fires("StreamInferDeadLettersRising", "12 of few", {SUCCEEDED: rising(1), REJECTED: rising(1.2)}, OF_API, 11),
    Fires("StreamInferDeadLettersRising", "all of them", {SUCCEEDED: always(0)}, OF_API, 3),
    Fires("StreamInferLagAge", "workers", {ITEMS_AGE: rising(60)}, {"group": "worker", **OF_API, "topic": "items"}, 13),
    Fires("StreamInferLagAge", "tracker", {EVENTS_AGE: rising(60)}, {"group": "tracker", "topic": "progress"}, 13),
    Fires("StreamInferLagUnknown", "Kafka is away", {SEEN_AGE: always(70)}, {"instance": "gateway"}, 2),
    Fires("StreamInferSinkBehind", "results", {RESULTS_AGE: rising(60)}, {**OF_API, "topic": "results"}, 8),
    Fires(
        "StreamInferStoreAway",
        "it is away",
        {STORE_FAILURES: rising(2), STORED_AGE: always(70)},
        {"instance": "sink"},
        6,
    ),
    Fires("StreamInferJobNearDeadline", "it gets late", {TIME_USED: rising(0.02, first=0.3)}, OF_API, 26),
    Fires(
        "StreamInferJobNearDeadline",
        "late, and nothing of it waits: its source is put off, or its results are not stored",
        {TIME_USED: always(0.85), WAITING: always(0)},
        OF_API,
        1,
    ),
    Fires("StreamInferNoReplicas", "none is ready", {READY: always(0), UNREADY: always(2)}, OF_API, 5),
    Fires(
        "StreamInferNoReplicas",
        "all are gone, and what they counted with them",
        {READY: always(0), UNREADY: always(2), ANSWERED: None, FULL: None, REFUSED: None},
        OF_API,
        5,
    ),
    Fires("StreamInferRealtimeFailing", "full", {FULL: rising(45)}, OF_API, 6),
    Fires("StreamInferWebhooksLate", "a receiver is away", {UNTOLD_AGE: rising(60, first=3000)}, OF_API, 21),
    Fires("StreamInferWebhooksLost", "given up", {GIVEN_UP: "0+0x9 1+0x50"}, OF_API, 11),
    Fires("StreamInferWebhooksLost", "nowhere to send it to", {WITHDRAWN: "0+0x9 1+0x50"}, OF_API, 11),
)
QUIET = (
    Quiet("all is well", {}),
    Quiet("the sink is started anew", {SINKS: "16+0x9 stale stale 16+0x48"}),
    Quiet("a gateway is rolled out", {GATEWAY_UP: for_a_while(4, wrong=0, well=1)}),
    Quiet("workers start from zero", {MEMBERS: for_a_while(4, wrong=0, well=1)}),
    Quiet("at zero with nothing to do", {MEMBERS: always(0), WAITING: always(0), TO_DO: always(0)}),
    Quiet(
        "the model is examined and serves again",
        {SERVING: for_a_while(4, wrong=0, well=1), HALTED: for_a_while(4, wrong=1, well=0)},
    ),
    Quiet("one bad item takes the predictor down some times", {CRASHED: "0+0x9 0+4x2 8+0x48"}),
    Quiet("the predictor crashes now and then", {CRASHED: "0+0x10 1+0x11 2+0x11 3+0x11 4+0x11"}),
    Quiet("an intake is started anew three times in a row", {INTAKE_BEGAN: "1000+0x9 1600 1660 1720+0x50"}),
    Quiet(
        "partitions move from one tracker to the next",
        {TRACKERS: for_a_while(4, wrong=0, well=8), INTAKES: for_a_while(2, wrong=6, well=8)},
    ),
    Quiet("the breaker renews the predictor", {RENEWED: rising(1)}),
    Quiet("a few of few items are bad", {SUCCEEDED: rising(1), REJECTED: rising(0.9)}),
    Quiet("a little less than 1% of the items are bad", {REJECTED: rising(80)}),
    Quiet("4% of the predictions come at a bad moment", {FULL: rising(28)}),
    Quiet("an intake is started anew every quarter of an hour", {INTAKE_BEGAN: "0+0x9 1+0x13 2+0x13 3+0x13 4+0x9"}),
    Quiet("Kafka does not answer for a minute", {SEEN_AGE: "3+0x9 63 3+0x50"}),
    Quiet("a look at the lag takes long", {ITEMS_AGE: always(590), RESULTS_AGE: always(290)}),
    Quiet("the store fails once", {STORE_FAILURES: "0+0x9 1+0x50"}),
    Quiet("the last job with a timeout has ended just in time", {TIME_USED: "0.79+0x9 0.99 stale"}),
    Quiet("the store asks for patience now and then", {STORE_FAILURES: HICCUPS, STORED_AGE: always(50)}),
    Quiet("the store is slow, and fails nothing", {STORED_AGE: always(200)}),
    Quiet(
        "replicas are rolled out", {READY: for_a_while(4, wrong=0, well=2), UNREADY: for_a_while(4, wrong=2, well=0)}
    ),
    Quiet("an API has no replicas, as its configuration says", {READY: always(0), UNREADY: always(0)}),
    Quiet(
        "one of few requests fails now and then",
        {ANSWERED: always(9), REFUSED: always(9), FULL: HICCUPS},
    ),
    Quiet("two of ten requests in five minutes fail", {ANSWERED: rising(2), REFUSED: always(9), FULL: rising(0.5)}),
    Quiet("no requests at all", {ANSWERED: always(9), FULL: always(9), REFUSED: always(9)}),
    Quiet("clients send what no model can read", {REFUSED: rising(6000)}),
    Quiet("an event of last week is told again", {UNTOLD_AGE: for_a_while(8, wrong=604_800, well=0)}),
    Quiet("a gateway starts anew that had given up", {GIVEN_UP: "3+0x9 stale stale 0+0x48"}),
    Quiet("a rush of requests", {FULL: "0+0x9 0+150x2 300+0x48"}),
)
