"""What mkdocs is told beside mkdocs.yml: pages point at files of the repository, and these come along.

Links are written for who reads the pages in the repository. In the site the pages at its top are pages, too, and any
other file lies below source/, as text. A folder has no page: its link is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<place>(?!\w+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
# By their names in the site, where README.md would be another index.
_PAGES_AT_THE_TOP = {
    "about.md": "README.md",
    **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "DESIGN.md")},
}
_DOCS = "docs"
_SOURCE = "source/"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    root = _root(config)
    at_the_top = {own: root / name for own, name in _PAGES_AT_THE_TOP.items()}
    for own, page in at_the_top.items():
        files.append(File.generated(config, own, abs_src_path=str(page)))
    pages = at_the_top | {page.name: page for page in (root / _DOCS).glob("*.md")}
    for target in sorted({target for own, page in pages.items() for target in _targets(page, own)}):
        uri = _uri(target, root)
        if uri is not None and uri.startswith(_SOURCE) and files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=(root / target).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    root, own = _root(config), page.file.src_uri

    def led(link: re.Match[str]) -> str:
        uri = _uri(_target(link["place"], own), root)
        if uri is None:
            return link["text"]
        place = relpath(uri, PurePosixPath(own).parent.as_posix())
        return f"[{link['text']}]({place}{link['anchor'] or ''})"

    return _LINK.sub(led, markdown)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _targets(page: Path, own: str) -> Iterator[str]:
    """Files and folders of the repository that a page points at, which is `own` in the site, seen from its top."""
    for link in _LINK.finditer(page.read_text(encoding="utf-8")):
        yield _target(link["place"], own)


def _target(place: str, own: str) -> str:
    """What a link of the site's page `own` points at, seen from the repository's top."""
    folder = "" if own in _PAGES_AT_THE_TOP else _DOCS
    return normpath(f"{folder}/{place}").lstrip("/")


def _uri(target: str, root: Path) -> str | None:
    """Where it lies in the site; None where that has nothing for it."""
    for uri, name in _PAGES_AT_THE_TOP.items():
        if target == name:
            return uri
    if target.startswith(f"{_DOCS}/"):
        return target.removeprefix(f"{_DOCS}/")
    return f"{_SOURCE}{target}.txt" if (root / target).is_file() else None
