"""Relative paths in the configuration, made absolute: they are looked up from the file's folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from stream_infer.http_settings import GatewaySettings
from stream_infer.predictor_settings import (
    CortexPredictor,
    NativePredictor,
    PluginPredictor,
    PredictorSettings,
    SageMakerPredictor,
    TorchvisionPredictor,
)
from stream_infer.settings import ApiSettings, Settings

_WEIGHT_FILES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def with_absolute_places(settings: Settings, folder: Path) -> Settings:
    """`settings` with every path absolute, seen from `folder`."""
    fetch, gateway, security = settings.fetch, settings.gateway, settings.kafka.security
    named = {name: getattr(security, name) for name in ("ca_file", "certificate_file", "private_key_file")}
    files = {name: _absolute(file, folder) for name, file in named.items() if file is not None}
    security = security.model_copy(update=files)
    directories = [_absolute(directory, folder) for directory in fetch.allowed_directories]
    outputs = [_store(place, folder) for place in settings.sink.allowed_outputs]
    return settings.model_copy(
        update={
            "state_dir": _absolute(settings.state_dir, folder),
            "store": _store(settings.store, folder),
            "sink": settings.sink.model_copy(update={"allowed_outputs": outputs}),
            "gateway": _gateway(gateway, folder),
            "fetch": fetch.model_copy(update={"allowed_directories": directories}),
            "kafka": settings.kafka.model_copy(update={"security": security}),
            "models": settings.models.model_copy(
                update={"tracking_uri": _tracking(settings.models.tracking_uri, folder)}
            ),
            "apis": [api_in(api, folder) for api in settings.apis],
        }
    )


def _gateway(gateway: GatewaySettings, folder: Path) -> GatewaySettings:
    keys, tls = gateway.api_keys_file, gateway.tls
    if tls is not None:
        files = {"certificate_file": tls.certificate_file, "private_key_file": tls.private_key_file}
        tls = tls.model_copy(update={name: _beside(file, folder) for name, file in files.items()})
    keys = None if keys is None else _beside(keys, folder)
    return gateway.model_copy(update={"api_keys_file": keys, "tls": tls})


def _beside(file: Path, folder: Path) -> Path:
    """Absolute, with its links: what is renewed is often a link that leads elsewhere from then on."""
    return folder / file.expanduser()


def _absolute(path: Path, folder: Path) -> Path:
    return (folder / path.expanduser()).resolve()


def _store(store: str, folder: Path) -> str:
    """file:///absolute/path and file://localhost/path are URIs and stay; file://./results is a path of ours."""
    scheme, _, rest = store.partition("://")
    if scheme != "file" or rest.startswith(("/", "localhost/")):
        return store
    return _absolute(Path(unquote(rest)), folder).as_uri()


def _tracking(uri: str | None, folder: Path) -> str | None:
    """A folder is a path; sqlite:///… and http://… are MLflow's own."""
    return uri if uri is None or _has_scheme(uri) else str(_absolute(Path(uri), folder))


def api_in(api: ApiSettings, folder: Path) -> ApiSettings:
    """`api` with the paths of its predictor absolute, seen from `folder`."""
    return api.model_copy(update={"predictor": _predictor(api.predictor, folder)})


def _predictor(predictor: PredictorSettings, folder: Path) -> PredictorSettings:
    match predictor:
        case NativePredictor():
            return _native(predictor, folder)
        case TorchvisionPredictor():
            return _torchvision(predictor, folder)
        case CortexPredictor():
            return _cortex(predictor, folder)
        case SageMakerPredictor() if not _has_scheme(predictor.model):
            return predictor.model_copy(update={"model": str(_absolute(Path(predictor.model), folder))})
        case SageMakerPredictor():
            return predictor
        case PluginPredictor():
            return predictor.model_copy(update={"model": _model(predictor.model, folder)})


def _cortex(predictor: CortexPredictor, folder: Path) -> CortexPredictor:
    """Its file and its python_path are seen from its project, as with Cortex; without one from here."""
    project = _absolute(predictor.project or Path(), folder)
    python_path = None if predictor.python_path is None else _absolute(predictor.python_path, project)
    path = str(_absolute(Path(predictor.path), project))
    return predictor.model_copy(update={"path": path, "project": project, "python_path": python_path})


def _native(predictor: NativePredictor, folder: Path) -> NativePredictor:
    target, model = predictor.target, predictor.model
    file, _, name = target.rpartition(":")
    if file.endswith(".py"):
        target = f"{_absolute(Path(file), folder)}:{name}"
    return predictor.model_copy(update={"target": target, "model": _model(model, folder)})


def _model(model: str | None, folder: Path) -> str | None:
    return model if model is None or _has_scheme(model) else str(_absolute(Path(model), folder))


def _torchvision(predictor: TorchvisionPredictor, folder: Path) -> TorchvisionPredictor:
    """Its files: weights, a list of labels, and a factory that lies in a file."""
    config = dict(predictor.config)
    labels, factory = config.get("labels"), str(config.get("factory", ""))
    if isinstance(labels, str):
        config["labels"] = str(_absolute(Path(labels), folder))
    file, _, name = factory.rpartition(":")
    if file.endswith(".py"):
        config["factory"] = f"{_absolute(Path(file), folder)}:{name}"
    weights = predictor.weights
    if _is_file(weights):
        weights = str(_absolute(Path(weights), folder))
    return predictor.model_copy(update={"weights": weights, "config": config})


def _is_file(weights: str) -> bool:
    """Whether `weights` looks like a path. Torchvision's own names and package://NAME/path do not."""
    return not _has_scheme(weights) and ("/" in weights or weights.endswith(_WEIGHT_FILES))


def _has_scheme(place: str) -> bool:
    """Whether it is a URI: s3://bucket/key, runs:/RUN/path."""
    head, colon, _ = place.partition(":")
    return bool(colon) and "/" not in head
