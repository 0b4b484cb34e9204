"""The files of the page: complete, of this gateway alone, and careful with what others have written."""

import asyncio
import re
from collections.abc import Awaitable

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from stream_infer.gateway.web_page import PageResource, page_files

FILES = page_files()
SCRIPTS = {name: file.data.decode() for name, file in FILES.items() if name.endswith(".js")}
# What would make markup or a program of a text, or fetch something from elsewhere.
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\("
    r"|new Function|javascript:|setAttribute\(\"on"
)
ASKING = re.compile(r"\bfetch\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon|sessionStorage|localStorage")


def answer(handled: Awaitable[web.Response]) -> web.Response:
    async def wait() -> web.Response:
        return await handled

    return asyncio.run(wait())


def asked(file: str | None = None, **headers: str) -> web.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    page = PageResource()
    if file is None:
        return answer(page.start(make_mocked_request("GET", "/", headers=sent)))
    request = make_mocked_request("GET", f"/_page/{file}", headers=sent, match_info={"file": file})
    return answer(page.file(request))


def test_it_starts_at_the_root_with_a_policy_that_lets_nothing_else_in() -> None:
    start = asked()

    assert (start.content_type, start.charset) == ("text/html", "utf-8")
    policy = dict(part.split(" ", 1) for part in start.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob:",
        "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'", "trusted-types": "'none'",
    }  # fmt: skip
    assert start.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_has_its_type_and_is_sent_once(name: str) -> None:
    first = asked(name)
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

    assert first.content_type == kinds[name.rpartition(".")[2]]
    assert first.body == FILES[name].data
    assert first.headers["Cache-Control"] == "no-cache"
    again = asked(name, If_None_Match=first.headers["ETag"])
    assert (again.status, again.body, again.headers["ETag"]) == (304, None, first.headers["ETag"])
    assert asked(name, If_None_Match='"another"').status == 200


@pytest.mark.parametrize("name", ["", "nothing.js", "../web_page.py", "web_page.py", "__init__.py"])
def test_nothing_else_is_served(name: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        asked(name)


def test_what_the_page_refers_to_is_there_and_nothing_lies_elsewhere() -> None:
    start = FILES["index.html"].data.decode()
    named = set(re.findall(r'"_page/([^"]+)"', start))
    imported = {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}

    assert named | imported <= FILES.keys()
    assert SCRIPTS.keys() == imported | {"main.js"}
    for name, file in FILES.items():
        addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]*\.[a-z]+[^\s\"']*", file.data.decode()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_script_makes_markup_of_a_text_or_asks_past_the_one_place(name: str) -> None:
    assert MARKUP.findall(SCRIPTS[name]) == []
    if name != "requests.js":
        assert ASKING.findall(SCRIPTS[name]) == []


def test_styles_load_nothing() -> None:
    assert re.findall(r"url\(|@import", FILES["page.css"].data.decode()) == []
    assert re.findall(r"\sstyle=|\son\w+=", FILES["index.html"].data.decode()) == []
