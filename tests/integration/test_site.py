"""The site that `make docs` builds: whole, strict, and with nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself: not where a link leads.
_FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=[\"']?(?P<place>[^\"'\s>]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    fetched = {found["place"] for page in pages for found in _FETCHED.finditer(page.read_text())}

    assert len(pages) > 15
    assert [place for place in fetched if place.startswith(("http:", "https:", "//"))] == []
    assert "@import" not in "".join(style.read_text() for style in site.rglob("*.css"))


def test_links_to_the_repository_lead_to_what_came_along(site: Path) -> None:
    soak = (site / "soak.html").read_text()

    assert 'href="source/tests/soak/faults.py.txt"' in soak
    assert (site / "source/tests/soak/faults.py.txt").read_text() == (ROOT / "tests/soak/faults.py").read_text()


def test_the_readme_is_a_page_whose_links_lead_to_others(site: Path) -> None:
    readme = (site / "about.html").read_text()

    assert 'href="getting-started.html"' in readme
    assert 'src="pictures/page-job-light.png"' in readme


def test_it_can_be_searched_without_a_server(site: Path, chromium: Any) -> None:
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("s")
    page.keyboard.type("exactly once", delay=20)

    page.locator(".md-search-result__item").first.wait_for()
    assert [url for url in asked if url.startswith("http")] == []
