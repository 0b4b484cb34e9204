"""`POST …/dlq/replay`: dead letters of a job, or those of an API that belong to none, run again."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context

import structlog
from aiohttp import web

from stream_infer.errors import Fenced, StreamInferError
from stream_infer.gateway.board import JobBoard, KnownJob
from stream_infer.gateway.dead_letters.bodies import RefusedReplay, ReplayBody, ReplayRequest
from stream_infer.gateway.dead_letters.choice import JobIsRunning, ReplayStopped, Request
from stream_infer.gateway.dead_letters.replay import Replay
from stream_infer.gateway.dead_letters.resource import no_reference
from stream_infer.gateway.dead_letters.search import Filter, parse_ref
from stream_infer.gateway.services import Services
from stream_infer.gateway.validation import validate
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import FieldError, Problem, ProblemKind, problem_of, sentence
from stream_infer.http.requests import JSON_TYPE, parse_body, read_query, require_content_type

ANSWER_WITHIN_S = 45.0
_TURN_WITHIN_S = 30.0
_FIND_TIMEOUT_S = 10.0
_SHOWN_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.02
_log = structlog.get_logger(__name__)


class BoardJobs:
    """The board for a thread that may block."""

    def __init__(self, board: JobBoard, loop: asyncio.AbstractEventLoop) -> None:
        self._board = board
        self._loop = loop

    def find(self, job_id: str) -> KnownJob | None:
        return asyncio.run_coroutine_threadsafe(self._board.find(job_id), self._loop).result(_FIND_TIMEOUT_S)

    def peek(self, job_id: str) -> KnownJob | None:
        return self._board.peek(job_id)


class ReplaysResource:
    """One replay of an API at a time: a second one here waits for its turn, one of another replica takes over."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turns: dict[str, asyncio.Lock] = {}
        self._going_on: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/apis/{api}/dlq/replay", self.replay),
            web.post("/v1/jobs/{job_id}/dlq/replay", self.replay),
        ]

    async def end(self, _app: web.Application) -> None:
        """The gateway is going: replays end after the transaction that they are in."""
        self._stop.set()

    async def replay(self, request: web.Request) -> web.Response:
        """200 once it is done and its job shows that; 202 where that takes longer than 45 s: the gateway goes on."""
        read_query(request, ())
        api, job_id = await self._owner(request)
        require_content_type(request, (JSON_TYPE,))
        asked = _request(validate(ReplayRequest, parse_body(await read_body(request))), api, job_id)
        turn = self._turns.setdefault(api, asyncio.Lock())
        try:
            await asyncio.wait_for(turn.acquire(), _TURN_WITHIN_S)
        except TimeoutError:
            detail = f"Other dead letters of API {api!r} are being replayed here. Ask again in a while."
            raise Problem(ProblemKind.BUSY, detail) from None
        loop = asyncio.get_running_loop()
        jobs = BoardJobs(self._services.board, loop)
        replay = Replay(self._services.settings, self._services.store, jobs, asked, stop=self._stop)
        task = loop.create_task(self._run(replay, turn))
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        # Not cancelled with the request: what has begun goes on, and says how it ended in the log.
        done, _ = await asyncio.wait([task], timeout=ANSWER_WITHIN_S)
        if not done:
            return answer(_body(replay, is_complete=False), status=202)
        body = _outcome(replay, task.exception())
        return answer(body, status=200 if await self._is_shown(body) else 202)

    async def close_abandoned(self, known: KnownJob) -> None:
        """Ends a generation whose replay has died. Nothing to do where the API's dead letters are being replayed here:
        a replay begins with that. Raises what a replay raises."""
        job = known.job
        turn = self._turns.setdefault(job.api, asyncio.Lock())
        if turn.locked():
            return
        await turn.acquire()
        jobs = BoardJobs(self._services.board, asyncio.get_running_loop())
        nothing_more = Request(job.api, job.job_id, refs=frozenset())
        settings, store = self._services.settings, self._services.store
        with suppress(ReplayStopped):  # raised behind the word that this was all
            await self._run(Replay(settings, store, jobs, nothing_more, stop=self._stop), turn)

    async def _owner(self, request: web.Request) -> tuple[str, str | None]:
        if "api" in request.match_info:
            return self._services.api(request.match_info["api"]).name, None
        job = (await self._services.job(request.match_info["job_id"])).job
        return job.api, job.job_id

    async def _is_shown(self, body: ReplayBody) -> bool:
        """Whether the job has left its final state: who waits for its end must not take the old one for the new."""
        if body.job_id is None or body.generation is None:
            return True
        deadline = time.monotonic() + _SHOWN_WITHIN_S
        while time.monotonic() < deadline:
            known = self._services.board.peek(body.job_id)
            if known is None or known.status.generation >= body.generation:
                return True
            await asyncio.sleep(_LOOK_EVERY_S)
        return False

    async def _run(self, replay: Replay, turn: asyncio.Lock) -> None:
        ended: Future[None] = Future()
        # A daemon of its own: a long replay must not keep the process from ending, and can be killed at any point.
        asked_for = copy_context()  # what it says, it says of the request, and of whose key that came with
        threading.Thread(target=asked_for.run, args=(_work, replay, ended), name="replay", daemon=True).start()
        try:
            await asyncio.wrap_future(ended)
        except Exception as error:
            _log.warning("replay_ended", api=replay.request.api, job_id=replay.request.job_id, error=str(error))
            raise
        finally:
            turn.release()


