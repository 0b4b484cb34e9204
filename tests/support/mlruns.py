"""An mlruns folder as MLflow's own client makes it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

# Its file store, deprecated there, needs no database beside mlflow-skinny. In a process of its own: it sets up logging.
_MAKE = """
import sys
from pathlib import Path
from mlflow.tracking import MlflowClient

store, here = sys.argv[1], Path(sys.argv[2])
client = MlflowClient(tracking_uri=store)
run = client.create_run(client.create_experiment("nets"))
(here / "net.pt").write_text("weights")
(here / "MLmodel").write_text("flavors: {}")
client.log_artifact(run.info.run_id, str(here / "net.pt"), "model")
client.log_artifact(run.info.run_id, str(here / "MLmodel"), "model")
client.set_terminated(run.info.run_id)
client.create_registered_model("net")
for _ in range(2):
    client.create_model_version("net", source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
client.set_registered_model_alias("net", "champion", "1")
print(run.info.run_id)
"""


class MlRuns(NamedTuple):
    """`run` has model/net.pt, which reads "weights", and model/MLmodel; it is version 1 and 2 of the model `net`, whose
    first one is the champion."""

    folder: Path
    run: str

    def environment(self) -> dict[str, str]:
        """What MLflow's client needs to find it."""
        return {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": self.folder.as_uri()}


def make_mlruns(folder: Path) -> MlRuns:
    """`folder`/mlruns; skips the test where there is no mlflow."""
    pytest.importorskip("mlflow")
    (folder / "here").mkdir()
    made = subprocess.run(
        [sys.executable, "-c", _MAKE, (folder / "mlruns").as_uri(), str(folder / "here")],
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert made.returncode == 0, made.stderr
    return MlRuns(folder / "mlruns", made.stdout.split()[-1])
