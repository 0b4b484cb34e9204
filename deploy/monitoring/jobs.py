"""The dashboard of jobs: are they getting on, how do their items end, what does HTTP say?"""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Dashboard, Row
from deploy.monitoring.panels import Panel, Query, Shape, Unit, warn_at, warn_below
from deploy.monitoring.queries import chosen, largest, of_all, quantile, rate, risen, smallest, total
from stream_infer.jobs.status import FINAL_STATES, State
from stream_infer.telemetry.catalogue import items, jobs, serving, webhooks

_OPEN: Final = f'state=~"{"|".join(state.value for state in State if state not in FINAL_STATES)}"'
_ENDED: Final = f'state=~"{"|".join(state.value for state in State if state in FINAL_STATES)}"'
_REJECTED: Final = 'outcome="rejected"'
_NOT_SKIPPED: Final = 'outcome=~"succeeded|rejected"'
_HOUR: Final = "1h"

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Jobs under way",
            "Jobs that have been submitted and have not ended.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.JOBS, _OPEN)), "jobs"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Items waiting",
            "Items of these jobs that are published and have not ended. What their sources still hold is not in it.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.JOB_ITEMS_WAITING)), "items"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Throughput",
            "Items that end, a second: results, dead letters and what is skipped with its job.",
            Unit.PER_SECOND,
            (Query(total((), rate(items.ITEMS_ENDED)), "items"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Rejected in the last hour",
            "Share of the items that became dead letters. `stream-infer dlq ls API` counts them by their reason.",
            Unit.RATIO,
            (
                Query(
                    of_all(
                        total((), risen(items.ITEMS_ENDED, _REJECTED, over=_HOUR)),
                        total((), risen(items.ITEMS_ENDED, _NOT_SKIPPED, over=_HOUR)),
                    ),
                    "rejected",
                ),
            ),
            Shape.NUMBER,
            warn_at(0.01, 0.1),
            span=4,
        ),
        Panel(
            "Least time left",
            "Until the first of the jobs with a timeout is ended. Nothing where no job under way has one.",
            Unit.SECONDS,
            (Query(smallest((), chosen(jobs.JOB_DEADLINE_SECONDS)), "left"),),
            Shape.NUMBER,
            warn_below(1800, 300),
            span=4,
        ),
        Panel(
            "Jobs that are held up",
            "Jobs that something outside keeps from going on: a source, a store or a model that is away. "
            "`stream-infer get JOB` says for what it waits.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.JOBS_HINDERED)), "jobs"),),
            Shape.NUMBER,
            warn_at(1, 10),
            span=4,
        ),
    ),
)

_JOBS: Final = Row(
    "Jobs",
    (
        Panel(
            "Jobs under way, by state",
            "Many that are `enqueuing` are still being published; `finalizing` ones wait for the sink; `stopping` ones "
            "for what a predictor already has.",
            Unit.COUNT,
            (Query(total(("state",), chosen(jobs.JOBS, _OPEN)), "{{state}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Jobs that have ended and are remembered",
            "By how they ended. They are forgotten after `jobs.retention`.",
            Unit.COUNT,
            (Query(total(("state",), chosen(jobs.JOBS, _ENDED)), "{{state}}"),),
        ),
        Panel(
            "Jobs that are held up, by who waits",
            "`intake`: a source; `worker`: a model that is halted, or what items refer to; `sink`: the store.",
            Unit.COUNT,
            (Query(total(("api", "by"), chosen(jobs.JOBS_HINDERED)), "{{api}}: {{by}}"),),
            steps=warn_at(1),
        ),
        Panel(
            "From submission to the first item's end",
            "Of the jobs of the last hour. With workers at zero it is mostly their start: a process's, and the "
            "model's.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, ("api",), jobs.JOB_FIRST_RESULT_SECONDS, over=_HOUR), "{{api}}: half below"),
                Query(quantile(0.95, ("api",), jobs.JOB_FIRST_RESULT_SECONDS, over=_HOUR), "{{api}}: 95% below"),
            ),
            steps=warn_at(60, 600),
        ),
        Panel(
            "How long jobs take",
            "From submission to the final state, of the jobs that ended in the last hour, however they did.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, ("api",), jobs.JOB_SECONDS, over=_HOUR), "{{api}}: half below"),
                Query(quantile(0.95, ("api",), jobs.JOB_SECONDS, over=_HOUR), "{{api}}: 95% below"),
            ),
        ),
        Panel(
            "Share of its time that a job has used",
            "Of the jobs with a timeout the largest share that is used up. At 100% the job is ended and its other "
            "items are skipped.",
            Unit.RATIO,
            (Query(largest(("api",), chosen(jobs.JOB_TIME_USED_RATIO)), "{{api}}"),),
            steps=warn_at(0.8, 0.95),
            top=1,
        ),
    ),
)

