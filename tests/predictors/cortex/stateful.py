"""What an instance has seen, and how it was made: by handle_batch and handle_on_job_complete, as of later Cortex."""

import ctypes
import os
import time

DEATHS = {"abort": os.abort, "exit": lambda: os._exit(3), "segfault": lambda: ctypes.string_at(0)}


def has_passed(file):
    """Whether it is there by now: a fault that comes once leaves it behind."""
    if file is None:
        return False
    there = os.path.exists(file)
    open(file, "w").close()
    return there


def need_service(config):
    """What the instance and each of its batches need is away while the file is there."""
    if os.path.exists(config.get("away", "")):
        from stream_infer.errors import RetryableError

        raise RetryableError("the service is away")


class Handler:
    def __init__(self, config, job_spec):
        print(f"making one for {job_spec['job_id']}", flush=True)
        time.sleep(config.get("takes", 0))
        ctypes.PyDLL(None).usleep(int(config.get("keeps_gil", 0) * 1e6))
        need_service(config)
        if not has_passed(config.get("once")):
            if "dies" in config:
                DEATHS[config["dies"]]()
            if config.get("refuses"):
                raise ValueError("no such model")
        self.config, self.job, self.seen = config, job_spec["job_id"], 0
        print(f"made for {self.job}")

    def handle_batch(self, payload, batch_id):
        if "crash" in payload:
            os.abort()
        if "raise" in payload:
            raise ValueError("an item that is bad")
        need_service(self.config)
        time.sleep(self.config.get("pause", 0))
        self.seen += len(payload)
        return [[self.job, self.seen, batch_id, payload] for _ in payload]

    def handle_on_job_complete(self):
        print(f"{self.job} is complete after {self.seen} items, as {self.config.get('says')}")
