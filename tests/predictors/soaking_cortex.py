"""The predictor of `make soak`'s API of Cortex's: the same deeds, by a class as Cortex's users write them."""

from pathlib import Path

from soaking import Soaking


class PythonPredictor:
    def __init__(self, config, job_spec):
        self.job = job_spec["job_id"]
        self.completed = Path(config["folder"]) / "completed" / job_spec["job_id"]
        self.soaking = Soaking(config)

    def predict(self, payload, batch_id):
        assert batch_id
        return self.soaking.predict(payload)

    def on_job_complete(self):
        with self.completed.open("a") as file:
            file.write(".")
        print(f"job {self.job} is complete", flush=True)
