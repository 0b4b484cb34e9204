"""Results of many objects as one stream, in the order of the items."""

import json
import random

from stream_infer.headers import item_id_of
from stream_infer.jobs.manifest import Kind, ManifestRecord
from stream_infer.jobs.merge import blocks, merge_objects


class Objects:
    """Objects of one job, by key, and the order in which they are read."""

    def __init__(self, *contents: list[int]) -> None:
        self.contents = {f"o{number}": content for number, content in enumerate(contents)}
        self.read: list[str] = []

    def lines(self, record: ManifestRecord) -> list[bytes]:
        self.read.append(record.key)
        return [json.dumps({"item_id": item_id_of("j", n)}).encode() + b"\n" for n in self.contents[record.key]]

    def records(self) -> list[ManifestRecord]:
        return [
            ManifestRecord(
                job_id="j", api="a", generation=1, kind=Kind.RESULTS, key=key, topic="t", partition=0, first_offset=0,
                last_offset=0, first_ordinal=content[0], last_ordinal=content[-1], count=len(content), bytes=1,
                sha256="",
            )
            for key, content in self.contents.items()
        ]  # fmt: skip


def ordinals(lines: list[bytes]) -> list[int]:
    return [int(json.loads(line)["item_id"].rpartition("-")[2]) for line in lines]


def test_any_split_into_sorted_objects_comes_out_in_order() -> None:
    chance = random.Random(7)
    for _ in range(50):
        parts: list[list[int]] = [[] for _ in range(5)]
        for ordinal in range(60):
            chance.choice(parts).append(ordinal)
        objects = Objects(*(part for part in parts if part))
        assert ordinals(list(merge_objects(objects.records(), objects.lines))) == list(range(60))


def test_an_object_is_read_only_when_its_first_item_is_due() -> None:
    objects = Objects([0, 1], [2, 3], [4, 5])
    lines = merge_objects(objects.records(), objects.lines)
    assert ordinals([next(lines), next(lines)]) == [0, 1]
    assert objects.read == ["o0"]
    assert ordinals(list(lines)) == [2, 3, 4, 5]


def test_lines_without_an_ordinal_are_kept_and_go_last() -> None:
    objects = Objects([0, 1])
    [record] = objects.records()
    stray = record.model_copy(update={"key": "stray", "first_ordinal": None, "last_ordinal": None})

    def read(record: ManifestRecord) -> list[bytes]:
        return [b'{"item_id": "strange"}\n', b"no json"] if record.key == "stray" else objects.lines(record)

    lines = list(merge_objects([stray, record], read))
    assert ordinals(lines[:2]) == [0, 1]
    assert lines[2:] == [b'{"item_id": "strange"}\n', b"no json\n"]


def test_no_object_is_no_line_and_blocks_lose_none() -> None:
    assert list(merge_objects([], lambda _: [])) == []
    lines = [b"x" * n + b"\n" for n in range(20)]
    found = list(blocks(lines, 50))
    assert b"".join(found) == b"".join(lines)
    assert all(len(block) >= 50 for block in found[:-1])
