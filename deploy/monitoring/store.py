"""The dashboard of sink, intake and tracker: what comes in, what is stored, and how jobs end."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Dashboard, Row
from deploy.monitoring.panels import Panel, Query, Shape, Unit, warn_at
from deploy.monitoring.queries import chosen, largest, of_all, quantile, rate, risen, smallest, total
from stream_infer.telemetry.catalogue import jobs, store

_EACH: Final = ("instance",)
_WAITING: Final = 'state="waiting"'

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Sink full",
            "Bytes that were read and are not stored, of what a sink may hold: the fullest of them. Near 100% it reads "
            "no more.",
            Unit.RATIO,
            (
                Query(
                    largest(
                        (),
                        of_all(chosen(store.SINK_HELD_BYTES), chosen(store.SINK_HELD_BYTES_LIMIT)),
                    ),
                    "full",
                ),
            ),
            Shape.NUMBER,
            warn_at(0.8, 1),
            span=4,
        ),
        Panel(
            "Oldest result that is not stored",
            "How long it has been with the sink. Above `sink.flush_age` (10 s) and rising: the store or Kafka keeps it "
            "waiting.",
            Unit.SECONDS,
            (Query(largest((), chosen(store.SINK_OLDEST_AGE)), "old"),),
            Shape.NUMBER,
            warn_at(60, 300),
            span=4,
        ),
        Panel(
            "Store away, in the last hour",
            "How often the store kept a flush waiting: it is away, or refuses the credentials.",
            Unit.COUNT,
            (Query(total((), risen(store.SINK_STORE_FAILURES, over="1h")), "times"),),
            Shape.NUMBER,
            warn_at(1, 10),
            span=4,
        ),
        Panel(
            "Ends of jobs that wait",
            "For a store, or for a place outside it, that is away. After 15 minutes a job ends without that place, and "
            "says so.",
            Unit.COUNT,
            (Query(total((), chosen(store.FINALIZER_STEPS, _WAITING)), "steps"),),
            Shape.NUMBER,
            warn_at(1, 10),
            span=4,
        ),
        Panel(
            "Jobs that are being published",
            "Their sources are not all published yet.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.INTAKE_JOBS, 'state="publishing"')), "jobs"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Jobs whose source is away",
            "They are tried again; `stream-infer get JOB` says what is missing.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.INTAKE_JOBS, 'state="put_off"')), "jobs"),),
            Shape.NUMBER,
            warn_at(1, 10),
            span=4,
        ),
    ),
)

_STORED: Final = Row(
    "What is stored",
    (
        Panel(
            "Records",
            "Results and dead letters (`errors`) that lie in committed objects.",
            Unit.PER_SECOND,
            (Query(total(("api", "kind"), rate(store.SINK_RECORDS)), "{{api}}: {{kind}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Objects",
            "Many small ones cost requests: `sink.flush_bytes` and `sink.flush_age` say when they are closed.",
            Unit.PER_SECOND,
            (Query(total(("api", "kind"), rate(store.SINK_OBJECTS)), "{{api}}: {{kind}}"),),
        ),
        Panel(
            "Bytes",
            "As they lie, compressed where their format is.",
            Unit.BYTES_PER_SECOND,
            (Query(total(("api", "kind"), rate(store.SINK_BYTES)), "{{api}}: {{kind}}"),),
            Shape.STACKED,
        ),
        Panel(
            "How long flushes take",
            "From the closing of a partition's buffers to the commit: the store's puts, and the transaction.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, (), store.SINK_FLUSH_SECONDS), "half below"),
                Query(quantile(0.99, (), store.SINK_FLUSH_SECONDS), "99% below"),
            ),
            steps=warn_at(10, 60),
        ),
        Panel(
            "Flushes, by how they ended",
            "`aborted`: the transaction is made again; `begun_anew`: Kafka was away, or another sink took over.",
            Unit.PER_SECOND,
            (Query(total(("outcome",), rate(store.SINK_FLUSHES)), "{{outcome}}"),),
        ),
        Panel(
            "Flushes that the store kept waiting",
            "In five minutes, by sink. Above 0: it is away, or refuses the credentials. Nothing is lost.",
            Unit.COUNT,
            (Query(total(_EACH, risen(store.SINK_STORE_FAILURES, over="5m")), "{{instance}}"),),
            steps=warn_at(1),
        ),
    ),
)

_SINK: Final = Row(
    "Sink",
    (
        Panel(
            "Bytes that are held",
            "Read and not stored, of each sink, and what it may hold.",
            Unit.BYTES,
            (
                Query(total(_EACH, chosen(store.SINK_HELD_BYTES)), "{{instance}}"),
                Query(smallest((), chosen(store.SINK_HELD_BYTES_LIMIT)), "limit"),
            ),
        ),
        Panel(
            "Oldest that is held",
            "Above `sink.flush_age` and rising: the store or Kafka keeps it waiting.",
            Unit.SECONDS,
            (Query(largest(_EACH, chosen(store.SINK_OLDEST_AGE)), "{{instance}}"),),
            steps=warn_at(60, 300),
        ),
        Panel(
            "Flushes on their way",
            "Into the store, at this moment.",
            Unit.COUNT,
            (Query(total(_EACH, chosen(store.SINK_UPLOADS)), "{{instance}}"),),
        ),
        Panel(
            "Partitions",
            "Of results and dead letters: those that each sink owns, and those that it has stopped reading since it "
            "holds enough.",
            Unit.COUNT,
            (
                Query(total(_EACH, chosen(store.SINK_PARTITIONS)), "{{instance}}"),
                Query(total(_EACH, chosen(store.SINK_PAUSED)), "{{instance}}: paused"),
            ),
        ),
        Panel(
            "Steps at jobs' ends",
            "`unseal`: `_SUCCESS` goes, since the job runs again; `hook`: `on_job_complete`; `assemble`: a file of "
            "results for each file of input.",
            Unit.COUNT,
            (Query(total(("step", "state"), chosen(store.FINALIZER_STEPS)), "{{step}}: {{state}}"),),
        ),
        Panel(
            "Steps that were done",
            "A second, committed.",
            Unit.PER_SECOND,
            (Query(total(("step",), rate(store.FINALIZER_DONE)), "{{step}}"),),
        ),
    ),
)

_INTAKE: Final = Row(
    "Intake and tracker",
    (
        Panel(
            "Items that are published",
            "Of jobs, a second. It follows what the workers do, and keeps them about `intake.ahead_seconds` of work.",
            Unit.PER_SECOND,
            (Query(total(("api",), rate(jobs.INTAKE_ITEMS)), "{{api}}"),),
        ),
        Panel(
            "Jobs that are not all published",
            "`put_off`: their source or the store is away.",
            Unit.COUNT,
            (Query(total(("api", "state"), chosen(jobs.INTAKE_JOBS)), "{{api}}: {{state}}"),),
            Shape.STACKED,
        ),
        Panel(
            "How far their sources are published",
            "All together. Standing still while jobs are `publishing`: enough waits in the topic, or a source gives "
            "nothing.",
            Unit.COUNT,
            (Query(total(("api",), chosen(jobs.INTAKE_POSITION)), "{{api}}"),),
        ),
        Panel(
            "Partitions of jobs",
            "That all intakes, and all trackers, own together. Each is `jobs.partitions`, or some jobs stand still.",
            Unit.COUNT,
            (
                Query(total((), chosen(jobs.INTAKE_PARTITIONS)), "intake"),
                Query(total((), chosen(jobs.TRACKER_PARTITIONS)), "tracker"),
            ),
            span=12,
        ),
        Panel(
            "Events that the tracker folds",
            "Into the rows of jobs. One does about 2,000 a second: near that, run more trackers.",
            Unit.PER_SECOND,
            (Query(total(_EACH, rate(jobs.EVENTS_FOLDED)), "{{instance}}"),),
            steps=warn_at(1500, 2000),
            span=12,
        ),
    ),
)

STORE: Final = Dashboard(
    "stream-infer-store",
    "Sink and intake",
    "What comes in, what is stored, and how do jobs end?",
    (_NOW, _STORED, _SINK, _INTAKE),
)
