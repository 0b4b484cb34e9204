"""What is shown of a process, in Prometheus's words."""

import structlog

from stream_infer.telemetry.catalogue import items, model
from stream_infer.telemetry.catalogue.metric import OfApi
from stream_infer.telemetry.exposition import metrics_text
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.server import reply_to
from tests.support.metrics import shown_by, value

CATS = OfApi("cats")


def test_counters_gauges_and_histograms_are_shown_with_their_meaning():
    sizes = model.CALL_ITEMS.distribution()
    sizes.note(3)
    exposure = Exposure()
    exposure.show(lambda: [items.ITEMS_ENDED.reading({items.Outcome("cats", "succeeded"): 7})])
    exposure.show(lambda: [items.HELD_ITEMS.reading({CATS: 2}), model.CALL_ITEMS.reading({CATS: sizes})])

    text = metrics_text(exposure).decode()
    samples = shown_by(exposure)

    assert f"# HELP {items.HELD_ITEMS.name} {items.HELD_ITEMS.meaning}\n" in text
    assert "# TYPE stream_infer_items_ended_total counter\n" in text
    assert "# TYPE stream_infer_call_items histogram\n" in text
    assert value(samples, items.ITEMS_ENDED, api="cats", outcome="succeeded") == 7
    assert value(samples, items.HELD_ITEMS, api="cats") == 2
    assert value(samples, "stream_infer_call_items_bucket", api="cats", le="2.0") == 0
    assert value(samples, "stream_infer_call_items_bucket", api="cats", le="4.0") == 1
    assert value(samples, "stream_infer_call_items_bucket", api="cats", le="+Inf") == 1
    assert value(samples, "stream_infer_call_items_sum", api="cats") == 3
    assert value(samples, "process_resident_memory_bytes") > 0


def test_a_source_that_fails_takes_nobody_elses_numbers_with_it():
    def broken():
        raise RuntimeError("dictionary changed size during iteration")

    exposure = Exposure()
    exposure.show(broken)
    exposure.show(lambda: [items.HELD_ITEMS.reading({CATS: 2})])

    with structlog.testing.capture_logs() as said:
        samples = shown_by(exposure)

    assert value(samples, items.HELD_ITEMS, api="cats") == 2
    assert [event["event"] for event in said] == ["metrics_unreadable"]


def test_a_process_is_ready_once_nothing_is_missing_and_says_what_is():
    exposure = Exposure()
    starting = reply_to("/readyz", exposure)
    exposure.missing = lambda: ["Kafka: no answer.", "It has not joined."]
    lacking = reply_to("/readyz?verbose", exposure)
    exposure.missing = lambda: ()

    assert (starting.status, lacking.status, reply_to("/readyz", exposure).status) == (503, 503, 200)
    assert b'"reasons": ["Kafka: no answer.", "It has not joined."]' in lacking.body
    assert reply_to("/healthz", exposure).status == 200
    assert reply_to("/", exposure).status == 404
