"""The APIs of a run: the same misbehaviour behind a predictor of our own, of Cortex's and of SageMaker's. Pure."""

from dataclasses import dataclass

BATCH = 8


@dataclass(frozen=True, slots=True)
class SoakedApi:
    """One API. `share` of a run's items are its own, `prefix` begins the names of its sources and workers.

    `batch`: the most items of a call. `hooks`: its predictor has an `on_job_complete`, which writes down that it ran.
    """

    name: str
    type: str
    share: float
    workers: int
    batch: int = BATCH
    prefix: str = ""
    hooks: bool = False


NATIVE = SoakedApi("soak", "native", 0.6, workers=2)
CORTEX = SoakedApi("soak-cortex", "cortex", 0.2, workers=2, prefix="cortex-", hooks=True)
# A model of SageMaker's is asked record by record, and writes down each: so each is a call.
SAGEMAKER = SoakedApi("soak-sagemaker", "sagemaker", 0.2, workers=2, batch=1, prefix="sagemaker-")
APIS = (NATIVE, CORTEX, SAGEMAKER)
WORKERS = sum(api.workers for api in APIS)
