"""Filters on a thread of their own: nothing is lost, and whoever waits is woken."""

import threading

from stream_infer.errors import Stage
from stream_infer.records import Failure, Output, Payload
from stream_infer.results import Results
from stream_infer.shaping.shaping import Shaping
from stream_infer.worker.shape import ShapedInput, ShapedOutput, ShapeStage


def test_everything_comes_back_in_its_order_and_a_waiting_thread_is_woken() -> None:
    woken = threading.Semaphore(0)
    stage = ShapeStage(woken.release)
    shaping = Shaping(Results(input_filter="$.x", join="input"))
    stage.start()
    found_in: list[ShapedInput] = []
    found_out: list[ShapedOutput] = []
    for n in range(500):
        stage.shape_input(n, shaping, Payload(b'{"x": %d}' % n if n % 5 else b"{}"))
        stage.shape_output(n, shaping, Payload(b"%d" % n), Output(b"0"))
    while len(found_in) < 500 or len(found_out) < 500:
        assert woken.acquire(timeout=10), "something is done, and nobody was told"
        found_in += stage.take_inputs()
        found_out += stage.take_outputs()
    stage.close()

    assert [shaped.token for shaped in found_in] == [shaped.token for shaped in found_out] == list(range(500))
    assert stage.outputs_under_way == set()
    assert found_out[7].outcome == Output(b'{"input":7,"output":0}')
    refused = [shaped.outcome for shaped in found_in if isinstance(shaped.outcome, Failure)]
    assert len(refused) == 100
    assert {(failure.stage, failure.final) for failure in refused} == {(Stage.INPUT_FILTER, True)}


def test_a_stage_that_was_never_started_or_has_more_to_do_can_be_closed() -> None:
    idle = ShapeStage(lambda: None)
    idle.shape_input(1, Shaping(Results(input_filter="a")), Payload(b"{}"))
    idle.close()

    busy = ShapeStage(lambda: None)
    busy.start()
    for n in range(10_000):
        busy.shape_input(n, Shaping(Results(input_filter="a")) if n == 0 else Shaping(Results()), Payload(b"{}"))
    busy.close()
