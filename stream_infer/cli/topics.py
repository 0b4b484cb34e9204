"""`stream-infer topics plan|apply|strimzi`: create or check topics, their settings, the groups' first offsets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli import rights
from stream_infer.cli.context import ConfigFile, Output, OutputOption, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import TopicMismatch

if TYPE_CHECKING:
    from stream_infer.kafka.topic_plan import TopicPlan, TopicStep

group = typer.Typer(
    help="Create or check topics, their settings and the groups' first offsets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    rights.register(group)
    app.add_typer(group, name="topics")


@group.command(cls=Command)
def plan(ctx: typer.Context, file: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Show what `apply` would do. Changes nothing."""
    from stream_infer.kafka import admin

    found = admin.plan(invocation_of(ctx).settings_for_kafka(file))
    if output is not Output.TABLE:
        put({"topics": [_as_json(step) for step in found.steps], "done": found.is_done}, output)
    else:
        _print_table(found)
    if found.refusals:
        raise TopicMismatch("\n".join(found.refusals))


@group.command(cls=Command)
def apply(ctx: typer.Context, file: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Create, grow and alter topics, then write the groups' first offsets. Can be run again."""
    from stream_infer.kafka import admin

    applied = admin.apply(invocation_of(ctx).settings_for_kafka(file))
    written = sum(applied.first_offsets.values())
    if output is not Output.TABLE:
        steps = [_as_json(step) for step in applied.plan.steps]
        put({"topics": steps, "first_offsets": dict(applied.first_offsets)}, output)
    else:
        _print_table(applied.plan)
        typer.echo(f"{len(applied.plan.steps)} topics are as they should be; {written} first offsets written.")


@group.command(cls=Command)
def strimzi(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The name of the Kafka resource.")],
    file: ConfigFile = None,
    *,
    users: Annotated[
        bool, typer.Option("--users", help="KafkaUsers instead: one a role, with the least that it needs.")
    ] = False,
) -> None:
    """Print the topics as KafkaTopics, for Strimzi. Asks no broker."""
    from stream_infer.cli.strimzi import topic_manifests, user_manifests, yaml_text

    settings = invocation_of(ctx).settings(file)
    sys.stdout.write(yaml_text((user_manifests if users else topic_manifests)(settings, cluster)))


def _as_json(step: TopicStep) -> dict[str, Any]:
    return {
        "topic": step.spec.name,
        "action": step.action.value,
        "partitions": step.spec.partitions,
        "existing_partitions": None if step.existing is None else step.existing.partitions,
        "alter": {name: {"from": old, "to": new} for name, (old, new) in step.alter.items()},
        "refusal": step.refusal,
    }


def _print_table(found: TopicPlan) -> None:
    width = max(len(step.spec.name) for step in found.steps)
    for step in found.steps:
        what = "see below" if step.refusal is not None else step.describe()
        typer.echo(f"{step.action.value:<7} {step.spec.name:<{width}} {what}".rstrip())
