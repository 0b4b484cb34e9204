"""Once all has drained: dead letters are run again, from two shells at once, while the gateway is killed."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_infer.dead_letters import DeadLetter, read_dead_letter
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.local.supervision import RoleKind
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.soak.apis import APIS, SoakedApi
from tests.soak.feed import Refused, ask
from tests.soak.items import CURED_FILE, Planned
from tests.soak.roles import Supervisor, wait_until
from tests.soak.watch import Tally

SHELLS = 2
MOST = 1000
"""References that one request takes."""
KILL_AFTER_S = 0.3
WITHIN_S = 180.0
ASK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of one owner: those of a job, or of none of an API's where `job_id` is None."""

    api: str
    job_id: str | None
    refs: tuple[str, ...]
    items: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/v1/jobs/{self.job_id}/dlq/replay" if self.job_id else f"/v1/apis/{self.api}/dlq/replay"


def choose(
    settings: Settings, truth: Mapping[str, Planned], jobs: Mapping[str, str], names: Sequence[str]
) -> list[Letters]:
    """The dead letters of the sources `names` of each API, whose ids are in `jobs` where they are jobs."""
    chosen = []
    for api in APIS:
        letters = _dead_letters(settings, api)
        for name in [api.prefix + name for name in names]:
            mine = [one for one in letters if one.item.item_id in truth and truth[one.item.item_id].source.name == name]
            refs = tuple(f"{one.position.partition}-{one.position.offset}" for one in mine[:MOST])
            if refs:
                ids = tuple(one.item.item_id for one in mine[:MOST])
                chosen.append(Letters(api.name, jobs.get(name), refs, ids))
    return chosen


def _dead_letters(settings: Settings, api: SoakedApi) -> list[DeadLetter]:
    reader = TopicReader(settings.kafka, Topics(settings.kafka.topic_prefix).api(api.name).dlq)
    try:
        return [read_dead_letter(message) for message in reader.read_to_end()]
    finally:
        reader.close()


def replay(letters: Sequence[Letters], folder: Path, gateway: str, supervisor: Supervisor, tally: Tally) -> list[str]:
    """Blocks until what was replayed has ended again. What went wrong, in words."""
    (folder / CURED_FILE).touch()
    before = tally.seen.records
    errors: list[str] = []
    threads = [
        threading.Thread(target=_repeat, args=(one, gateway, errors.append), daemon=True)
        for one in letters
        for _ in range(SHELLS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(KILL_AFTER_S)
    for name in supervisor.names(RoleKind.GATEWAY):
        supervisor.signal(name, signal.SIGKILL)
    for thread in threads:
        thread.join()
    replayed = sum(len(one.refs) for one in letters)

    def has_ended() -> bool:
        rows = [tally.seen.status.get(one.job_id) for one in letters if one.job_id]
        is_final = all(row is not None and row.generation > 1 and row.state.is_final for row in rows)
        return is_final and tally.seen.records >= before + replayed

    if not errors and not wait_until(has_ended, WITHIN_S):
        errors.append(f"what was replayed has not ended within {WITHIN_S:.0f} s")
    return errors


def _repeat(letters: Letters, gateway: str, tell: Callable[[str], None]) -> None:
    """The same request until it says that all is done: what was replayed once is not replayed again."""
    deadline = time.monotonic() + WITHIN_S
    last = ""
    while time.monotonic() < deadline:
        try:
            said = ask("POST", gateway + letters.path, {"refs": letters.refs})
        except Refused as error:
            if error.status not in (409, 503):
                tell(f"replay: {error}")
                return
            last = str(error)
        except OSError as error:
            last = str(error)
        else:
            last = str(said)
            if said.get("is_complete"):
                if said.get("refused"):
                    tell(f"replay refused {said['refused'][:3]}")
                return
        time.sleep(ASK_AGAIN_S)
    tell(f"replaying {letters.path} was not done within {WITHIN_S:.0f} s: {last[:500]}")
