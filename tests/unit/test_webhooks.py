"""Secrets, signatures and addresses of webhooks."""

import asyncio
import base64
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from stream_infer.http_settings import WebhooksSettings
from stream_infer.jobs.spec import JobSpec, WebhookSpec
from stream_infer.redaction import redact_text
from stream_infer.settings import Settings
from stream_infer.webhooks import key_of, new_secret, shown_url, signed_headers

ROOT = Path(__file__).resolve().parents[2]
SECRET, OTHER = new_secret(), new_secret()
BODY = json.dumps({"type": "job.succeeded", "data": {"job_id": "ü"}}).encode()


def test_a_message_is_one_that_the_standards_own_package_takes_for_signed() -> None:
    headers = signed_headers("msg_1", int(time.time()), BODY, [SECRET])

    assert Webhook(SECRET).verify(BODY, headers) == json.loads(BODY)
    assert headers["webhook-id"] == "msg_1"
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + b" ", headers)


def test_while_secrets_change_a_receiver_that_knows_any_of_them_is_content() -> None:
    headers = signed_headers("msg_1", int(time.time()), BODY, [SECRET, OTHER])

    assert len(headers["webhook-signature"].split(" ")) == 2
    for known in (SECRET, OTHER):
        Webhook(known).verify(BODY, headers)


def test_a_message_of_another_time_is_refused_by_whoever_gets_it_again() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, signed_headers("msg_1", int(time.time()) - 3600, BODY, [SECRET]))


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2", "whsec_", "whsec_hunter2", base64.b64encode(b"x" * 32).decode(), "whsec_" + "ä" * 40,
     "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_" + base64.b64encode(b"x" * 65).decode()],
    ids=["empty", "a-word", "a-prefix", "a-word-behind-it", "no-prefix", "not-base64", "short", "long"],
)  # fmt: skip
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="webhooks secret") as caught:
        key_of(secret)
    assert len(secret) < 7 or secret not in str(caught.value)


def test_a_new_secret_is_another_one_each_time_and_taken_out_of_whatever_is_logged() -> None:
    assert len(key_of(SECRET)) == 32
    assert SECRET != OTHER
    assert SECRET not in redact_text(f"signed with {SECRET}.")


@pytest.mark.parametrize(
    "url",
    ["", "example.org/x", "ftp://example.org/", "https://", "https:///x", "https://me:pw@example.org/", "http://me@h/",
     "https://example.org:99999/", "https://exa mple.org/", "https://example.org/\n", "https://[::1/", "x" * 3000],
)  # fmt: skip
def test_what_is_no_address_for_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookSpec(url=url)


def test_an_address_is_shown_without_what_may_let_a_caller_in() -> None:
    assert shown_url("https://example.org:8443/hook?token=hunter2#x") == "https://example.org:8443/hook?…"
    assert shown_url("https://example.org/hook") == "https://example.org/hook"


def test_no_secret_stands_in_what_python_shows_of_a_setting_or_a_spec() -> None:
    shown = repr(WebhookSpec(url="https://h/", secret=SECRET)) + repr(WebhooksSettings(secrets=[SECRET]))

    assert SECRET not in shown


def test_an_address_alone_is_short_for_a_webhook() -> None:
    spec = JobSpec.model_validate({"item_list": {"items": [1]}, "webhook": "https://h/"})

    assert spec.webhook == WebhookSpec(url="https://h/")


def test_a_place_without_anything_to_sign_with_is_no_configuration() -> None:
    with pytest.raises(ValidationError, match=r"webhooks\.url is set, and there is no secret"):
        Settings.model_validate({"webhooks": {"url": "https://h/"}})
    assert Settings.model_validate({"webhooks": {"url": "https://h/", "secrets": [SECRET]}}).webhooks.url


def test_the_receiver_on_the_page_takes_what_is_signed_once_and_refuses_what_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1].replace("whsec_…", SECRET), names)
    body = b'{"type": "job.failed", "data": {"job_id": "j", "counts": {}}}'

    def answered(secret: str) -> int:
        async def read() -> bytes:
            return body

        headers = CIMultiDict(signed_headers("msg_1", int(time.time()), body, [secret]))
        return int(asyncio.run(names["told"](SimpleNamespace(headers=headers, read=read))).status)

    assert [answered(SECRET), answered(SECRET), answered(OTHER)] == [204, 204, 401]
    assert capsys.readouterr().out == "job.failed j {}\n"
