"""The predictor of `make soak PREDICTOR=cortex`: the same deeds, by a class as Cortex's users write them."""

from soaking import Soaking


class PythonPredictor:
    def __init__(self, config, job_spec):
        self.job = job_spec["job_id"]
        self.soaking = Soaking(config)

    def predict(self, payload, batch_id):
        assert batch_id
        return self.soaking.predict(payload)

    def on_job_complete(self):
        print(f"job {self.job} is complete", flush=True)
