"""Where the roles meet the world outside Kafka: the only place that knows both `stream_infer` and `connectors`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from connectors.fetchers.by_scheme import open_fetcher
from connectors.fetchers.stored import StoreFetcher
from connectors.folder import Choice, Folder
from connectors.formats import object_formats
from connectors.models import fetch_model, is_model_uri, unpacked
from connectors.policy import FetchPolicy
from connectors.s3_clients import S3Clients
from connectors.sources import RequestsSource, file_at
from connectors.stores import open_store
from connectors.webhook import WebhookPoster
from stream_infer.cli.source_opening import source_at
from stream_infer.errors import ConfigError
from stream_infer.intake.partition import OpenSource
from stream_infer.jobs.spec import Job
from stream_infer.ports import Fetcher, Formats, Poster, Source, Store
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.results import objection_to
from stream_infer.settings import Settings

_PAYLOADS = "_payloads"


def store_of(settings: Settings) -> Store:
    return open_store(settings.store)


def formats_of(settings: Settings) -> Formats:
    """Of results, beside lines of JSON. Raises ConfigError where an API wants one that is not installed."""
    formats = object_formats()
    for api in settings.apis:
        objection = objection_to(api.results.format, formats)
        if objection is not None:
            raise ConfigError(f"apis.{api.name}.results.format: {objection}")
    return formats


def fetcher_of(settings: Settings) -> Fetcher:
    """What a worker fetches with: what the settings allow, and payloads that stream-infer itself has stored."""
    fetch = settings.fetch
    directories, prefixes = list(fetch.allowed_directories), list(fetch.allowed_s3_prefixes)
    payloads = f"{settings.store.rstrip('/')}/{_PAYLOADS}"
    others: dict[str, Fetcher] = {}
    match scheme := payloads.partition("://")[0]:
        case "file":
            directories.append(Path(unquote(urlsplit(payloads).path)))
        case "s3":
            prefixes.append(payloads)
        case _:
            policy = _policy(settings, directories, prefixes)
            others[scheme] = StoreFetcher(policy, store_of(settings), f"{_PAYLOADS}/")
    return open_fetcher(_policy(settings, directories, prefixes), others=others)


def poster_of(settings: Settings) -> Poster:
    """What a gateway sends webhooks with."""
    webhooks = settings.webhooks
    return WebhookPoster(timeout_s=webhooks.timeout, allow_private_addresses=webhooks.allow_private_addresses)


def with_local_model(settings: Settings, spec: PredictorSpec) -> PredictorSpec:
    """`spec` with the path of a copy in place of a model's address; whoever makes an Engine calls this before.

    Blocks while the model is fetched. Raises PredictorUnavailable, or ServiceUnavailable where it cannot be reached.
    """

    models, is_native = settings.models, spec.type in ("native", "plugin")

    def local(place: str) -> str:
        cache = settings.state_dir / "models"
        return str(fetch_model(place, cache, max_bytes=models.max_bytes, tracking_uri=models.tracking_uri))

    # What is no address may be a name of torchvision's own; a class's model is a path, which is there or is not.
    weights = local(spec.weights) if spec.weights and (is_native or is_model_uri(spec.weights)) else spec.weights
    target = local(spec.target) if is_model_uri(spec.target) and not is_native else spec.target
    if spec.type == "sagemaker" and weights is not None and Path(weights).is_file():
        weights = str(unpacked(Path(weights), settings.state_dir / "models", settings.models.max_bytes))
    return replace(spec, target=target, weights=weights)


def folder_of(root: Path, choice: Choice, max_bytes: int) -> Folder:
    """A directory of whoever runs the command. Raises SourceError for a pattern that matches nothing."""
    return Folder(root, choice, max_bytes=max_bytes)


def source_opener(settings: Settings, store: Store) -> OpenSource:
    """Opens a job's source. What a job may name is what `fetch` allows, as for items."""
    policy = _policy(settings, settings.fetch.allowed_directories, settings.fetch.allowed_s3_prefixes)

    s3 = S3Clients()

    def open_source(job: Job) -> Source:
        return source_at(job, policy, store, s3)

    return open_source


def ids_reader(settings: Settings, store: Store) -> Callable[[str], Iterator[str | None]]:
    """Reads the custom ids of the requests in a file, which its job was allowed to name."""
    policy = _policy(settings, settings.fetch.allowed_directories, settings.fetch.allowed_s3_prefixes)
    s3 = S3Clients()

    def read_ids(uri: str) -> Iterator[str | None]:
        source = RequestsSource(file_at(uri, policy, s3, store=store), max_line_bytes=policy.max_bytes)
        for item in source.read(None):
            yield item.custom_id

    return read_ids


def _policy(settings: Settings, directories: list[Path], s3_prefixes: list[str]) -> FetchPolicy:
    fetch = settings.fetch
    return FetchPolicy(
        allowed_directories=tuple(directories),
        allowed_s3_prefixes=tuple(s3_prefixes),
        allow_private_addresses=fetch.allow_private_addresses,
        timeout_s=fetch.timeout,
        max_bytes=fetch.max_bytes,
        concurrency=fetch.concurrency,
    )
