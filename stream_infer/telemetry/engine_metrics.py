"""The numbers of a predictor: told once a micro-batch, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stream_infer.engine.engine import Engine
from stream_infer.engine.keeper import State
from stream_infer.engine.observer import CallEnd, ChildEnd
from stream_infer.telemetry.catalogue import model
from stream_infer.telemetry.catalogue.metric import OfApi, Reading
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.gpu import Gpus


class EngineMetrics:
    """An EngineObserver of one API's engine."""

    def __init__(self, api: str) -> None:
        self._api = OfApi(api)
        self._sizes = model.CALL_ITEMS.distribution()
        self._model = model.MODEL_SECONDS.distribution()
        self._prepare_s = 0.0
        self._encode_s = 0.0
        self._answered = 0
        self._failed: Counter[CallEnd] = Counter()
        self._ends: Counter[ChildEnd] = Counter()

    def answered(self, items: int, seconds: float, prepare_s: float, model_s: float) -> None:
        self._answered += 1
        self._sizes.note(items)
        self._model.note(model_s)
        self._prepare_s += prepare_s
        # Each of the three is what the child says, and a counter never falls.
        self._encode_s += max(0.0, seconds - prepare_s - model_s)

    def failed(self, end: CallEnd) -> None:
        self._failed[end] += 1

    def child_ended(self, how: ChildEnd) -> None:
        self._ends[how] += 1

    def readings(self, engine: Engine) -> Iterator[Reading]:
        yield from self._counted()
        yield from self._seen_of(engine)

    def _counted(self) -> Iterator[Reading]:
        api = self._api.api
        answered = {model.CallOutcome(api, "answered"): self._answered}
        others = {model.CallOutcome(api, end.value): self._failed[end] for end in CallEnd}
        yield model.CALLS.reading(answered | others)
        yield model.CALL_ITEMS.reading({self._api: self._sizes})
        yield model.MODEL_SECONDS.reading({self._api: self._model})
        stages = {"prepare": self._prepare_s, "predict": self._model.total, "encode": self._encode_s}
        yield model.MODEL_STAGE_SECONDS.reading({model.ModelStage(api, name): took for name, took in stages.items()})
        yield model.CHILD_ENDS.reading({model.ChildReason(api, how.value): self._ends[how] for how in ChildEnd})

    def _seen_of(self, engine: Engine) -> Iterator[Reading]:
        """The engine as it is. Its thread goes on meanwhile: each number is read once."""
        api, of_api = self._api.api, self._api
        yield model.IN_FLIGHT_ITEMS.reading({of_api: engine.in_flight})
        yield model.IN_FLIGHT_BYTES.reading({of_api: engine.in_flight_bytes})
        yield model.BATCH_ITEMS_LIMIT.reading({of_api: engine.batch_size})
        yield model.BATCH_ITEMS_CAP.reading({of_api: engine.batch_cap})
        found = engine.found_batch_size
        if found is not None:
            yield model.BATCH_ITEMS_FOUND.reading({of_api: found})
        state = engine.readiness.state
        yield model.PREDICTOR_STATE.reading({model.PredictorState(api, one.value): one is state for one in State})
        loading = engine.loading
        if loading is not None:
            parts = loading.seconds().items()
            yield model.PREDICTOR_LOAD_SECONDS.reading({model.LoadPart(api, part): took for part, took in parts})


def show_engine(exposure: Exposure, metrics: EngineMetrics, engine: Engine) -> None:
    """Its numbers, and those of the GPUs that its predictor may use: each a source, so that no fault costs both."""
    exposure.show(lambda: metrics.readings(engine))
    exposure.show(Gpus(lambda: engine.child_pid).readings)
