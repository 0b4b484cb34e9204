"""Whatever is said in headers and records is what is read of them, however often an item goes round.

What strangers write is the other half, and lies in the tests of each codec.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.alike import read_alike
from stream_infer.dead_letters import ErrorHeader, dead_letter, read_dead_letter
from stream_infer.errors import Stage
from stream_infer.gateway.dead_letters.originals import again, original_of, without_errors
from stream_infer.headers import (
    ORDINARY_REST,
    REST,
    Header,
    _read_any_item,
    item_headers,
    read_item,
    result_headers,
    retry_headers,
    shared_headers,
)
from stream_infer.jobs.checkpoints import Checkpoint, decode_checkpoint, encode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Exhausted, Failed, Finalized, Reopened, decode_event, encode_event
from stream_infer.jobs.manifest import (
    Kind,
    ManifestRecord,
    decode_manifest,
    encode_manifest,
    job_folder,
    job_of_manifest_key,
    manifest_key,
)
from stream_infer.jobs.replays import Replayed, ReplayMark, Replays, mark_record, replayed_record
from stream_infer.jobs.sources import (
    CsvFile,
    DelimitedFiles,
    Directory,
    FilePathLister,
    JsonlFile,
    Manifest,
    ParquetFile,
    S3Prefix,
)
from stream_infer.jobs.spec import BreakerSpec, Job, decode_job, encode_job
from stream_infer.jobs.status import Cause, JobStatus, Phase, State, decode_status, encode_status
from stream_infer.records import JSON, Control, Failure, Headers, Item, Message, OutgoingRecord, Position, Run
from tests.support.memory_store import MemoryStore

quick = settings(max_examples=60)

WORDS = st.text(max_size=12)
SAID = st.text(min_size=1, max_size=12)
OURS = {str(header) for header in (*Header, *ErrorHeader)}
STRANGE = SAID.filter(lambda name: name.lower() not in OURS)
FOREIGN = st.lists(st.tuples(STRANGE, st.none() | st.binary(max_size=6)), max_size=4).map(tuple)
# In the milliseconds in which they are written.
MOMENTS = st.integers(0, 10**12).map(lambda milliseconds: milliseconds / 1000)
NUMBERS = st.integers(1, 10**18 - 1)
PLACES = st.builds(
    Position, st.from_regex(r"[A-Za-z0-9._-]{1,30}", fullmatch=True), st.integers(0, 10**9 - 1),
    st.integers(0, 10**18 - 1),
)  # fmt: skip
# A header without a value names nothing.
NAMED = st.fixed_dictionaries(
    {"content_type": SAID},
    optional={
        "job_id": SAID,
        "item_id": SAID,
        "custom_id": SAID,
        "source": WORDS,
        "generation": NUMBERS,
        "deadline": MOMENTS,
        "control": st.just(Control.ON_JOB_COMPLETE),
    },
)
FAILURES = st.builds(Failure, st.sampled_from(Stage), WORDS, WORDS, WORDS)


def at(place: Position, headers: Headers, key: bytes | None = b"k", value: bytes | None = b"v") -> Message:
    return Message(*place, key, value, headers, 0)


ANY_NAME = st.sampled_from([*Header, *(header.upper() for header in Header), "other"]).map(str)
ANY_VALUE = st.none() | st.binary(max_size=3) | st.sampled_from([b"", b"1", b"2", b"job", JSON.encode()])


SIMILAR = st.lists(st.sampled_from(list(Header)[:11]).map(str), max_size=5, unique=True).flatmap(
    lambda names: st.lists(
        st.tuples(*[st.tuples(st.just(name), st.sampled_from([b"1", b"\xff", b"", b"job"])) for name in names]),
        min_size=1,
        max_size=4,
    )
)


@given(
    PLACES, SIMILAR | st.lists(st.lists(st.tuples(ANY_NAME, ANY_VALUE), max_size=3).map(tuple), min_size=1, max_size=3)
)
def test_items_that_are_alike_are_what_each_of_them_says(place: Position, headers: list[Headers]) -> None:
    messages = [at(place._replace(offset=offset), said) for offset, said in enumerate(headers)]

    alike = read_alike(Run.of(messages))

    if alike is None:
        return
    for message, own in zip(messages, alike.own, strict=True):
        item = read_item(message)
        assert (item.content_type, item.job_id, item.generation) == (alike.content_type, alike.job_id, 1)
        assert item._replace(tracestate=None)[REST:] == ORDINARY_REST
        result = shared_headers(JSON, alike.job_id, 1) + tuple(own)
        assert sorted(result) == sorted(result_headers(item, JSON))


def test_what_intake_writes_is_alike() -> None:
    headers = [item_headers(job_id="j", item_id=f"j-{n}", source=f"f#{n}", generation=1) for n in range(3)]
    alike = read_alike(Run.of([at(Position("t", 0, n), said) for n, said in enumerate(headers)]))
    assert alike is not None
    assert (alike.content_type, alike.job_id) == (JSON, "j")


@given(PLACES, st.lists(st.tuples(ANY_NAME, ANY_VALUE), max_size=5).map(tuple))
def test_the_short_way_to_read_an_item_says_what_the_long_one_says(place: Position, headers: Headers) -> None:
    assert read_item(at(place, headers)) == _read_any_item(at(place, headers))


def name_and_kin(item: Item) -> tuple[Any, ...]:
    """What an item keeps for its whole life, but for its generation."""
    return (item.item_id, item.job_id, item.custom_id, item.source, item.content_type, item.message.key)


@quick
@given(NAMED, FOREIGN, FOREIGN, PLACES)
def test_an_item_says_of_itself_what_its_headers_were_given(
    named: dict[str, Any], before: Headers, behind: Headers, place: Position
) -> None:
    item = read_item(at(place, (*before, *item_headers(**named), *behind)))

    assert item.fault is None
    assert {name: getattr(item, name) for name in named} == named
    for name in {"job_id", "custom_id", "source", "deadline", "control"} - named.keys():
        assert getattr(item, name) is None
    assert item.item_id == named.get("item_id", "-".join(map(str, place)))
    assert (item.generation, item.attempt, item.origin) == (named.get("generation", 1), 1, None)


@quick
@given(
    NAMED,
    FOREIGN,
    PLACES,
    st.lists(st.tuples(PLACES, NUMBERS, MOMENTS, st.none() | MOMENTS), min_size=1, max_size=4),
)
def test_an_item_is_itself_after_any_number_of_tiers(
    named: dict[str, Any], foreign: Headers, place: Position, laps: list[tuple[Position, int, float, float | None]]
) -> None:
    first = item = read_item(at(place, (*foreign, *item_headers(**named))))
    for where, attempt, not_before, since in laps:
        headers = retry_headers(item, attempt=attempt, not_before=not_before, since=since)
        item = read_item(at(where, headers))
        assert (item.attempt, item.not_before, item.retry_since) == (attempt, not_before, since)
        assert (item.fault, item.origin, item.first_position) == (None, place, place)
        assert name_and_kin(item) == name_and_kin(first)
        assert (item.generation, item.deadline, item.control) == (first.generation, first.deadline, first.control)
        assert tuple(pair for pair in headers if pair[0].lower() not in OURS) == foreign
        assert len({name for name, _ in headers if name in OURS}) == sum(name in OURS for name, _ in headers)


@quick
@given(NAMED, FOREIGN, PLACES, PLACES, PLACES, FAILURES, NUMBERS, st.booleans())
def test_a_dead_letter_says_why_and_its_item_runs_again_as_it_was(
    named: dict[str, Any],
    foreign: Headers,
    place: Position,
    tier: Position,
    grave: Position,
    failure: Failure,
    generation: int,
    retried: bool,
) -> None:
    first = item = read_item(at(place, (*foreign, *item_headers(**named))))
    if retried:
        item = read_item(at(tier, retry_headers(item, attempt=2, not_before=1.5, since=0.5)))
    record = dead_letter(item, failure, grave.topic, predictor="m.M", worker="w", api_version="v1")
    letter = read_dead_letter(as_read(record, grave))

    assert letter.failure == failure
    assert (letter.origin, letter.position, letter.worker, letter.api_version) == (place, grave, "w", "v1")
    assert name_and_kin(letter.item) == name_and_kin(first)
    assert (letter.item.attempt, letter.item.generation) == (item.attempt, first.generation)

    back = again(letter, original_of(letter, MemoryStore()), "items", generation, 10_000)
    item = read_item(as_read(back, Position("items", 0, 1)))
    assert name_and_kin(item) == name_and_kin(first)
    assert item.message.value == first.message.value
    assert item.generation == (generation if first.job_id is not None else first.generation)
    assert (item.attempt, item.not_before, item.deadline, item.retry_since, item.origin) == (1, None, None, None, None)
    assert tuple(pair for pair in back.headers if pair[0].lower() not in OURS) == without_errors(foreign)


def as_read(record: OutgoingRecord, place: Position) -> Message:
    return at(place, record.headers, record.key, record.value)


@quick
@given(NAMED, FOREIGN, PLACES, SAID, st.booleans())
def test_a_result_belongs_to_its_item_and_to_its_job_if_there_is_one(
    named: dict[str, Any], foreign: Headers, place: Position, content_type: str, jobless: bool
) -> None:
    item = read_item(at(place, (*foreign, *item_headers(**named))))
    result = read_item(at(place, result_headers(item, content_type, jobless=jobless)))

    assert (result.item_id, result.custom_id, result.source) == (item.item_id, item.custom_id, item.source)
    assert (result.content_type, result.fault) == (content_type, None)
    has_job = item.job_id is not None and not jobless
    assert (result.job_id, result.generation) == ((item.job_id, item.generation) if has_job else (None, 1))


JOB_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
APIS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
WHOLE = st.integers(0, 2**63 - 1)
TIMES = st.floats(0, 4e9)
COUNTS = st.builds(Counts, **dict.fromkeys(Counts.model_fields, st.integers(-(2**40), 2**40)))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ABOUT = {"job_id": JOB_IDS, "at": TIMES, "generation": NUMBERS}
EVENTS = st.one_of(
    st.builds(Counted, **ABOUT, delta=COUNTS),
    st.builds(Exhausted, **ABOUT, error=st.none() | WORDS),
    st.builds(Failed, **ABOUT, error=WORDS),
    st.builds(Reopened, **ABOUT, timeout_s=st.none() | st.floats(0.001, 1e9)),
    st.builds(Finalized, **ABOUT, manifest=WORDS, objects=WHOLE, bytes=WHOLE),
)
JOBS = st.builds(
    Job,
    job_id=JOB_IDS,
    api=APIS,
    submitted_at=TIMES,
    config=st.dictionaries(WORDS, ANY_JSON, max_size=3),
    timeout=st.none() | st.floats(0.001, 1e9),
    breaker=st.none() | st.builds(BreakerSpec, max_ratio=st.floats(0.001, 1)),
    submission=st.none() | WORDS,
    jsonl=st.none() | st.just(JsonlFile(uri="s3://b/k")),
    directory=st.none() | st.just(Directory(path="s3://b/k/")),
    file_path_lister=st.none() | st.just(FilePathLister(s3_paths=["s3://b/k/"], includes=["*"], batch_size=3)),
    delimited_files=st.none() | st.just(DelimitedFiles(s3_paths=["s3://b/k/"])),
    s3_prefix=st.none() | st.just(S3Prefix(uri="s3://b/k/", split="line", compression="gzip", content_type="text/csv")),
    manifest=st.none() | st.just(Manifest(uri="s3://b/k")),
    csv=st.none() | st.just(CsvFile(uri="s3://b/k", delimiter=";", header=False, numbers=False)),
    parquet=st.none() | st.just(ParquetFile(uri="s3://b/k", columns=["a"])),
)
STATUSES = st.builds(
    JobStatus,
    job_id=JOB_IDS,
    api=APIS,
    state=st.sampled_from(State),
    phase=st.none() | st.sampled_from(Phase),
    cause=st.none() | st.sampled_from(Cause),
    earlier=st.none() | st.sampled_from(Cause),
    generation=NUMBERS,
    counts=COUNTS,
    exhausted=st.booleans(),
    errors=st.lists(WORDS, max_size=3).map(tuple),
    deadline=st.none() | TIMES,
    times=st.dictionaries(st.sampled_from([state.value for state in State]), TIMES),
    offset=st.integers(-1, 2**63 - 1),
)


@quick
@given(EVENTS, JOBS, STATUSES, st.builds(Checkpoint, job_id=JOB_IDS, cursor=st.none() | WORDS, enqueued=WHOLE))
def test_what_is_said_about_a_job_reads_as_it_was_written(
    event: Any, job: Job, status: JobStatus, checkpoint: Checkpoint
) -> None:
    assert decode_event(encode_event(event)) == event
    assert decode_job(encode_job(job)) == job
    assert decode_status(encode_status(status)) == status
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


@quick
@given(JOB_IDS, APIS, NUMBERS, st.sampled_from(Kind), WHOLE, st.none() | WHOLE)
def test_a_manifests_record_reads_as_it_was_written_and_its_key_names_the_job(
    job_id: str, api: str, generation: int, kind: Kind, number: int, ordinal: int | None
) -> None:
    record = ManifestRecord(
        job_id=job_id, api=api, generation=generation, kind=kind, key=f"{job_folder(api, job_id)}{kind}/x.jsonl",
        topic="t", partition=number, first_offset=number, last_offset=number, first_ordinal=ordinal,
        last_ordinal=ordinal, count=number, bytes=number, sha256="00",
    )  # fmt: skip
    assert decode_manifest(encode_manifest(record)) == record
    assert job_of_manifest_key(manifest_key(record)) == job_id


@quick
@given(st.lists(st.tuples(PLACES, st.none() | JOB_IDS, NUMBERS), max_size=4), JOB_IDS, NUMBERS, TIMES)
def test_who_reads_replays_to_the_end_knows_each_of_them_and_each_mark(
    letters: list[tuple[Position, str | None, int]], job_id: str, generation: int, moment: float
) -> None:
    replays = Replays()
    records = [
        replayed_record(
            Replayed(
                api="a", topic=place.topic, partition=place.partition, offset=place.offset, job_id=job,
                generation=number, at=moment,
            ),
            "replays",
            3,
        )
        for place, job, number in letters
    ]  # fmt: skip
    mark = ReplayMark(api="a", job_id=job_id, generation=generation, is_open=True, at=moment)
    records.append(mark_record(mark, "replays", 3))
    for offset, record in enumerate(records):
        replays.see(as_read(record, Position("replays", record.partition or 0, offset)))

    assert replays.marks == {job_id: mark}
    assert all(replays.has(place) for place, _, _ in letters)
    for offset, record in enumerate(records):
        replays.see(at(Position("replays", 0, 100 + offset), (), record.key, None))
    assert not replays.marks
    assert not any(replays.has(place) for place, _, _ in letters)
