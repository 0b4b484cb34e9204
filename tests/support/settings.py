"""Settings for a test's own API on the session's broker."""

from pathlib import Path
from typing import Any

from stream_infer.settings import Settings

# Retries as in life, but for how long they take.
ECHO = {"name": "echo", "partitions": 2, "retry": {"delays": [0.2, 0.4]}}
PREDICTORS = Path(__file__).parents[1] / "predictors"


def predictor(target: str, **config: Any) -> dict[str, Any]:
    """A native predictor out of tests/predictors: `behaving.py:Echo`."""
    return {"type": "native", "target": f"{PREDICTORS / target}", "config": config}


def settings_for(
    bootstrap_servers: str,
    prefix: str,
    folder: Path,
    target: str = "behaving.py:Echo",
    *,
    api: dict[str, Any] | None = None,
    **parts: Any,
) -> Settings:
    """One API named `echo`; `api` and `parts` add to it and to the whole."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap_servers, "topic_prefix": prefix},
            "store": f"file://{folder / 'store'}",
            "state_dir": str(folder / "state"),
            "gateway": {"listen": "127.0.0.1:0"},
            "jobs": {"partitions": 2},
            "fetch": {"allowed_directories": [str(folder)]},
            "apis": [{**ECHO, "predictor": predictor(target), **(api or {})}],
            **parts,
        }
    )
