"""Whether a request comes in, by the key that it brings."""

from __future__ import annotations

from collections.abc import Mapping

from stream_infer.http.keys import KeyEntry, KeyRing, Scope, SentKey, sent_key
from stream_infer.http.problems import Problem, ProblemKind

_REALM = 'Bearer realm="stream-infer"'
_HOW = (
    "Send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; stream-infer's own commands take it from "
    "STREAM_INFER_API_KEY or --key-file."
)

_AWS = (
    "`stream-infer keys new NAME --scope read --scope submit --sigv4 --add` makes one with its secret; or send an API "
    "key as the session token."
)


def entry_of(ring: KeyRing, headers: Mapping[str, str], scope: Scope, now: float) -> tuple[KeyEntry, SentKey]:
    """The key of a request whose `headers` know no case, `now` being seconds since the epoch. Raises a Problem: 401
    where there is none that is known and has not expired, 403 where it may not do that."""
    sent = sent_key(headers)
    if sent is None:
        raise _no_key(f"This needs an API key with the scope {scope}. {_HOW}")
    entry = ring.find(sent.key)
    if entry is None:
        raise _no_key(f"The API key in {sent.header} is not known here: it is mistyped, or was taken back.")
    require_good(entry, scope, now)
    return entry, sent


def signing_entry(ring: KeyRing, access_key: str) -> tuple[KeyEntry, str]:
    """The key that a signed request names, and its secret. Whether it is good for anything is not for strangers to
    know: ask `require_good` once the signature is found right. Raises a Problem: 401 where it is not known."""
    entry = ring.signing(access_key)
    if entry is None or entry.aws_secret is None:
        # Without the id: who has mixed up the two would find the secret in the log.
        raise _no_key(
            f"The security token included in the request is invalid: the access key id is not known here. {_AWS}"
        )
    return entry, entry.aws_secret


def require_good(entry: KeyEntry, scope: Scope, now: float) -> None:
    """Raises a Problem: 401 where the key has expired, 403 where it may not do that."""
    if entry.has_expired(now):
        raise _no_key(f"The API key {entry.id} of {entry.name} has expired: `stream-infer keys new` makes another.")
    if not entry.may(scope):
        has = ", ".join(sorted(entry.scopes))
        detail = f"This needs an API key with the scope {scope}; {entry.id} of {entry.name} has {has}."
        raise Problem(ProblemKind.SCOPE_MISSING, detail)


def is_good(entry: KeyEntry | None, scope: Scope, now: float) -> bool:
    """As `require_good` would say of what is known of a key now."""
    return entry is not None and entry.may(scope) and not entry.has_expired(now)


def _no_key(detail: str) -> Problem:
    return Problem(ProblemKind.NO_KEY, detail, headers={"WWW-Authenticate": _REALM})
