"""Who comes in: a key that is known, may do what it asks for, and does not ask too often."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.contextvars import bound_contextvars

from stream_infer.gateway.access import ACTION_HEADER, RULES, Rule, path_of, route_name
from stream_infer.http.admission import entry_of, is_good, require_good, signing_entry
from stream_infer.http.bodies import BODY, prove_body, read_unproven_body
from stream_infer.http.callers import CALLER, Caller
from stream_infer.http.keys import KeyEntry, KeyRing, Scope, sent_key
from stream_infer.http.problems import Handler, Problem, ProblemKind
from stream_infer.http.rates import Bucket, Rate, take
from stream_infer.http.reloading import Reloading
from stream_infer.http.sigv4 import is_signed, read_signature, require_place_and_time

_SHOWN = 200
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gate:
    """`rate`: of a caller whose key has none of its own; None: as often as it likes. One event loop uses it."""

    keys: Reloading[KeyRing]
    rate: float | None
    buckets: dict[str, Bucket]
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def admit(self, rule: Rule, headers: Mapping[str, str]) -> Caller:
        """Raises a Problem where the request may not go on."""
        scope = _scope_of(rule, headers)
        if scope is None:
            return Caller()
        entry, sent = entry_of(self.keys.value, headers, scope, self.clock())
        self._require_turn(entry)

        def is_let_in() -> bool:
            return is_good(self.keys.value.find(sent.key), scope, self.clock())

        return Caller(entry.name, entry.id, entry.request_bytes, sent, is_let_in)

    async def admit_signed(self, rule: Rule, service: str, request: web.Request) -> Caller:
        """As `admit`, by the signature for `service` of AWS's in place of a key. Reads the body, which is signed, too;
        of who is not known here, or not of this time, no byte of it."""
        from stream_infer.http.aws_signer import SignedRequest, require_right

        scope = _scope_of(rule, request.headers) or Scope.ADMIN
        signature = read_signature(request.headers)
        known, _ = signing_entry(self.keys.value, signature.access_key)
        require_place_and_time(signature, service, self.clock())
        # Until the signature is found right it is anybody: a name, for a room that is not the caller's own.
        named = Caller(known.name, known.id, known.request_bytes)
        request[BODY] = body = await read_unproven_body(request, named)
        entry, secret = signing_entry(self.keys.value, signature.access_key)  # it may be taken back meanwhile
        require_right(signature, secret, SignedRequest(request.method, request.raw_path, request.headers, body))
        require_good(entry, scope, self.clock())
        self._require_turn(entry)

        def is_let_in() -> bool:
            return is_good(self.keys.value.signing(signature.access_key), scope, self.clock())

        caller = Caller(entry.name, entry.id, entry.request_bytes, None, is_let_in)
        prove_body(request, caller)
        return caller

    def _require_turn(self, entry: KeyEntry) -> None:
        """By the caller's name: a second key is no second allowance."""
        rate = _rate_of(entry, self.rate)
        if rate is None:
            return
        taken = take(self.buckets.get(entry.name), rate, self.monotonic())
        self.buckets[entry.name] = taken.bucket
        if taken.wait_s:
            wait_s = math.ceil(taken.wait_s)
            detail = f"{entry.name} may ask {rate.per_second:g} times a second here. Come again in {wait_s} s."
            raise Problem(ProblemKind.RATE_LIMITED, detail, headers={"Retry-After": str(wait_s)})


def gate_of(keys: Reloading[KeyRing], rate: float | None) -> Gate:
    return Gate(keys, rate, {})


def guarding(gate: Gate) -> Middleware:
    """What stands before every route that there is; a path that is none is told so without a key."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route
        if route.resource is None:
            return await handler(request)
        rule = RULES[route_name(request.method, path_of(route))]
        try:
            if rule.service is not None and _is_signed_alone(request.headers):
                caller = await gate.admit_signed(rule, rule.service, request)
            else:
                caller = gate.admit(rule, request.headers)
        except Problem as problem:
            _log.warning(
                "refused",
                method=request.method,
                path=request.path[:_SHOWN],
                problem=problem.kind.slug,
                reason=problem.document.detail,  # names the key where it is known, and no secret
                remote=request.remote,
            )
            return rule.words(problem)
        request[CALLER] = caller
        # So that `submitted`, `stop_requested` and the like say by whom.
        with bound_contextvars(caller=caller.name, key_id=caller.key_id):
            if rule.scope is Scope.ADMIN:
                _log.info("asked", method=request.method, path=request.path)
            return await handler(request)

    return guard


def _scope_of(rule: Rule, headers: Mapping[str, str]) -> Scope | None:
    return rule.actions.get(headers.get(ACTION_HEADER, "")) or rule.scope


def _is_signed_alone(headers: Mapping[str, str]) -> bool:
    """With a key beside it that one counts, right or wrong: who sends both has signed with whatever was at hand."""
    return sent_key(headers) is None and is_signed(headers.get("Authorization", ""))


def _rate_of(entry: KeyEntry, default: float | None) -> Rate | None:
    per_second = entry.requests_per_second or default
    if per_second is None:
        return None
    return Rate(per_second, max(1.0, entry.burst or math.ceil(per_second)))
