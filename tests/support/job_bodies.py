"""Jobs as the gateway tells of them."""

from typing import Any

from stream_infer.gateway.representations import JobBody


def job(**fields: Any) -> JobBody:
    counts = {name: fields.pop(name) for name in ("enqueued", "waiting", "succeeded", "rejected") if name in fields}
    base: dict[str, Any] = {
        "job_id": "j1", "api_name": "echo", "state": "running", "is_final": False, "generation": 1, "counts": counts,
        "is_enqueued": True, "rate": 0.0, "errors": [], "config": {}, "source": {}, "submitted_at": 0.0, "times": {},
        "results_uri": "file:///r", "objects": 0, "bytes": 0,
        "links": {"self": "/", "results": "/", "failures": "/", "dlq": "/", "logs": "/"},
    }  # fmt: skip
    return JobBody.model_validate(base | fields)
