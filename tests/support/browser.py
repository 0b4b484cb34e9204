"""A real Chromium, and a page in it that notices what goes wrong behind its back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import pytest

from tests.support.services import missing

# What Chromium says of a request that is refused or not answered: the page shows these itself.
_ANSWERED = "Failed to load resource"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """For one module: playwright's loop runs in the test's own thread, and no other test could run one there."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("Chromium is not installed here: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed here: make setup")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def is_a_fault(said: Any) -> bool:
    return said.type == "error" and _ANSWERED not in said.text


@contextmanager
def visiting(chromium: Any, url: str, path: str = "/", **options: Any) -> Iterator[Any]:
    """A page at the gateway's `url`. Fails where a script does, the policy refuses something, or one asks elsewhere."""
    context = chromium.new_context(**{"viewport": {"width": 1180, "height": 820}, "locale": "en", **options})
    context.set_default_timeout(20_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if is_a_fault(said) else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((url, "blob:")) else wrong.append(f"asked elsewhere: {asked.url}"),
    )
    try:
        page.goto(url + path)
        yield page
        assert wrong == []
    finally:
        context.close()


def axe_violations(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA, and against its own good practice."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
