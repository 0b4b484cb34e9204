"""Kafka, the store, and what each role does with them."""

from __future__ import annotations

from stream_infer.configuration.meanings.meanings import Meanings
from stream_infer.http_settings import GatewaySettings, MetricsSettings, WebhooksSettings
from stream_infer.security_settings import OAuthSettings, SecuritySettings, TlsSettings
from stream_infer.settings import (
    FetchSettings,
    IntakeSettings,
    JobsSettings,
    KafkaSettings,
    LimitSettings,
    LogSettings,
    ModelsSettings,
    Settings,
    SinkSettings,
)

# By names: a text beside `password` looks like one to bandit.
_TOKENS = "for `OAUTHBEARER`: where tokens are asked for by client credentials, `https://…`"
_IN_THE_ENVIRONMENT = "better in the environment than in the file"
_OF_THE_KEY = "where the key has one"

ROLES: Meanings = {
    KafkaSettings: {
        "bootstrap_servers": (
            "`host:port,…`. Left out: `up` starts a Kafka of its own; every other command uses that where it "
            "runs in the same `state_dir`, else `localhost:9092`"
        ),
        "topic_prefix": "before each topic, group and transactional id; letters, digits, `-`, `_`",
        "replication_factor": "of topics that are created",
        "session_timeout": "seconds after which the group gives a silent member's partitions to others",
        "transaction_timeout": "seconds after which the broker aborts a dead process's transaction",
    },
    OAuthSettings: {
        "token_endpoint": _TOKENS,
        "client_id": "the name they are asked for with",
        "client_secret": _IN_THE_ENVIRONMENT,
        "scope": "of the tokens",
        "extensions": "sent to the broker with each token, such as Confluent Cloud's `logicalCluster`",
    },
    SecuritySettings: {
        "protocol": "or `SSL`, `SASL_PLAINTEXT`, `SASL_SSL`; for all roles",
        "sasl_mechanism": "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`",
        "username": "for `PLAIN` and `SCRAM`",
        "password": _IN_THE_ENVIRONMENT,
        "ca_file": "certificates to trust, PEM; else the machine's",
        "certificate_file": "our own, PEM, for brokers that ask clients for one",
        "private_key_file": "its key",
        "private_key_password": _OF_THE_KEY,
    },
    Settings: {
        "store": "`s3://bucket/prefix` or `file:///path`: results, inline items, payloads too big for a message",
        "state_dir": "`up`'s lock and its Kafka's data",
    },
    GatewaySettings: {
        "listen": (
            "`host:port`; beyond loopback only [with keys](security.md#api-keys); port 0 takes a free one, but "
            "not under `up`"
        ),
        "api_keys_file": (
            "the [keys](security.md#api-keys) that let clients in, here and at realtime replicas; read again "
            "when it changes"
        ),
        "public_url": (
            "where others reach the gateway, such as `https://infer.example.org`: links in "
            "[webhooks](webhooks.md) begin so, and without keys clients may "
            "[call it](security.md#web-pages-of-others) by that name"
        ),
    },
    TlsSettings: {
        "certificate_file": (
            "where [TLS](security.md#tls) is wanted: the certificate and those that lead to its root, PEM; "
            "loaded again once renewed"
        ),
        "private_key_file": "its key, without a password",
    },
    MetricsSettings: {
        "listen": (
            "where a role serves [its numbers and its health](metrics.md): `host:port`, beyond loopback, too. Left "
            "out: `127.0.0.1:9400`, or any free port where that is taken, and for gateway and realtime replicas none "
            "but their own address. Under `up` each process has a port of its own"
        ),
    },
    LogSettings: {
        "format": (
            "[how roles log](logs-and-traces.md): `json`, `text`, or `auto`: text on a terminal and under `up`, else "
            "JSON. `--log-style` goes before it"
        ),
        "level": "`debug`, `info`, `warning` or `error`: what is below it is left out. `--debug` goes before it",
    },
    WebhooksSettings: {
        "url": "where; with `secrets`",
        "events": "of these alone, such as `[job.failed, job.timed_out]` (none: every one)",
        "secrets": (
            "`whsec_…` each, at most ten; every one signs. Better in `STREAM_INFER__WEBHOOKS__SECRETS` than in the file"
        ),
        "timeout": "seconds for an answer",
        "give_up_after": "seconds for which an end is tried to be told; a year at most",
        "allow_private_addresses": (
            "loopback, private, link-local and cloud metadata addresses; checked for each address a name has"
        ),
    },
    JobsSettings: {
        "partitions": "of all topics keyed by job; **can never be changed**",
        "retention": (
            "seconds that a job is remembered behind its [end](operations.md#topics), and that progress and dead "
            "letters are kept in Kafka"
        ),
    },
    FetchSettings: {
        "allowed_directories": "`file://` is read only below these; links are followed and judged by where they lead",
        "allowed_s3_prefixes": "`s3://` is read only below these, such as `s3://bucket/input`",
        "allow_private_addresses": (
            "`http(s)://` to loopback, private, link-local and cloud metadata addresses; checked for each "
            "address a name has and each redirect"
        ),
        "timeout": "seconds for one fetch, redirects included",
        "max_bytes": "of one payload, and of one line of a job's file",
        "concurrency": "fetches at a time, in each worker",
    },
    ModelsSettings: {
        "max_bytes": "of one model that is fetched; copies are kept below `state_dir`, in `models/`",
        "tracking_uri": (
            "where [MLflow](predictors.md#where-models-come-from) keeps its runs and models: an `mlruns` "
            "folder, `http(s)://…`, `sqlite:///…`. Left out: MLflow's own means, such as `MLFLOW_TRACKING_URI`"
        ),
    },
    LimitSettings: {
        "request_bytes": "of one request, streams of items excepted",
        "inline_items": "items in one request",
        "payload_bytes": "the largest item that travels in a message; the topics' `max.message.bytes` follow from it",
        "upload_bytes": "one file that is [sent](jobs.md#files-that-the-gateway-cannot-read)",
        "uploads": "files that a gateway receives at a time, one caller's at most one less; the next one gets 503",
        "bodies_bytes": (
            "all request bodies that a gateway holds whole at a time, until they are answered; the next one gets 503"
        ),
        "caller_bodies_bytes": "of these, those of one caller, by its [key](security.md#api-keys)",
        "requests_per_second": (
            "requests a second of one caller, by its [key](security.md#api-keys), at each gateway; then 429"
        ),
    },
    IntakeSettings: {
        "ahead_seconds": (
            "seconds of work that may wait in the topic, [all jobs of an API "
            "together](operations.md#fair-turns); at least two micro-batches a worker"
        ),
        "chunk_items": "items in one transaction, at most; likewise a replay",
    },
    SinkSettings: {
        "flush_bytes": (
            "bytes after which a partition's buffers are written, and of one object at most; a sink holds four "
            "times as many, all partitions together"
        ),
        "flush_age": "seconds after which they are",
        "eof_linger": "seconds after the first record, once everything there is has been read",
        "allowed_outputs": (
            "where jobs may have [an object for each input object](coming-from-sagemaker.md#transform-jobs) "
            "written, beside their own folders: `s3://bucket/prefix`, `file:///directory`"
        ),
    },
}
