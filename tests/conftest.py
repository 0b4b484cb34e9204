"""The fixtures that every kind of test shares, and a test's kind by its folder."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from _pytest.logging import LogCaptureHandler
from hypothesis import HealthCheck, settings

from tests.support.browser import chromium
from tests.support.kafka_fixture import bootstrap_servers, kafka, topic_prefix
from tests.support.last_resort import last_resort
from tests.support.s3_fixture import s3, s3_server
from tests.support.toxiproxy import toxiproxy, toxiproxy_server

__all__ = [
    "bootstrap_servers", "chromium", "kafka", "s3", "s3_server", "topic_prefix", "toxiproxy", "toxiproxy_server",
]  # fmt: skip

# How long an example takes on a loaded machine says nothing. The rest is hypothesis' own, which with CI set draws the
# same examples each time.
settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_configure = structlog.configure


def _configure_anew(**options: Any) -> None:
    """A logger that is kept would outlive the test that configured it, and be deaf to what the next one captures."""
    _configure(**{**options, "cache_logger_on_first_use": False})


structlog.configure = _configure_anew


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_tests() -> Iterator[None]:
    with last_resort():
        yield


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in its own process sets up that process's logs: the next test has its own again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if root.level != level or structlog.is_configured():
        root.handlers[:] = [one for one in root.handlers if one in handlers or isinstance(one, LogCaptureHandler)]
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()


@pytest.fixture(autouse=True)
def modules_as_they_were(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module that a test wrote goes with it: many are called `model`, and the next test imports its own."""
    before, written = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(written):
            del sys.modules[name]


# An `up` of its own takes 15 s where nothing else runs, and each wait behind it has room for a slow machine.
ACCEPTANCE_S = 300
KINDS = ("unit", "contract", "integration", "acceptance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder's kind, and run the quick kinds first."""
    tests = Path(__file__).parent
    kinds = {item.nodeid: item.path.relative_to(tests).parts[0] for item in items}
    for item in items:
        kind = kinds[item.nodeid]
        if kind not in KINDS:
            raise pytest.UsageError(f"{item.path} is in none of the folders {', '.join(KINDS)}")
        item.add_marker(kind)
        if kind == "acceptance" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(ACCEPTANCE_S))
    items.sort(key=lambda item: KINDS.index(kinds[item.nodeid]))
