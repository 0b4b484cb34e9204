"""`stream-infer keys new|ls`: make an API key, and see which there are."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.context import ConfigFile, Output, OutputOption, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from stream_infer.http.keys import KeyEntry, NewKey


class ScopeChoice(StrEnum):
    """What a key may do, as `stream_infer.http.keys.Scope` has it; that one is imported when it is needed."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


group = typer.Typer(help="API keys: what clients of the gateway send.", no_args_is_help=True, rich_markup_mode=None)
_NO_FILE = (
    "gateway.api_keys_file is not set, so nobody is asked for a key: set it, such as "
    "`gateway: {api_keys_file: keys.yaml}`"
)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="keys")


@group.command(cls=Command)
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: keys of one name are one caller.")],
    scope: Annotated[
        list[ScopeChoice],
        typer.Option(
            "--scope", metavar="SCOPE", help="read; submit: jobs, items, predictions; admin: all (may be repeated)."
        ),
    ],
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", min=1, max=36500, metavar="N", help="Good for so many days.")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option("--requests-per-second", min=0.001, metavar="N", help="How often it may ask.")
    ] = None,
    request_bytes: Annotated[
        int | None, typer.Option("--request-bytes", min=1, metavar="N", help="How large one request may be.")
    ] = None,
    file: ConfigFile = None,
    output: OutputOption = Output.TABLE,
    *,
    add: Annotated[
        bool, typer.Option("--add", help="Put its entry into gateway.api_keys_file; gateways that run see it there.")
    ] = False,
) -> None:
    """Make an API key. The key is shown this once; what is kept is its hash."""
    from stream_infer.http.keys_file import add_entry, entry_text

    limits = {"requests_per_second": requests_per_second, "request_bytes": request_bytes}
    made = _made(name, scope, expires_days, limits)
    entry = made.entry
    if add:
        place = _keys_file(ctx, file)
        add_entry(place, entry)
        said = f"Its entry is in {place}. The key is shown this once:"
    else:
        said = f"Put this entry into gateway.api_keys_file (or use --add):\n\n{entry_text(entry)}\n"
        said += "The key is shown this once:"
    if output is Output.JSON:
        fields = entry.model_dump(mode="json", exclude_none=True)
        sys.stdout.write(json.dumps({"key": made.key, "entry": fields}, indent=2, default=sorted) + "\n")
        return
    # The key alone goes to stdout, so that `keys new … > file` writes a --key-file.
    typer.echo(said, err=True)
    typer.echo(made.key)


@group.command(cls=Command)
def ls(ctx: typer.Context, file: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """List the keys of gateway.api_keys_file. Take one back by removing its line."""
    from stream_infer.http.keys_file import read_keys

    entries = list(read_keys(_keys_file(ctx, file)))
    if output is Output.JSON:
        listed = [entry.model_dump(mode="json", exclude_none=True, exclude={"hash"}) for entry in entries]
        sys.stdout.write(json.dumps({"keys": listed}, indent=2) + "\n")
        return
    width = max((len(entry.name) for entry in entries), default=4)
    for entry in entries:
        scopes = ",".join(sorted(entry.scopes))
        typer.echo(f"{entry.id:<12}  {entry.name:<{width}}  {scopes:<18}  {_end(entry)}".rstrip())
    if not entries:
        typer.echo("There is no key, so nobody is let in. `stream-infer keys new NAME --scope submit --add` makes one.")


def _made(name: str, scopes: list[ScopeChoice], expires_days: int | None, limits: dict[str, Any]) -> NewKey:
    from pydantic import ValidationError

    from stream_infer.http.keys import Scope, new_key

    expires = None
    if expires_days is not None:
        expires = (datetime.now(UTC) + timedelta(days=expires_days)).replace(microsecond=0)
    try:
        return new_key(name, [Scope(scope.value) for scope in scopes], expires, **limits)
    except ValidationError as error:
        wrong = str(error.errors()[0]["loc"][0])
        if wrong in limits:
            raise UsageError(f"--{wrong.replace('_', '-')} {limits[wrong]} is no limit: write a number") from None
        raise UsageError(
            f"{name!r} is no name for a key: 64 letters, digits, '.', '-', '_' and '@' at most, first a letter or digit"
        ) from None


def _keys_file(ctx: typer.Context, file: Path | None) -> Path:
    place = invocation_of(ctx).settings(file).gateway.api_keys_file
    if place is None:
        raise ConfigError(_NO_FILE)
    return place


def _end(entry: KeyEntry) -> str:
    if entry.expires is None:
        return ""
    word = "expired" if entry.has_expired(datetime.now(UTC).timestamp()) else "until"
    return f"{word} {entry.expires:%Y-%m-%d %H:%M} UTC"
