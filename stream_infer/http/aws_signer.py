"""Whether a request is signed as AWS's clients sign: botocore, which signs for many of them, does it once more.

Imported by what first needs it: 0.1 s, which most gateways never pay.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials
from multidict import CIMultiDict, CIMultiDictProxy

from stream_infer.http.sigv4 import Signature, wrong_signature

_BODY_HASH = "X-Amz-Content-SHA256"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """`target`: path and query, as they were sent."""

    method: str
    target: str
    headers: CIMultiDict[str] | CIMultiDictProxy[str]
    body: bytes


class _Signer(SigV4Auth):
    """Signs the headers that it is given. botocore chooses itself, and clients of other languages choose otherwise."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        return request.headers


def require_right(signature: Signature, secret: str, request: SignedRequest) -> None:
    """Raises a Problem where the signature is not the one that `secret` makes of the request."""
    said = request.headers.get(_BODY_HASH)
    if said is not None and said != hashlib.sha256(request.body).hexdigest():
        raise wrong_signature(f"{_BODY_HASH} is not the SHA-256 of the body")
    try:
        right = _computed(signature, secret, request)
    except ValueError as error:
        raise wrong_signature(str(error)) from None
    if not hmac.compare_digest(right, signature.digest):
        raise wrong_signature(
            "The request signature we calculated does not match the signature you provided: check the secret access "
            "key, and that no proxy changes the path, Host or another header that is signed"
        )


def _computed(signature: Signature, secret: str, request: SignedRequest) -> str:
    """In hexadecimal digits, with the date, the scope and the names of the headers that `signature` has.

    Raises ValueError for a header that no client can have signed.
    """
    # http, since over https botocore may leave the body out.
    asked: Any = AWSRequest(request.method, f"http://gateway{request.target}", data=request.body)
    asked.headers = _signed_headers(signature, request)
    asked.context["timestamp"] = signature.time
    credentials = ReadOnlyCredentials(signature.access_key, secret, None)
    signer = _Signer(credentials, signature.service, signature.region)
    return str(signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked))


def _signed_headers(signature: Signature, request: SignedRequest) -> HTTPHeaders:
    headers = HTTPHeaders()
    for name in signature.headers:
        for value in request.headers.getall(name, []):
            if not value.isascii():
                raise ValueError(f"{name} is signed, and not ASCII")
            headers[name] = value
    return headers