def _work(replay: Replay, ended: Future[None]) -> None:
    ended.set_running_or_notify_cancel()
    try:
        replay.run()
    except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
        ended.set_exception(error)
    else:
        ended.set_result(None)


def _request(asked: ReplayRequest, api: str, job_id: str | None) -> Request:
    wanted = Filter(None, asked.stage, asked.exception, asked.message)
    if asked.refs is None:
        return Request(api, job_id, None, wanted)
    if wanted != Filter():
        detail = "refs name dead letters one by one; give either them or stage, exception and message."
        raise Problem(ProblemKind.INVALID_REQUEST, detail, errors=[FieldError(pointer="/refs", detail=detail)])
    places = {ref: parse_ref(ref) for ref in asked.refs}
    for ref, place in places.items():
        if place is None:
            raise no_reference(ref)
    return Request(api, job_id, frozenset(place for place in places.values() if place is not None))


def _outcome(replay: Replay, error: BaseException | None) -> ReplayBody:
    """What to answer of a replay that has ended; else a Problem that says how far it came."""
    body = _body(replay, is_complete=True)
    match error:
        case None:
            return _found(body)
        case JobIsRunning():
            raise Problem(ProblemKind.JOB_NOT_FINAL, f"{sentence(error)[:1].upper()}{sentence(error)[1:]}")
        case ReplayStopped():
            problem = Problem(ProblemKind.JOB_NOT_FINAL, f"{sentence(error)[:1].upper()}{sentence(error)[1:]}")
        case Fenced():
            detail = (
                f"Another replay of API {replay.request.api!r} took over, or Kafka was away for too long. "
                "Replay again to go on: nothing is replayed twice."
            )
            problem = Problem(ProblemKind.REPLAY_TAKEN_OVER, detail)
        case StreamInferError():
            problem = problem_of(error)
        case _:
            raise error
    detail = f"{problem.document.detail} {body.replayed} dead letters were replayed."
    raise problem.with_members(detail=detail, replayed=body.replayed, generation=body.generation) from error


def _found(body: ReplayBody) -> ReplayBody:
    nothing = not (body.replayed or body.already_replayed or body.refused or body.of_jobs)
    if body.unknown and nothing:
        whose = f"Job {body.job_id}" if body.job_id is not None else f"API {body.api_name!r}"
        detail = f"{whose} has no dead letter {', '.join(body.unknown[:10])}: there never was one, or it is gone."
        raise Problem(ProblemKind.UNKNOWN_DEAD_LETTER, detail)
    return body


def _body(replay: Replay, *, is_complete: bool) -> ReplayBody:
    request, progress = replay.request, replay.progress
    unknown = (request.refs or frozenset()) - progress.found if is_complete else frozenset()
    return ReplayBody(
        api_name=request.api,
        job_id=request.job_id,
        generation=progress.generation if progress.replayed else None,
        replayed=progress.replayed,
        already_replayed=progress.already_replayed,
        of_jobs=progress.of_jobs,
        refused=[RefusedReplay(ref=ref, reason=reason) for ref, reason in list(progress.refused.items())],
        unknown=[f"{partition}-{offset}" for partition, offset in sorted(unknown)],
        is_complete=is_complete,
    )
