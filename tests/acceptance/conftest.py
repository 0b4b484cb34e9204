"""What the acceptance tests share beside the fixtures of all."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.s3_fixture import VERSITYGW, S3Server, serving

HAS_VERSITYGW = VERSITYGW.exists() or shutil.which("go") or "CI" in os.environ


@pytest.fixture(scope="session", params=["versitygw" if HAS_VERSITYGW else "moto"])
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The stricter S3 server where it is to be had, and no other: these tests take minutes, and that each part gets on
    with either is what the other kinds of tests show."""
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server
