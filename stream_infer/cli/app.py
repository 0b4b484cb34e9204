"""`stream-infer`: one file a command group, one line here for each. Exit codes: 0 done, 1 the job ended with failures,
2 something the user has to mend, 3 a service cannot be reached."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from stream_infer.cli import (
    batch,
    check,
    dlq,
    get,
    keys,
    logs,
    predict,
    realtime,
    results,
    roles,
    submit,
    topics,
    transform,
    up,
    webhooks,
)
from stream_infer.cli.context import Invocation, LogStyle, invocation_of
from stream_infer.errors import ConfigError, StreamInferError
from stream_infer.redaction import Presentable, redact_text
from stream_infer.telemetry.logs import configure_logs

_UNEXPECTED = """\
unexpected {kind}: {error}
This is a fault of stream-infer, not yours. Please report it with what `stream-infer --debug …` prints."""

app = typer.Typer(
    name="stream-infer",
    help="Distributed inference over Kafka: items in, micro-batches through your model, every item out exactly once.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
up.register(app)
submit.register(app)
transform.register(app)
get.register(app)
results.register(app)
predict.register(app)
logs.register(app)
dlq.register(app)
webhooks.register(app)
topics.register(app)
keys.register(app)
check.register(app)
batch.register(app)
roles.register(app)
realtime.register(app)


@app.callback()
def _options(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="The configuration (default: ./stream-infer.yaml)."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", metavar="FILE", help="The API key for the gateway (default: STREAM_INFER_API_KEY holds it)."
        ),
    ] = None,
    log_style: Annotated[
        LogStyle,
        typer.Option("--log-style", help="auto: as log.format says; else text on a terminal, JSON lines elsewhere."),
    ] = LogStyle.AUTO,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show where an error comes from.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print it, and end.",
            callback=lambda wanted: _print_version() if wanted else None,
            is_eager=True,
        ),
    ] = False,
) -> None:
    invocation = invocation_of(ctx)
    invocation.file, invocation.key_file = file, key_file
    invocation.debug, invocation.log_style = debug, log_style
    # A role configures its logs anew, under its own name; a command is silent but for warnings.
    level = logging.DEBUG if debug else logging.WARNING
    configure_logs(ctx.invoked_subcommand or "cli", style=log_style.value, level=level)


def _print_version() -> None:
    typer.echo(f"stream-infer {version('stream-infer')}")
    raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """The program. Always raises SystemExit."""
    invocation = Invocation()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="stream-infer", obj=invocation)
    except StreamInferError as error:
        invocation.explain(error)
        if invocation.debug:
            sys.stderr.write(redact_text(traceback.format_exc()))
        said = "\n".join([str(error), *getattr(error, "__notes__", ())]).rstrip()
        # What is wrong with `kafka.security.password: …` is said of the key, and never shows its value.
        _say(invocation, Presentable(said) if isinstance(error, ConfigError) else redact_text(said))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for who cannot read it
        if invocation.debug:
            sys.stderr.write(redact_text(traceback.format_exc()))
        _say(invocation, redact_text(_UNEXPECTED.format(kind=type(error).__name__, error=error)))
        sys.exit(1)


def _say(invocation: Invocation, said: str) -> None:
    if invocation.on_error is None:
        sys.stderr.write(f"error: {said}\n")
    else:
        invocation.on_error(said)
