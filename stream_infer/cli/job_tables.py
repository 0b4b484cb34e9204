"""Jobs, results and dead letters as a person reads them. Pure: from bodies to text and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from stream_infer.cli.job_lines import plain as line_text
from stream_infer.clients.progress import duration, ended, eta, progress_line
from stream_infer.dead_letters import ErrorHeader, Writer
from stream_infer.gateway.dead_letters.bodies import DeadLetterDetail, DeadLetterGroup, DeadLetterList
from stream_infer.gateway.representations import JobBody
from stream_infer.gateway.webhooks.bodies import DeliveryBody, WebhookBody
from stream_infer.jobs.status import State

STYLES = {
    State.SUCCEEDED: "green",
    State.COMPLETED_WITH_FAILURES: "yellow",
    State.STOPPED: "yellow",
    State.STOPPING: "yellow",
    State.TIMED_OUT: "red",
    State.FAILED: "red",
}

# Of a dead letter's headers these are facts with a row of their own.
_SHOWN_BY_NAME = frozenset(ErrorHeader) - {ErrorHeader.CLASS_NAME}
_LONGEST_ITEM = 120
_INLINE = re.compile(r"_submissions/[^/#]+\.jsonl#line=(\d+)$")


def counted(number: int, what: str) -> str:
    """1 item, 2 items, 1,000 items."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def short_source(source: str | None) -> str:
    """Where an item lay; of one that was given inline, which one of them it was, from 1."""
    inline = _INLINE.search(source or "")
    return f"item {inline[1]}" if inline else source or ""


def planned_item(line: Mapping[str, Any]) -> str:
    """An item of a dry run: what it is where it is short, and where it lies where it lies somewhere."""
    item = line.get("item")
    shown = "" if "item" not in line else item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    if "source" in line and item == line["source"]:
        shown = ""
    text = f"{shown[:_LONGEST_ITEM]}{'…' * (len(shown) > _LONGEST_ITEM)} {line.get('error', '')}"
    return plain(f"{short_source(line.get('source'))}  {text}".strip()).plain


def job_table(jobs: Sequence[JobBody]) -> Table:
    table = table_of("job!", "api", "state", "items>", "failed>", "skipped>", "items/s>", "left>", "submitted!")
    for job in jobs:
        left = eta(job)
        size = f"{job.counts.enqueued:,}" + ("" if job.is_enqueued else "+")
        table.add_row(
            plain(job.job_id),
            plain(job.api_name),
            Text(str(job.state), STYLES.get(job.state, "cyan")),
            f"{ended(job):,}/{size}",
            f"{job.counts.rejected:,}" if job.counts.rejected else "",
            f"{job.counts.skipped:,}" if job.counts.skipped else "",
            f"{job.rate:,.0f}" if job.rate and not job.is_final else "",
            duration(left) if left is not None and job.counts.waiting else "",
            _short_time(job.submitted_at),
        )
    return table


def job_details(job: JobBody) -> Table:
    """Everything about one job, a fact a row."""
    table = Table.grid(padding=(0, 2))
    facts: list[tuple[str, object]] = [
        ("job", job.job_id),
        ("api", job.api_name),
        ("progress", progress_line(job)),
        ("phase", job.phase),
        ("cause", job.cause),
        ("generation", job.generation if job.generation > 1 else None),
        ("source", json.dumps(job.source)),
        ("config", json.dumps(job.config) if job.config else None),
        ("submitted", _time(job.submitted_at)),
        *((name.removesuffix("_at"), _time(at)) for name, at in sorted(job.times.items(), key=lambda entry: entry[1])),
        ("first end", None if job.first_end_after is None else f"{job.first_end_after:.1f} s after its submission"),
        ("workers", None if job.workers is None else f"wants {job.workers}"),
        ("deadline", None if job.deadline is None else _time(job.deadline)),
        *(("error", error) for error in job.errors),
        ("hindered", job.hindrance),
        (
            "results",
            f"{job.results_uri} ({counted(job.objects, 'object')}, {counted(job.bytes, 'byte')})"
            if job.objects
            else None,
        ),
        ("manifest", job.manifest),
        *_webhook_facts(job.webhook),
    ]
    for name, fact in facts:
        if fact is not None:
            table.add_row(Text(name, "bold"), plain(str(fact)))
    return table


