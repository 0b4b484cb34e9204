"""An object of any length, written to S3 in parts: it is there whole or not at all, and some MiB are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from connectors.s3 import S3Error, s3_errors
from connectors.uris import S3Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# S3 takes parts of 5 MiB or more, and 10,000 of them: so that these are enough for 400 GiB, they grow.
PART_BYTES = 8 * 1024 * 1024
_PARTS_OF_A_SIZE = 1000


def put_in_parts(client: S3Client, place: S3Place, chunks: Iterable[bytes], content_type: str) -> None:
    """One request where it fits into a part. Raises S3Error, and what `chunks` raises: then nothing is written."""
    parts = _parts(chunks)
    first = next(parts, b"")
    second = next(parts, None)
    if second is None:
        with s3_errors():
            client.put_object(Bucket=place.bucket, Key=place.key, Body=first, ContentType=content_type)
        return
    with s3_errors():
        begun = client.create_multipart_upload(Bucket=place.bucket, Key=place.key, ContentType=content_type)
    try:
        _upload(client, place, begun["UploadId"], (part for some in ((first, second), parts) for part in some))
    except BaseException:
        with suppress(S3Error), s3_errors():
            client.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=begun["UploadId"])
        raise


def _upload(client: S3Client, place: S3Place, upload: str, parts: Iterable[bytes]) -> None:
    done: list[CompletedPartTypeDef] = []
    for number, part in enumerate(parts, 1):
        with s3_errors():
            answer = client.upload_part(
                Bucket=place.bucket, Key=place.key, UploadId=upload, PartNumber=number, Body=part
            )
        done.append({"ETag": answer["ETag"], "PartNumber": number})
    with s3_errors():
        client.complete_multipart_upload(
            Bucket=place.bucket, Key=place.key, UploadId=upload, MultipartUpload={"Parts": done}
        )


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What is written, in parts of at least PART_BYTES but for the last."""
    held: list[bytes] = []
    size = number = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PART_BYTES * (1 + number // _PARTS_OF_A_SIZE):
            yield b"".join(held)
            number += 1
            held, size = [], 0
    if held:
        yield b"".join(held)
