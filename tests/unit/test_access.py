"""Every route says what it asks of a key, in one place."""

from typing import Any, cast

import pytest
from aiohttp import web

from stream_infer.errors import ConfigError
from stream_infer.gateway.access import RULES, operations, path_of, require_rules, route_name
from stream_infer.gateway.app import application
from stream_infer.gateway.openapi import openapi_document
from stream_infer.gateway.services import Services
from stream_infer.gateway.words import words_of_aws, words_of_cortex
from stream_infer.http.address import listen_address, require_keys_beyond_loopback
from stream_infer.http.keys import Scope
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.settings import Settings
from stream_infer.topics import Topics

NOTHING = cast(Any, None)


@pytest.fixture(scope="module")
def router() -> web.UrlDispatcher:
    services = Services(Settings(), Topics("t"), *[NOTHING] * 7, "cluster")
    return application(services).router


def test_every_route_has_a_rule_and_every_rule_a_route(router: web.UrlDispatcher) -> None:
    names = {route_name(route.method, path_of(route)) for route in router.routes()}
    assert names - RULES.keys() == set(), "say in gateway/access.py what they ask of a key"
    assert RULES.keys() - names == set(), "there is no such route"


def test_a_gateway_with_a_route_that_has_no_rule_does_not_start() -> None:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/jobs", handle)
    require_rules(app.router)
    app.router.add_post("/v1/new/{thing}", handle)
    with pytest.raises(RuntimeError, match=r"POST /v1/new/\{thing\}"):
        require_rules(app.router)


def test_the_document_says_the_scope_of_each_operation() -> None:
    document = openapi_document()
    said = {route_name(method.upper(), path): one["security"] for path, method, one in operations(document)}
    assert said.keys() == RULES.keys()
    for name, security in said.items():
        scope = RULES[name].scope
        assert security == ([] if scope is None else [{"bearer": [scope]}, {"header": [scope]}]), name
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}


def test_what_changes_anything_asks_for_more_than_read_and_only_what_says_nothing_is_open() -> None:
    for name, rule in RULES.items():
        if not name.startswith("GET "):
            assert rule.scope in (Scope.SUBMIT, Scope.ADMIN), name
    assert {name for name, rule in RULES.items() if rule.scope is None} == {
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
        "GET /",
        "GET /_page/{file}",
    }


def test_each_door_is_refused_in_its_own_words() -> None:
    doors = {
        words_of_cortex: {name for name in RULES if name.split(" ")[1].startswith(("/{", "/batch/"))},
        words_of_aws: {"POST /"},
    }
    for words, names in doors.items():
        assert {name for name, rule in RULES.items() if rule.words is words} == names

    refusal = Problem(ProblemKind.RATE_LIMITED, "later", headers={"Retry-After": "3"})
    for words, status in ((words_of_cortex, 429), (words_of_aws, 400)):
        told = words(refusal)
        assert (told.status, told.headers["Retry-After"]) == (status, "3")
        assert b'"message":"later"' in cast(bytes, told.body)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.168.1.2:80", "example.org:80"])
def test_beyond_loopback_there_have_to_be_keys(listen: str) -> None:
    address = listen_address(listen, "gateway.listen")
    for keys in (None, 0):
        with pytest.raises(ConfigError, match=r"gateway\.listen.*other machines.*gateway\.api_keys_file"):
            require_keys_beyond_loopback(address, keys)
    require_keys_beyond_loopback(address, 1)


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.8.9.1:80", "localhost:80", "[::1]:80"])
def test_on_loopback_keys_are_a_choice(listen: str) -> None:
    require_keys_beyond_loopback(listen_address(listen, "gateway.listen"), None)
