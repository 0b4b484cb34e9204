"""The gateway counts its requests by route."""

import asyncio
import contextlib

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from stream_infer.gateway.metrics import Requests, counting
from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.exposure import Exposure
from tests.support.metrics import shown_by, value


async def nothing(_request):
    return web.Response(status=200)


def application():
    app = web.Application()
    app.add_routes([web.get("/v1/jobs/{job_id}", nothing)])
    return app


def counted(*asked):
    """Each request as (method, path, handler); what is shown of them, and the highest number that was in flight."""
    requests, exposure, app = Requests(), Exposure(), application()
    exposure.show(requests.readings)
    middleware = counting(requests)

    async def run():
        for method, path, handler in asked:
            request = make_mocked_request(method, path, app=app)
            match = await app.router.resolve(request)
            request._match_info = match
            with contextlib.suppress(ConnectionError, web.HTTPException):
                await middleware(request, handler)

    asyncio.run(run())
    return shown_by(exposure)


def answering(status):
    async def handler(_request):
        return web.Response(status=status)

    return handler


def raising(error):
    async def handler(_request):
        raise error

    return handler


def test_a_request_counts_for_its_route_and_not_for_its_path():
    samples = counted(*(("GET", f"/v1/jobs/{number}", answering(200)) for number in range(5)))

    assert value(samples, serving.HTTP_REQUESTS, method="GET", path="/v1/jobs/{job_id}", status="200") == 5
    count = "stream_infer_http_request_seconds_count"
    assert value(samples, count, method="GET", path="/v1/jobs/{job_id}") == 5
    assert value(samples, serving.HTTP_IN_FLIGHT) == 0


def test_what_nobody_has_a_route_for_is_unknown_whatever_it_says():
    samples = counted(("GET", "/wp-admin", answering(404)), ("BREW", "/v1/pot", answering(405)))

    assert value(samples, serving.HTTP_REQUESTS, method="GET", path="unknown", status="404") == 1
    assert value(samples, serving.HTTP_REQUESTS, method="other", path="unknown", status="405") == 1


def test_a_client_that_goes_away_is_counted_as_gone():
    path = "/v1/jobs/1"
    samples = counted(("GET", path, raising(ConnectionResetError())), ("GET", path, raising(web.HTTPForbidden())))

    assert value(samples, serving.HTTP_REQUESTS, method="GET", path="/v1/jobs/{job_id}", status="gone") == 1
    assert value(samples, serving.HTTP_REQUESTS, method="GET", path="/v1/jobs/{job_id}", status="403") == 1
