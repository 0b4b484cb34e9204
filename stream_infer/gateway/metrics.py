"""`/metrics`, and the numbers of the requests that the gateway answers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from aiohttp import web
from aiohttp.typedefs import Middleware

from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.services import Services
from stream_infer.http.problems import Handler
from stream_infer.settings import ApiSettings
from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.catalogue.metric import WHOLE, Reading
from stream_infer.telemetry.distribution import Distribution
from stream_infer.telemetry.exposition import CONTENT_TYPE, metrics_text
from stream_infer.telemetry.exposure import Exposure

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNKNOWN = "unknown"


class MetricsResource:
    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.get)]

    async def get(self, _request: web.Request) -> web.Response:
        return web.Response(body=metrics_text(self._exposure), headers={"Content-Type": CONTENT_TYPE})


class Requests:
    """Counted by route and not by path, which is the client's own. `readings` is a source of an Exposure."""

    def __init__(self) -> None:
        self._answered: Counter[serving.Request] = Counter()
        self._seconds: defaultdict[serving.Route, Distribution] = defaultdict(serving.HTTP_SECONDS.distribution)
        self._in_flight = 0

    def began(self) -> None:
        self._in_flight += 1

    def ended(self, route: serving.Route, status: int | None, seconds: float) -> None:
        """`status` None: the client went away before there was one."""
        self._in_flight -= 1
        said = "gone" if status is None else str(status)
        self._answered[serving.Request(route.method, route.path, said)] += 1
        self._seconds[route].note(seconds)

    def readings(self) -> Iterator[Reading]:
        yield serving.HTTP_REQUESTS.reading(dict(self._answered))
        yield serving.HTTP_SECONDS.reading(dict(self._seconds))
        yield serving.HTTP_IN_FLIGHT.reading({WHOLE: self._in_flight})


def counting(requests: Requests) -> Middleware:
    """The outermost middleware: it sees what every other one has made of an answer."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, status = time.monotonic(), None
        requests.began()
        try:
            answered = await handler(request)
            status = answered.status
            return answered
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            requests.ended(_route_of(request), status, time.monotonic() - began)

    return count


def _route_of(request: web.Request) -> serving.Route:
    resource = request.match_info.route.resource
    method = request.method if request.method in _METHODS else "other"
    return serving.Route(method, _UNKNOWN if resource is None else resource.canonical)


def replica_readings(apis: Iterable[ApiSettings], predictions: Predictions) -> Iterator[Reading]:
    """Of realtime replicas, as they were when they were looked at last."""
    found: Counter[serving.ReplicaState] = Counter()
    for api in apis:
        replicas = predictions.replicas(api)
        if replicas is not None:
            ready = sum(replica.is_ready for replica in replicas.all)
            found[serving.ReplicaState(api.name, "ready")] = ready
            found[serving.ReplicaState(api.name, "unready")] = len(replicas.all) - ready
    yield serving.REPLICAS.reading(found)


def show(exposure: Exposure, services: Services, requests: Requests, predictions: Predictions) -> None:
    """What there is to be seen of a gateway beside the lag."""
    exposure.show(requests.readings)
    exposure.show(lambda: replica_readings(services.settings.apis, predictions))
