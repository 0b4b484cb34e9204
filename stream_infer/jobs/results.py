"""Which results settings hold for a job: decided once, when it is submitted."""

from __future__ import annotations

from stream_infer.results import Results


def results_of(api: Results, job: Results | None) -> Results | None:
    """The API's, but for what the job itself says; None where nothing is out of the ordinary.

    What a job says explicitly holds though it is the default: `output_filter: null` takes the API's filter away.
    """
    said = {} if job is None else {name: getattr(job, name) for name in job.model_fields_set}
    both = api.model_copy(update=said)
    return None if both == Results() else both
