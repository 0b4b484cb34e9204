"""The Faust app: what it is told, and what it is kept from doing."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from typing import Any

with warnings.catch_warnings():
    # Faust's own imports use what newer Pythons deprecate; nothing a reader of our log could mend.
    warnings.simplefilter("ignore")
    import faust
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.errors import KafkaConnectionError
    from faust.types.auth import CredentialsT

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.security import Tokens, tls_context
from stream_infer.security_settings import OAuthSettings, SecuritySettings
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from stream_infer.tracker.assignment import assignor_for

_NOISY = ("faust", "mode", "aiokafka", "stream_infer.tracker.app", "stream_infer.tracker.exactly_once")
# Not by a module's name, which is Faust's too and says nothing below a warning.
LOG = logging.getLogger("stream_infer.tracker")
# Faust names a logger by the module of the class that logs, so its subclasses log under our names.
_CONSUMER_THREAD = "stream_infer.tracker.exactly_once"


class TrackerApp(faust.App):
    """Faust without its data directory: the tracker keeps nothing on disk, and a container's root is read-only."""

    in_worker = (
        True  # or `processing_guarantee` is ignored: Faust means its own Worker, whose signals and banner we refuse
    )

    def __init__(self, name: str, transaction_timeout: float, **options: Any) -> None:
        """`transaction_timeout` in seconds, of each partition's producer."""
        super().__init__(name, **options)
        self.transaction_timeout = transaction_timeout

    def _create_directories(self) -> None:
        """Nothing to create."""


def create_app(settings: Settings) -> TrackerApp:
    """An app that consumes as `Topics.tracker_group`. Has to be called inside the loop that will run it.

    It has no web server, makes no topic, elects no leader. A group without a place on a partition is an error, never
    a silent reset. `broker_session_timeout` decides how long the partitions of a killed tracker stay unread.
    """
    kafka = settings.kafka
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_CONSUMER_THREAD).addFilter(_is_not_about_keepalive)
    return TrackerApp(
        Topics(kafka.topic_prefix).tracker_group,
        kafka.transaction_timeout,
        version=1,
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap.split(",")],
        broker_credentials=credentials(kafka.security),
        broker_session_timeout=kafka.session_timeout,
        broker_heartbeat_interval=kafka.session_timeout / 10,
        processing_guarantee="exactly_once",
        PartitionAssignor=assignor_for(settings.jobs.partitions),
        consumer_auto_offset_reset="none",
        producer_compression_type="lz4",
        producer_linger=0.0,
        store="memory://",
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.jobs.partitions,
        web_enabled=False,
        autodiscover=False,
    )


def _is_not_about_keepalive(record: logging.LogRecord) -> bool:
    """Not an error: Faust says it whenever its consumer's thread was not scheduled for 3 s, as on a stalled machine or
    while Kafka is away, and does nothing about it. A consumer that is really stuck loses its group, which ends us.
    """
    return "Thread keepalive is not responding" not in record.getMessage()


def leave_unawaited(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler that passes over what nobody waits for.

    A fenced producer of aiokafka fails futures that nobody awaits, too; the fencing is told where one is awaited. So
    does a connection that breaks, with what the system says of it: those of its requests that were given up. And a loop
    that was closed still holds tasks of Faust's and aiokafka's, which end with the process; those that are cancelled
    before that may fail with anything.
    """
    error = context.get("exception")
    message = str(context.get("message"))
    is_cancelled = message.endswith("during asyncio.run() shutdown")
    is_given_up = message.startswith("Future exception") and isinstance(error, ConnectionError)
    is_known = type(error).__module__.startswith("aiokafka.") or is_given_up or is_cancelled
    if is_known or (error is None and loop.is_closed()):
        LOG.debug("left unawaited: %s", error or context.get("message"))
    else:
        loop.default_exception_handler(context)


def credentials(security: SecuritySettings) -> CredentialsT | None:
    """What kafka/security.py tells librdkafka, in Faust's words. None: plain text. Raises ConfigError."""
    context = tls_context(security)
    if security.oauth is not None and security.sasl_mechanism == "OAUTHBEARER":
        return faust.OAuthCredentials(oauth_cb=_Tokens(security.oauth), ssl_context=context)
    if security.sasl_mechanism is not None:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context=context)


class _Tokens(AbstractTokenProvider):  # type: ignore[misc] # published without types
    """Tokens for aiokafka, which asks whenever it connects. Its two loops may ask at the same time."""

    def __init__(self, oauth: OAuthSettings) -> None:
        self._tokens = Tokens(oauth)
        self._extensions = dict(oauth.extensions)
        self._asking = threading.Lock()

    async def token(self) -> str:
        """Raises KafkaConnectionError, and nothing else: aiokafka takes that for a broker that is away, and tries
        again. Any other error would end the task that follows the brokers' metadata, which nobody starts again (0.14).
        """
        try:
            return await asyncio.to_thread(self._current)
        except ServiceUnavailable as error:
            raise KafkaConnectionError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        return self._extensions

    def _current(self) -> str:
        with self._asking:
            return self._tokens.current()


def raw_topic(app: TrackerApp, name: str) -> Any:
    """`name` as bytes, read as they are. `acks=False`: the offsets are committed by us, in our transactions."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False)
