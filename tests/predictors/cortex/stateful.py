"""What an instance has seen, and how it was made: by handle_batch and handle_on_job_complete, as of later Cortex."""

import os
import time


class Handler:
    def __init__(self, config, job_spec):
        time.sleep(config.get("takes", 0))
        if config.get("dies"):
            os.abort()
        if config.get("refuses"):
            raise ValueError("no such model")
        self.config, self.job, self.seen = config, job_spec["job_id"], 0
        print(f"made for {self.job}")

    def handle_batch(self, payload, batch_id):
        if "crash" in payload:
            os.abort()
        if "raise" in payload:
            raise ValueError("an item that is bad")
        self.seen += len(payload)
        return [[self.job, self.seen, batch_id, payload] for _ in payload]

    def handle_on_job_complete(self):
        print(f"{self.job} is complete after {self.seen} items, as {self.config.get('says')}")
