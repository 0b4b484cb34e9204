"""APIs that are deployed to a running `up`, changed, broken, mended and deleted, as a user does it from the shell."""

import json
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gateway import HttpClient
from tests.support.projects import archive, deployment_form, wheel, write_project
from tests.support.up_process import ROOT, UpProcess, up_in, wait_for

LIVE_S = 60.0
END_S = 90.0
MODEL = """
    import time

    class Shouter:
        def __init__(self, config):
            self.mark = config.get("mark", "!")
            self.pause = config.get("pause", 0)

        def predict(self, items):
            time.sleep(self.pause)
            return [str(item).upper() + self.mark for item in items]
"""
BROKEN = "class Shouter:\n    def __init__(self, config:\n        pass\n"


def model(source: str = MODEL) -> str:
    return textwrap.dedent(source)


def shouter(name: str, **config: Any) -> dict[str, Any]:
    predictor = {"type": "native", "target": "model.py:Shouter", "config": config}
    return {"name": name, "predictor": predictor, "partitions": 2, "batching": {"max_batch_size": 4}}


class Deployed:
    """A running `up`, its gateway, and the command."""

    def __init__(self, up: UpProcess, gateway: str) -> None:
        self.up = up
        self.gateway = gateway
        self.client = HttpClient(gateway)

    def command(self, *arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "stream_infer", *arguments, "--gateway", self.gateway]
        ran = subprocess.run(
            command, cwd=self.up.log.parent, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=LIVE_S, check=False,
        )  # fmt: skip
        assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr, self.up.text()[-5000:])
        return ran.stdout + ran.stderr

    def put(self, definition: dict[str, Any], files: dict[str, str], *, state: str = "live") -> Any:
        body, kind = deployment_form(definition, archive({name: text.encode() for name, text in files.items()}))
        path = f"/v1/apis/{definition['name']}"
        self.client("PUT", path, raw=body, status=202, content_type=kind)
        return self.until(definition["name"], state)

    def until(self, name: str, state: str) -> Any:
        def reached() -> Any:
            found = self.client("GET", f"/v1/apis/{name}", status=200)
            return found if found["state"] == state else None

        return wait_for(reached, LIVE_S, self.up.text)

    def submit(self, api: str, count: int) -> str:
        items = [f"item {number}" for number in range(count)]
        job = self.client("POST", f"/v1/apis/{api}/jobs", {"item_list": {"items": items}}, status=202)
        return str(job["job_id"])

    def outputs(self, job_id: str, count: int) -> list[Any]:
        """Those of a job that has succeeded: one of each of its items, and no other."""

        def ended() -> Any:
            job = self.client("GET", f"/v1/jobs/{job_id}", status=200)
            return job if job["is_final"] else None

        job = wait_for(ended, END_S, self.up.text)
        assert (job["state"], job["counts"]["succeeded"]) == ("succeeded", count), job
        lines = self.client("GET", f"/v1/jobs/{job_id}/results", status=200).splitlines()
        results = [json.loads(line) for line in lines]
        assert [result["item_id"] for result in results] == [f"{job_id}-{number}" for number in range(count)]
        return [result["output"] for result in results]

    def has_begun(self, job_id: str) -> bool:
        job = self.client("GET", f"/v1/jobs/{job_id}", status=200)
        return bool(job["counts"]["succeeded"])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with up_in(tmp_path_factory.mktemp("deployed")) as up:
        ready = up.wait_until_ready()
        found = Deployed(up, ready["gateway"])
        with closing(found.client):
            yield found
        assert up.interrupt() == 0, up.text()


def test_a_folder_with_a_requirement_of_its_own_is_live_with_one_command(deployed: Deployed, tmp_path: Path) -> None:
    """The wheel is in no index: it goes along."""
    file, packed = wheel("tinywords", "def shout(text):\n    return text.upper() + '!'\n")
    source = """
        from tinywords import shout

        class Shouter:
            def __init__(self, config): ...

            def predict(self, items):
                return [shout(item) for item in items]
    """
    config = yaml.safe_dump({"apis": [shouter("words"), shouter("other")]})
    files: dict[str, str | bytes] = {
        "model.py": model(source),
        "requirements.txt": f"./wheels/{file}\n",
        f"wheels/{file}": packed,
    }
    project = write_project(tmp_path, {**files, "stream-infer.yaml": config})
    write_project(tmp_path, {".gitignore": "data/\n", "data/large.bin": bytes(1000)})

    said = deployed.command("deploy", str(project / "stream-infer.yaml"), "--name", "words")
    assert "api/words created" in said
    assert f"api/words is live: {deployed.gateway}/words" in said
    assert "other" not in said
    job_id = deployed.submit("words", 40)
    assert deployed.outputs(job_id, 40) == [f"ITEM {number}!" for number in range(40)]

    again = deployed.command("deploy", str(project / "stream-infer.yaml"), "--name", "words", "-o", "json")
    assert json.loads(again)[0]["state"] == "live"
    assert "api/words unchanged" in deployed.command("deploy", str(project / "stream-infer.yaml"), "--name", "words")
    assert "api/words deleted" in deployed.command("delete", "words")
    deployed.client("GET", "/v1/apis/words", status=404)
    folders = deployed.up.log.parent / "state" / "apis" / "code"
    assert list(folders.rglob("large.bin")) == []


