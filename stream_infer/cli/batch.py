"""`stream-infer batch`: a folder of files through a predictor, without Kafka."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.context import ConfigFile, Invocation, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.errors import StreamInferError, UsageError

if TYPE_CHECKING:
    from stream_infer.batch.run import Wish
    from stream_infer.batch.session import Batch, Progress
    from stream_infer.settings import Settings

INTERRUPTED = 130
_NAME = "batch"  # of the API that a file.py:Class stands for
_FEWEST_THREADS = 2


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(batch)


def batch(
    ctx: typer.Context,
    predictor: Annotated[
        str, typer.Argument(metavar="PREDICTOR", help="file.py:Class, or the name of an API in stream-infer.yaml.")
    ],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Each file below it is an item.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY.SUB=VALUE",
            help="The predictor's config; batching.…, retry.…, breaker.… and workers.… as in stream-infer.yaml.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="One JSON line a file; what is there is gone on with."),
    ] = Path("results.jsonl"),
    includes: Annotated[
        list[str] | None, typer.Option("--includes", "--include", metavar="GLOB", help="Only files that match.")
    ] = None,
    excludes: Annotated[
        list[str] | None, typer.Option("--excludes", "--exclude", metavar="GLOB", help="No files that match.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N files, by their names.")
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            "--content-type", metavar="TYPE", help="Of all files, such as text/plain (default: by their names)."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="URI", help="A path, s3://…, runs:/… or models:/…: config['model'] is its path."
        ),
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar="N", help="Files in one call of predict, at most; or auto.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads for preprocess.")
    ] = None,
    file: ConfigFile = None,
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the files again that have failed in earlier runs.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew: what --output holds is lost.")] = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Go on though the results so far are of another predictor or config.")
    ] = False,
) -> None:
    """Run the files of a folder through a predictor, without Kafka; run again, it goes on where it stopped.

    Exit 1 means that files have failed: they are listed beside the results.
    """
    from connectors.folder import Choice
    from stream_infer.batch.overrides import overrides_of, value_of
    from stream_infer.cli.composition import folder_of

    if not Path(directory).is_dir():
        raise UsageError(f"{directory} is not a directory of this machine: give the one that holds the files")
    wanted = overrides_of(overrides or [])
    if batch_size is not None:
        wanted["batching.max_batch_size"] = value_of(batch_size)
    if threads is not None:
        wanted["batching.preprocess_threads"] = threads
    settings, name = _settings(invocation_of(ctx), predictor, file, wanted, model)
    job = _batch(settings, name, directory, output)
    job = replace(job, limit=limit, retries_failed=retry_failed, overwrites=overwrite, mixes=mix)
    chosen = Choice(includes or [], excludes or [], content_type)
    _run(job, folder_of(Path(directory), chosen, job.api.workers.max_in_flight_bytes))


def _settings(
    invocation: Invocation, predictor: str, file: Path | None, wanted: Mapping[str, Any], model: str | None
) -> tuple[Settings, str]:
    """The configuration, and the name of the API in it. Raises UsageError."""
    from stream_infer.configuration.loading import settings_of

    is_class = ":" in predictor
    if is_class:
        if invocation.config_file(file) is not None:
            raise UsageError(f"-f names APIs, and {predictor} is a class: give an API's name with it, or leave it out")
        name, key = _NAME, "model"
        values = {"apis": [{"name": name, "predictor": {"type": "native", "target": predictor}, **_defaults()}]}
    else:
        name, key = predictor, _model_key(invocation.settings(file), predictor)
    given = {} if model is None else {f"predictor.{key}": model}
    overrides = {f"apis.{name}.{place}": value for place, value in (dict(wanted) | given).items()}
    if is_class:
        return settings_of(values, Path.cwd(), invocation.environ, overrides), name
    return invocation.settings(file, overrides), name


def _defaults() -> dict[str, Any]:
    """Of a class that no file says more about: the machine is its own."""
    return {"batching": {"preprocess_threads": max(_FEWEST_THREADS, os.cpu_count() or 1)}}


def _model_key(settings: Settings, name: str) -> str:
    api = settings.api(name)
    if api is None:
        names = ", ".join(one.name for one in settings.apis) or "none"
        raise UsageError(f"the configuration has no API {name!r} (it has {names}); a class is file.py:Class")
    return "weights" if api.predictor.type == "torchvision" else "model"


def _batch(settings: Settings, name: str, directory: str, output: Path) -> Batch:
    """Fetches the model. Raises PredictorUnavailable or ServiceUnavailable."""
    from stream_infer.batch.run_folder import Places
    from stream_infer.batch.session import Batch
    from stream_infer.cli.composition import with_local_model
    from stream_infer.engine.configured import predictor_spec

    api = settings.api(name)
    assert api is not None, name
    if api.predictor.is_job_scoped:
        raise UsageError(
            f"{name} makes an instance of its predictor for each job, and a folder is none: "
            f"give it the files with `stream-infer submit {name} --dir {directory}`"
        )
    places = Places.beside(output)
    spec = predictor_spec(api.predictor)
    local = with_local_model(settings, spec)
    described = api.predictor.model_dump(mode="json")
    copies = [Path(now).parent.name for then, now in _pairs(spec, local) if then != now]
    if copies:
        described["model_version"] = copies[0]
    command = shlex.join(["stream-infer", *sys.argv[1:]])
    return Batch(api, local, described, directory, places, command=command)


def _pairs(spec: Any, local: Any) -> list[tuple[str, str]]:
    return [(str(spec.weights), str(local.weights)), (spec.target, local.target)]


def _run(job: Batch, folder: Any) -> None:
    from stream_infer.batch.run import Interrupted, Wish
    from stream_infer.batch.session import Session
    from stream_infer.cli.batch_progress import open_progress

    with ExitStack() as closing:
        session = Session.open(job, closing)
        log = closing.enter_context(_logging_to(job.places.log))
        wish = closing.enter_context(_signals(Wish()))
        is_complete = False
        try:
            with open_progress(session.progress, wish) as show:
                is_complete = session.run(folder, wish, log, show)
        except Interrupted:
            pass  # told below, like an end in order
        except StreamInferError as error:
            if session.progress.done:
                _tell_where(job, session.progress, is_complete=False)
                error.add_note(f"What is done counts. When that is mended, go on with:\n  {_again(job)}")
            raise
        _tell_where(job, session.progress, is_complete=is_complete)
        if not is_complete:
            typer.echo(f"Go on with:  {_again(job)}", err=True)
            raise typer.Exit(INTERRUPTED)
        if session.progress.failed:
            typer.echo(f"Try those again with:  {_again(job, '--retry-failed')}", err=True)
            raise typer.Exit(1)


def _tell_where(job: Batch, progress: Progress, *, is_complete: bool) -> None:
    from stream_infer.cli.batch_progress import summary

    typer.echo(summary(progress, is_complete=is_complete), err=True)
    typer.echo(f"Results:  {job.places.results}")
    if progress.failed:
        typer.echo(f"Failures: {job.places.errors}")
    typer.echo(f"Run:      {job.places.folder} (configuration and log)", err=True)


def _again(job: Batch, *more: str) -> str:
    """The command that was given, without what it must not do twice."""
    words = [word for word in shlex.split(job.command) if word not in ("--overwrite", "--retry-failed")]
    return shlex.join([*words, *more])


@contextmanager
def _logging_to(path: Path) -> Iterator[Any]:
    """Our log and the predictor's lines into the run's folder; yields what takes a line. A terminal has the bar."""
    import structlog

    from stream_infer.telemetry.logs import configure_logs
    from stream_infer.telemetry.predictor_lines import BoundedEcho

    with path.open("a", encoding="utf-8", errors="replace") as stream:
        configure_logs(_NAME, style="json", stream=stream)
        echo = BoundedEcho(lambda line: structlog.get_logger(_NAME).info("predictor_said", line=line))
        try:
            yield echo
        finally:
            echo.close()
            configure_logs(_NAME)


@contextmanager
def _signals(wish: Wish) -> Iterator[Wish]:
    """Ctrl-C or SIGTERM: what was taken is finished; once more: it ends at once."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        wish.interrupt()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
