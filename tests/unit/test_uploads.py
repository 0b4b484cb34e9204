import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_infer.gateway.services import Services
from stream_infer.gateway.unused_uploads import UnusedUploads
from stream_infer.jobs.sources import JsonlFile, Manifest
from stream_infer.jobs.spec import Job
from stream_infer.settings import Settings
from stream_infer.uploads import UNUSED_FOR_S, is_left_over, items_key, new_upload, owner_of, upload_of
from tests.support.memory_store import MemoryStore

NOW = 1_700_000_000.0


def test_an_uploads_address_names_it_again_and_of_the_clients_name_only_what_is_harmless_stays() -> None:
    upload = new_upload("../dir/my items (1).jsonl.gz", "prefix", NOW)
    assert upload.name == "my_items_1_.jsonl.gz"
    assert upload_of(upload.uri) == upload
    assert upload.part(7) == f"_submissions/uploads/{upload.id}/000007"
    assert new_upload("ü" * 300 + ".csv", "prefix", NOW).name == "_.csv"
    assert len(new_upload("x" * 300 + ".csv", "prefix", NOW).name) == 80
    assert new_upload("", "prefix", NOW).name == "upload"
    for other in (
        "upload:",
        "upload:x/y",
        f"{upload.uri}/..",
        f"{upload.uri}#line=3",
        f"upload:../{upload.id}/x",
        "s3://b/k",
    ):
        assert upload_of(other) is None


@pytest.mark.parametrize("whose", [("one", "prefix"), ("other", "prefix"), ("one", "another")])
def test_of_two_clusters_that_share_a_prefix_and_a_store_each_removes_its_own(whose: tuple[str, str]) -> None:
    old, owner = NOW - UNUSED_FOR_S - 1, owner_of("one", "prefix")
    key, upload = items_key("j", owner_of(*whose), old), new_upload("x", owner_of(*whose), old)

    gone = {is_left_over(found, owner, frozenset(), NOW) for found in (key, upload.note)}
    assert gone == {whose == ("one", "prefix")}


def test_what_no_job_names_is_removed_a_day_later_and_what_is_another_ones_never() -> None:
    old = NOW - UNUSED_FOR_S - 1
    unused, in_a_job, in_a_manifest = (new_upload("x", "mine", old) for _ in range(3))
    kept = [in_a_job, in_a_manifest, new_upload("x", "mine", NOW - UNUSED_FOR_S + 1), new_upload("x", "others", old)]
    store = MemoryStore()
    for upload in (unused, *kept):
        store.put(upload.part(0), b"")
        store.put(upload.note, b"")
    forgotten, lost = items_key("job-1", "mine", old), items_key("c", "mine", old)
    of_job, new, of_others = items_key("c", "mine", old), items_key("d", "mine", NOW), items_key("job-1", "others", old)
    for key in (forgotten, lost, of_job, new, of_others, "_submissions/by-hand.jsonl"):
        store.put(key, b"")
    store.put("_submissions/uploads/by-hand/000000", b"")
    jobs = [
        Job(job_id="a", api="echo", submitted_at=NOW, jsonl=JsonlFile(uri=in_a_job.uri)),
        Job(job_id="b", api="echo", submitted_at=NOW, manifest=Manifest(uri=in_a_manifest.uri)),
        Job(job_id="c", api="echo", submitted_at=NOW, submission=of_job),
    ]

    async def every_job() -> Any:
        return [SimpleNamespace(job=job) for job in jobs]

    async def block(call: Any) -> Any:
        return call()

    services = SimpleNamespace(
        settings=Settings(),
        owner="mine",
        store=store,
        board=SimpleNamespace(all=every_job),
        block=block,
        clock=lambda: NOW,
    )
    asyncio.run(UnusedUploads(cast("Services", services)).remove())

    names = {upload.id for upload in kept} | {"by-hand"}
    assert {key.split("/")[2] for key in store.objects if "/uploads/" in key} == names
    left = {key for key in store.objects if "/uploads/" not in key}
    assert left == {of_job, new, of_others, "_submissions/by-hand.jsonl"}
