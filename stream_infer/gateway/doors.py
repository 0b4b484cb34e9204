"""In whose words a path tells what is wrong, whoever finds it: its resource, the guards before it, or the router.

A client of OpenAI's or SageMaker's is told of a method that a path does not have, of a path that is none, or of a
gateway that is called by a strange name, in the errors that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from aiohttp import web

from stream_infer.gateway.openai.lines import ENDPOINTS
from stream_infer.gateway.openai.words import in_words_of_openai
from stream_infer.gateway.words import in_words_of_aws
from stream_infer.http.problems import CONTENT_TYPE, Handler

_Translate: TypeAlias = Callable[[web.Response], web.Response]
# The last ones are not there, which those clients are to read, too.
_OPENAIS = ("/v1/files", "/v1/batches", "/v1/models", *ENDPOINTS)


@web.middleware
async def told_in_their_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A problem document, in the words of whoever asks there."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type != CONTENT_TYPE:
        return response
    translate = _words_at(request.method, request.path)
    return response if translate is None else translate(response)


def _words_at(method: str, path: str) -> _Translate | None:
    if any(path == own or path.startswith(f"{own}/") for own in _OPENAIS):
        return in_words_of_openai
    # As boto3 asks; a browser gets the page there.
    return in_words_of_aws if (method, path) == ("POST", "/") else None
