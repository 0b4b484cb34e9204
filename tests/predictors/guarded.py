"""One of everything that makes roles write to topics: results, retries, dead letters, lines of logs, a hook."""

import time


class Guarded:
    def __init__(self, config):
        pass

    def predict(self, items):
        print(f"{len(items)} items", flush=True)
        if "slow" in items:
            time.sleep(1.0)
        if "bad" in items:
            raise ValueError("a bad item")
        return items

    def on_job_complete(self, job):
        print(f"job {job.id} is complete", flush=True)
