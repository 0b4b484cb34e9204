"""`/asyncapi.json`: AsyncAPI 3.0, every topic with its settings, who reads and writes it, and the records on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic.json_schema import models_json_schema

from stream_infer.gateway import asyncapi_messages
from stream_infer.gateway.asyncapi_messages import Kind, message, models
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.kafka.topic_catalogue import TopicMeaning, api_topic_meanings, shared_topic_meanings
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.topics import Topics, TopicSpec, group_specs, topic_specs

_BINDING = "0.5.0"
_ABOUT = (
    "Distributed inference over Kafka. Anyone may write items; results and dead letters are for anyone to read, with "
    "isolation.level=read_committed. All else is how the roles speak to each other: to be read, not to be written. "
    "Whoever writes with a key takes murmur2 to choose the partition. On a compacted topic a record without a value "
    "removes what its key said."
)


class AsyncApiResource:
    """Names the topics of this installation, as of now, and where its Kafka is."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/asyncapi.json", self.get)]

    async def get(self, _request: web.Request) -> web.Response:
        return answer(asyncapi_document(self._services.settings))


def asyncapi_document(settings: Settings) -> dict[str, Any]:
    """A channel for each topic that `settings` asks for, in the order in which an item meets them."""
    topics = Topics(settings.kafka.topic_prefix)
    specs = topic_specs(settings)
    every = _meanings(topics, settings)
    meanings = {spec.name: every[spec.name] for spec in specs}
    kinds = {spec.name: _kinds(spec.name, topics, settings) for spec in specs}
    replicas = settings.kafka.replication_factor
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "stream-infer", "version": version("stream-infer"), "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": _servers(settings.kafka),
        "channels": {spec.name: _channel(spec, meanings[spec.name], kinds[spec.name], replicas) for spec in specs},
        "operations": dict(_operations(settings, meanings)),
        "components": {
            "messages": {kind.name: message(kind) for found in kinds.values() for kind in found},
            "schemas": _schemas(),
        },
    }


def _meanings(topics: Topics, settings: Settings) -> dict[str, TopicMeaning]:
    """By the names of topics, every retry topic among them; the first one also where there is none."""
    found = shared_topic_meanings(topics)
    for api in settings.apis:
        names = topics.api(api.name)
        of_api = api_topic_meanings(names)
        found |= of_api
        found |= {names.retry(tier): of_api[names.retry(1)] for tier in range(2, api.retry.max_attempts)}
    return found


def _kinds(name: str, topics: Topics, settings: Settings) -> tuple[Kind, ...]:
    """What lies on the topic."""
    shared = {
        topics.jobs: asyncapi_messages.JOBS,
        topics.checkpoints: asyncapi_messages.CHECKPOINTS,
        topics.progress: asyncapi_messages.PROGRESS,
        topics.status: asyncapi_messages.STATUS,
        topics.manifests: asyncapi_messages.MANIFESTS,
        topics.webhooks: asyncapi_messages.WEBHOOKS,
        topics.replays: asyncapi_messages.REPLAYS,
        topics.logs: asyncapi_messages.LOGS,
        topics.apis: asyncapi_messages.APIS,
        topics.api_states: asyncapi_messages.API_STATES,
    }
    if name in shared:
        return shared[name]
    for api in settings.apis:
        names = topics.api(api.name)
        of_api = {
            names.items: asyncapi_messages.ITEMS,
            names.results: asyncapi_messages.RESULTS,
            names.dlq: asyncapi_messages.DEAD_LETTERS,
        }
        if name in of_api:
            return of_api[name]
    return asyncapi_messages.RETRIES


def _servers(kafka: KafkaSettings) -> dict[str, Any]:
    protocol = "kafka-secure" if kafka.security.is_encrypted else "kafka"
    hosts = [host.strip() for host in kafka.bootstrap.split(",")]
    return {f"kafka{number}": {"host": host, "protocol": protocol} for number, host in enumerate(hosts, 1)}


def _channel(spec: TopicSpec, meaning: TopicMeaning, kinds: Sequence[Kind], replicas: int) -> dict[str, Any]:
    key = f" Key: {meaning.key}." if meaning.key else ""
    config: dict[str, Any] = {name: _setting(name, value) for name, value in spec.config.items()}
    return {
        "address": spec.name,
        "description": f"{meaning.holds[:1].upper()}{meaning.holds[1:]}.{key}",
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in kinds},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": replicas,
                "topicConfiguration": config,
                "bindingVersion": _BINDING,
            }
        },
    }


def _setting(name: str, value: str) -> Any:
    if name == "cleanup.policy":
        return value.split(",")
    return int(value) if value.isdigit() else value


def _operations(settings: Settings, meanings: dict[str, TopicMeaning]) -> Iterator[tuple[str, Any]]:
    """One for each role and topic that it writes or follows, from where the system stands."""
    groups = {(topic, group.name) for group in group_specs(settings) for topic in group.topics}
    for name, meaning in meanings.items():
        channel = {"$ref": f"#/channels/{_escaped(name)}"}
        for role in meaning.written_by:
            if role != "anyone":
                yield f"{role}.writes.{name}", {"action": "send", "channel": channel}
        for role in meaning.read_by:
            yield f"{role}.reads.{name}", {"action": "receive", "channel": channel}
        for group in sorted(group for topic, group in groups if topic == name):
            bindings = {"kafka": {"groupId": {"type": "string", "const": group}, "bindingVersion": _BINDING}}
            yield f"{group}.follows.{name}", {"action": "receive", "channel": channel, "bindings": bindings}


def _escaped(name: str) -> str:
    """Within a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _schemas() -> dict[str, Any]:
    """As they are read: what a writer leaves out is what goes without saying."""
    modes: Any = [(model, "validation") for model in models()]
    _, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    return {name: _in_asyncapi(schema) for name, schema in schemas["$defs"].items()}


def _in_asyncapi(schema: Any) -> Any:
    """A discriminator is a member's name there, and an object in OpenAPI, as which pydantic writes it."""
    if isinstance(schema, list):
        return [_in_asyncapi(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _in_asyncapi(one) for name, one in schema.items()}
    if isinstance(inner.get("discriminator"), dict):
        inner["discriminator"] = inner["discriminator"]["propertyName"]
    return inner