def _webhook_facts(webhook: WebhookBody | None) -> Iterator[tuple[str, object]]:
    """Whom the job's end is told, and what has become of each time that it was."""
    if webhook is None:
        return
    yield "webhook", webhook.url
    for one in webhook.deliveries:
        tried = f" after {counted(one.attempts, 'attempt')}" if one.attempts > 1 else ""
        yield "told", "; ".join(part for part in (f"{one.event}: {one.state}{tried}", said_of(one)) if part)


def said_of(delivery: DeliveryBody) -> str:
    """What was wrong with the last attempt, and when the next one is."""
    next_at = None if delivery.next_at is None else f"next at {_time(delivery.next_at)}"
    return "; ".join(part for part in (delivery.reason, next_at) if part is not None)


def result_table(lines: Iterable[bytes]) -> Table:
    """A result, or a failed item, a row."""
    table = table_of("item", "source", "output")
    for line in lines:
        value = json.loads(line)
        error = value.get("error")
        said = f"{error['stage']}: {error['exception']}: {error['message']}" if error else _short(value.get("output"))
        name = value.get("custom_id") or value.get("item_id", "")
        table.add_row(plain(str(name)), plain(short_source(value.get("source"))), plain(said))
    return table


def group_table(letters: DeadLetterList) -> Table:
    table = table_of("stage", "exception", "count>", "when!", "such as!", "message")
    for group in letters.groups:
        table.add_row(
            plain(group.stage), plain(group.exception), f"{group.count:,}", _span(group), group.example,
            plain(group.message[:200]),
        )  # fmt: skip
    return table


def _span(group: DeadLetterGroup) -> str:
    first, last = _short_time(group.first), _short_time(group.last)
    return first if first == last else f"{first} to {last}"


def dead_letter_table(letters: DeadLetterList) -> Table:
    table = table_of("ref!", "when!", "item", "source", "stage", "exception", "message")
    for letter in letters.dead_letters:
        table.add_row(
            letter.ref,
            _short_time(letter.timestamp),
            plain(letter.custom_id or letter.item_id),
            plain(short_source(letter.source)),
            letter.stage,
            plain(letter.exception.rpartition(".")[2]),
            plain(letter.message[:200]),
        )
    return table


def dead_letter_details(letter: DeadLetterDetail) -> Table:
    """The reason, the payload, the item's headers and the stack, each once and under its name."""
    table = Table.grid(padding=(0, 2))
    size = counted(letter.payload_bytes, "byte")
    facts: list[tuple[str, object]] = [
        ("ref", letter.ref),
        ("item", letter.item_id),
        ("custom id", letter.custom_id),
        ("job", letter.job_id),
        ("source", letter.source),
        ("key", letter.key),
        ("from", f"{letter.origin.topic}[{letter.origin.partition}]@{letter.origin.offset}"),
        ("when", _time(letter.timestamp)),
        ("stage", letter.stage),
        ("exception", letter.exception),
        ("message", letter.message),
        ("attempt", letter.attempt),
        ("worker", letter.worker or None),
        ("written by", None if letter.writer is Writer.WORKER else letter.writer),
        ("replayed", "yes: it runs again" if letter.is_replayed else None),
        (f"payload ({letter.content_type}, {size})", _payload(letter)),
        *(
            (f"header {header.name}", header.value or header.base64 or "")
            for header in letter.headers
            if header.name not in _SHOWN_BY_NAME
        ),
        ("stack", letter.stacktrace or None),
        ("log", "\n".join(line_text(line) for line in letter.log) or None),
    ]
    for name, fact in facts:
        if fact is not None:
            table.add_row(Text(name, "bold", overflow="fold"), plain(str(fact), keep_lines=True))
    return table


def _payload(letter: DeadLetterDetail) -> str:
    """As text, or as the advice how to come by bytes that are none."""
    match letter.payload_encoding:
        case "json":
            return json.dumps(letter.payload, indent=2, ensure_ascii=False)
        case "text":
            return str(letter.payload)
        case "none":
            return "none"
        case _:
            return "not text; `dlq export --dir FOLDER` writes it to a file"


def plain(text: str, *, keep_lines: bool = False) -> Text:
    """Text that was written by others, without what a terminal would obey."""
    kept = "\n" if keep_lines else ""
    return Text(
        "".join(sign if sign.isprintable() or sign in kept else "\ufffd" for sign in text.expandtabs()), overflow="fold"
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _short_time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%m-%d %H:%M")


def table_of(*columns: str) -> Table:
    """Columns by name; one that ends in '>' is flush right, and neither it nor one that ends in '!' is ever broken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column.endswith(">") else "left"
        table.add_column(column.rstrip(">!"), justify=justify, no_wrap=column.endswith((">", "!")))
    return table