def test_an_update_in_the_midst_of_jobs_loses_and_doubles_nothing_of_it_nor_of_others(deployed: Deployed) -> None:
    deployed.put(shouter("rolled", pause=0.2), {"model.py": model()})
    deployed.put(shouter("steady", pause=0.2), {"model.py": model()})
    of_file, steady, mine = (
        deployed.submit("echo", 3000),
        deployed.submit("steady", 300),
        deployed.submit("rolled", 1200),
    )
    wait_for(lambda: deployed.has_begun(mine), LIVE_S, deployed.up.text)

    # The first one would take a minute for all of them; the second needs no time.
    deployed.client("PATCH", "/v1/apis/rolled", {"predictor": {"config": {"mark": "?", "pause": 0}}}, status=202)
    deployed.until("rolled", "live")

    marks = Counter(output[-1] for output in deployed.outputs(mine, 1200))
    assert marks["!"] > 0, "what the first one had done"
    assert marks["?"] > 0, "what was left for the second"
    assert {output[-1] for output in deployed.outputs(steady, 300)} == {"!"}
    assert len(deployed.outputs(of_file, 3000)) == 3000
    assert deployed.up.text().count("worker steady/0 is ready") == 1


def test_what_is_broken_says_where_its_jobs_wait_and_go_on_once_it_is_mended(deployed: Deployed) -> None:
    found = deployed.put(shouter("broken"), {"model.py": BROKEN}, state="failed")
    assert "SyntaxError" in found["message"]
    assert "(model.py, line 2)" in found["message"]
    job_id = deployed.submit("broken", 5)

    missing = deployed.put(shouter("broken"), {"model.py": "class Shout: pass\n"}, state="failed")
    assert "model.py has no 'Shouter'" in missing["message"]
    assert "Did you mean" in missing["message"] or "did you mean" in missing["message"]
    unmet = {"model.py": model(), "requirements.txt": "./nothing-1.0-py3-none-any.whl\n"}
    assert "requirements.txt" in deployed.put(shouter("broken"), unmet, state="failed")["message"]
    raising = model().replace("self.pause =", "raise RuntimeError('no weights')\n        self.pause =")
    assert "no weights" in deployed.put(shouter("broken"), {"model.py": raising}, state="failed")["message"]

    deployed.put(shouter("broken"), {"model.py": model()})
    assert deployed.outputs(job_id, 5) == [f"ITEM {number}!" for number in range(5)]


def test_where_an_update_is_broken_the_revision_before_goes_on(deployed: Deployed) -> None:
    deployed.put(shouter("lasting"), {"model.py": model()})
    deployed.put(shouter("lasting"), {"model.py": BROKEN}, state="failed")

    assert deployed.outputs(deployed.submit("lasting", 5), 5)[0] == "ITEM 0!"


def test_an_api_with_a_job_is_deleted_by_force_and_the_job_is_stopped(deployed: Deployed) -> None:
    deployed.put(shouter("busy"), {"model.py": BROKEN}, state="failed")
    job_id = deployed.submit("busy", 10)
    # The one that skips its items starts behind the failure.
    wait_for(lambda: "worker busy/0" in deployed.up.text(), LIVE_S, deployed.up.text)

    assert job_id in deployed.command("delete", "busy", status=2)
    assert "api/busy deleted" in deployed.command("delete", "busy", "--force")

    assert deployed.client("GET", f"/v1/jobs/{job_id}", status=200)["state"] == "stopped"
    deployed.client("GET", "/v1/apis/busy", status=404)
    assert "stream-infer.yaml" in deployed.command("delete", "echo", status=2)


def test_an_api_that_stands_at_zero_is_live_before_its_first_job_and_answers_it(deployed: Deployed) -> None:
    deployed.put({**shouter("resting"), "workers": {"min": 0, "max": 1, "idle_seconds": 1}}, {"model.py": model()})

    assert deployed.outputs(deployed.submit("resting", 5), 5)[0] == "ITEM 0!"


def test_requests_are_answered_by_replicas_of_a_deployed_api(deployed: Deployed) -> None:
    from stream_infer.local.free_ports import find_free

    [port] = find_free(1)
    realtime = {"listen": f"127.0.0.1:{port}"}
    deployed.put({**shouter("asked"), "realtime": realtime}, {"model.py": model()})

    def answered() -> Any:
        answer = deployed.client._pool.request("POST", f"{deployed.gateway}/v1/apis/asked/predict", json="hello")
        return answer.data if answer.status == 200 else None

    assert wait_for(answered, LIVE_S, deployed.up.text) == b'"HELLO!"'


def test_after_a_restart_what_was_deployed_comes_back_by_itself(tmp_path: Path) -> None:
    with up_in(tmp_path) as up:
        first = Deployed(up, up.wait_until_ready()["gateway"])
        first.put(shouter("lasting"), {"model.py": model()})
        waiting = first.submit("lasting", 20)
        assert up.interrupt() == 0, up.text()
        first.client.close()
    with up_in(tmp_path, tmp_path / "stream-infer.yaml") as up:
        second = Deployed(up, up.wait_until_ready()["gateway"])
        second.until("lasting", "live")
        second.outputs(waiting, 20)
        assert len(second.outputs(second.submit("lasting", 20), 20)) == 20
        second.client.close()
        assert up.interrupt() == 0, up.text()
