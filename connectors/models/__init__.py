"""Models: from where somebody has put one to a path of this machine."""

from connectors.models.archive import unpacked
from connectors.models.fetch import fetch_model, is_model_uri

__all__ = ["fetch_model", "is_model_uri", "unpacked"]