_ITEMS: Final = Row(
    "Items",
    (
        Panel(
            "Items that end, by API",
            "The throughput, counted as it is committed.",
            Unit.PER_SECOND,
            (Query(total(("api",), rate(items.ITEMS_ENDED)), "{{api}}"),),
        ),
        Panel(
            "How items end",
            "`rejected` are dead letters; `skipped` belong to jobs that were stopped, failed or timed out.",
            Unit.PER_SECOND,
            (Query(total(("outcome",), rate(items.ITEMS_ENDED)), "{{outcome}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Share that is rejected",
            "Above `breaker.max_ratio` (a half) of an API's first attempts its predictor is examined: is it the model, "
            "or are it the items?",
            Unit.RATIO,
            (
                Query(
                    of_all(
                        total(("api",), rate(items.ITEMS_ENDED, _REJECTED, over="5m")),
                        total(("api",), rate(items.ITEMS_ENDED, _NOT_SKIPPED, over="5m")),
                    ),
                    "{{api}}",
                ),
            ),
            steps=warn_at(0.01, 0.1),
            top=1,
        ),
        Panel(
            "Items waiting, by API",
            "Items of jobs that are published and have not ended. The intake keeps about `intake.ahead_seconds` of "
            "work there, so a large job shows as a plateau and not as a mountain.",
            Unit.COUNT,
            (Query(total(("api",), chosen(jobs.JOB_ITEMS_WAITING)), "{{api}}"),),
        ),
        Panel(
            "Least time left, by API",
            "Until the first of an API's jobs with a timeout is ended. Below 0 it is being ended.",
            Unit.SECONDS,
            (Query(smallest(("api",), chosen(jobs.JOB_DEADLINE_SECONDS)), "{{api}}"),),
        ),
        Panel(
            "Retries",
            "Items that are sent to a retry topic, by its number. Rising without rejects: something that the model "
            "needs is slow or away.",
            Unit.PER_SECOND,
            (Query(total(("api", "tier"), rate(items.ITEMS_RETRIED)), "{{api}}: attempt {{tier}} failed"),),
        ),
    ),
)

_HTTP: Final = Row(
    "HTTP",
    (
        Panel(
            "Requests, by status",
            "What the gateways answer. `gone`: the client went before there was an answer. 5xx want a look into the "
            "gateway's log.",
            Unit.PER_SECOND,
            (Query(total(("status",), rate(serving.HTTP_REQUESTS)), "{{status}}"),),
            Shape.STACKED,
        ),
        Panel(
            "How long requests take, by route",
            "95% take no longer. A job's log that is followed lasts as long as the job.",
            Unit.SECONDS,
            (Query(quantile(0.95, ("method", "path"), serving.HTTP_SECONDS, over="5m"), "{{method}} {{path}}"),),
            steps=warn_at(1, 10),
        ),
        Panel(
            "Requests that are being answered",
            "Each gateway by itself.",
            Unit.COUNT,
            (Query(total(("instance",), chosen(serving.HTTP_IN_FLIGHT)), "{{instance}}"),),
        ),
    ),
)

_WEBHOOKS: Final = Row(
    "Webhooks",
    (
        Panel(
            "Attempts, by what came of them",
            "`failed` ones are tried again for days; `given_up` and `gone` ones can be told again: "
            "`stream-infer webhooks replay`.",
            Unit.PER_SECOND,
            (Query(total(("api", "outcome"), rate(webhooks.WEBHOOK_ATTEMPTS)), "{{api}}: {{outcome}}"),),
        ),
        Panel(
            "Events that wait",
            "To be told, or told again.",
            Unit.COUNT,
            (Query(total(("api",), chosen(webhooks.WEBHOOKS_WAITING)), "{{api}}"),),
        ),
        Panel(
            "The oldest that waits",
            "Rising for hours: a receiver is away. `stream-infer webhooks ls` says which, and what it answers.",
            Unit.SECONDS,
            (Query(largest(("api",), chosen(webhooks.WEBHOOK_OLDEST_AGE)), "{{api}}"),),
            steps=warn_at(3600, 86400),
        ),
    ),
)

JOBS: Final = Dashboard(
    "stream-infer-jobs",
    "Jobs",
    "Are jobs getting on, how do their items end, and what does HTTP answer?",
    (_NOW, _JOBS, _ITEMS, _WEBHOOKS, _HTTP),
)
