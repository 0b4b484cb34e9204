"""Makes the bucket that compose.yaml's store is in, unless it is there. AWS_* says where and as whom."""

from __future__ import annotations

import sys

import boto3
from botocore.exceptions import ClientError

_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main(bucket: str) -> None:
    try:
        boto3.client("s3").create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _THERE:
            raise


if __name__ == "__main__":
    main(sys.argv[1])
