"""Whatever lies in a state file, an object or a request is read, or refused as documented."""

import json
from contextlib import suppress
from pathlib import Path

from hypothesis import given

from stream_infer.engine.codec import decoder_for
from stream_infer.gateway.dead_letters.bodies import ReplayRequest
from stream_infer.gateway.items import check_line
from stream_infer.gateway.submission import inline_lines, job_of, read_spec, submission_records
from stream_infer.gateway.validation import validate
from stream_infer.http.json_text import MalformedJson, parse_json
from stream_infer.http.problems import Problem
from stream_infer.jobs.events import (
    decode_event,
)
from stream_infer.jobs.spec import decode_job
from stream_infer.predictor_settings import NativePredictor
from stream_infer.records import Position
from stream_infer.settings import ApiSettings, Settings
from stream_infer.sink.leftovers import remove_leftovers
from stream_infer.sink.names import read_name
from stream_infer.topics import Topics
from stream_infer.worker.journal import CrashJournal
from tests.support.hostile import FUZZ, hostile
from tests.support.memory_store import MemoryStore

# State files, objects, clients.


@FUZZ
@given(hostile(b'{"topics":{},"suspects":[["t",0,1,2]]}'), hostile(b'{"calls":[[true,[["t",0,[5,6]]]]]}'))
def test_whatever_a_journal_holds_its_suspects_can_be_judged(tmp_path_factory, noted, called):
    file = tmp_path_factory.mktemp("journal") / "slot.json"
    calls = called.removeprefix(b'{"calls":').removesuffix(b"}")
    file.write_bytes(b"%010d" % len(calls) + calls)
    file.with_suffix(".suspects.json").write_bytes(noted)
    journal = CrashJournal(file, lambda _: {})
    for topic, partition, offset, _ in journal.suspects.as_list():
        journal.suspects.verdict(Position(topic, partition, offset))
    journal.begun(1, [1], alone=True)
    journal.close()


@FUZZ
@given(hostile(b'["stream/dt=1/hour=2/a-results-p00000-o00000000000000000007-g1-000000000000.jsonl", "x"]'))
def test_whatever_a_note_of_the_sink_holds_the_share_is_taken_over(note):
    store = MemoryStore()
    store.put("stream/_pending/t/00000/o1.json", note)
    remove_leftovers(store, ("t", 0), 0, lambda: True)
    assert not list(store.list("stream/_pending/"))


def test_a_note_of_the_sink_leads_nowhere_else(tmp_path: Path):
    name = "a-results-p00000-o00000000000000000007-g1-000000000000.jsonl"
    store = MemoryStore()
    store.put("stream/_pending/t/00000/o1.json", json.dumps([f"stream/../x/{name}", f"stream//{name}"]).encode())
    remove_leftovers(store, ("t", 0), 0, lambda: True)
    assert read_name("r-results-p" + "9" * 5000 + "-o" + "0" * 20 + "-g1-000000000000.jsonl") is None


SETTINGS = Settings(apis=[ApiSettings(name="a", predictor=NativePredictor(target="m:M"))])
SUBMISSION = (
    b'{"item_list":{"items":[{"n":1},2],"batch_size":3},"config":{"x":1},"timeout":5,"workers":1,'
    b'"breaker":{"max_ratio":0.5}}'
)
SHAPED = (
    b'{"item_list":{"items":[1]},"results":{"format":"parquet","join":"input",'
    b'"input_filter":"$.a[?@.b>1]","output_filter":"a[].b"}}'
)
DIRECTORY = b'{"directory":{"path":"/x","includes":["*"],"excludes":[]}}'


@FUZZ
@given(hostile(SUBMISSION, DIRECTORY, b'{"jsonl":{"uri":"file:///x"}}', SHAPED))
def test_a_submission_is_a_job_that_every_role_can_read_or_a_problem(body):
    try:
        spec = read_spec(parse_json(body), SETTINGS, SETTINGS.apis[0])
        lines = inline_lines(spec, SETTINGS.limits)
    except (Problem, MalformedJson):
        return
    for line in lines:
        parse_json(line)
    job = job_of(spec, job_id="j", api=SETTINGS.apis[0], at=1.0, digest="d")
    record, said = submission_records(job, SETTINGS.apis[0], Topics("p"))
    assert decode_job(record.value or b"").job_id == "j"
    assert decode_event(said.value or b"") is not None


@FUZZ
@given(hostile(b'{"refs":["0-1"]}', b'{"stage":"predict","exception":"E","message":"m"}'))
def test_a_request_for_a_replay_is_read_or_a_problem(body):
    with suppress(Problem, MalformedJson):
        validate(ReplayRequest, parse_json(body))


@FUZZ
@given(hostile(b'{"n":1}'))
def test_a_line_that_is_let_in_can_be_decoded_by_the_worker(line):
    if check_line(line, 1, 2000) is None:
        decoder_for("application/json")(line)
