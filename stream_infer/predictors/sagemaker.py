"""A model as SageMaker's PyTorch container serves it: a folder with code/, unpacked from its model.tar.gz.

An item is the body of a request. Its content type, and what that says of the answer, are as in transform_type.py.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from stream_infer.errors import PredictorUnavailable, RefusedItem, UndecodableItem
from stream_infer.predictors.finding import said
from stream_infer.predictors.protocol import Raised
from stream_infer.predictors.sagemaker_code import CODE, Context, Functions, import_program, unmet_requirements
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.predictors.transform_type import TransformType, read_transform_type
from stream_infer.records import JSON, Payload

_PROGRAM, _ACCEPT = "inference.py", JSON
# The container decodes these two, and gives everything else as bytes.
_TEXTS = frozenset({JSON, "text/csv"})
_ANY = "*/*"
Answer: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Request:
    """One item as it is asked."""

    body: bytes
    type: TransformType


class SageMakerModel:
    """Made of a folder. Its functions are called for one item after the other, or for lines that were put together."""

    def __init__(self, folder: Path, program: str | None = None, accept: str | None = None) -> None:
        """`program` is the entry point in code/ (default: SAGEMAKER_PROGRAM, inference.py), `accept` the answer's type
        where an item names none. Raises PredictorUnavailable."""
        chosen = program or os.environ.get("SAGEMAKER_PROGRAM")
        self._accept = accept or os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or _ACCEPT
        self._context = Context({"model_dir": str(folder), "gpu_id": None, "batch_size": 1})
        self._joins = True
        _tell_unmet(folder)
        module = import_program(folder, chosen or _PROGRAM, is_required=chosen is not None)
        functions = Functions(module, _default, self._context)
        self._transform = functions.transform
        self._reads_many = functions.has_own_input
        _run("pre_model_fn", functions.before_model, str(folder))
        self._model = _run("model_fn", functions.model, str(folder))
        _run("model_warmup_fn", functions.after_model, str(folder), self._model)

    @classmethod
    def from_spec(cls, spec: PredictorSpec) -> SageMakerModel:
        """`weights` is the folder. Sets what the container's environment has, and `options["env"]`, in this process."""
        folder = Path(spec.weights or ".")
        if not folder.is_dir():
            raise PredictorUnavailable(f"model {folder} is no folder: give a model.tar.gz, or what is in one")
        code = str(folder / CODE)
        os.environ.update(
            {"SM_MODEL_DIR": str(folder), "SAGEMAKER_SUBMIT_DIRECTORY": code, **spec.options.get("env", {})}
        )
        return cls(folder, spec.options.get("program"), spec.options.get("accept"))

    def decode(self, data: bytes, content_type: str) -> Request:
        """Raises RefusedItem where the item alone is more than a request may be."""
        kind = read_transform_type(content_type)
        if kind.max_bytes is not None and len(data) > kind.max_bytes:
            raise RefusedItem(
                f"the item has {len(data):,} bytes, and a request may have {kind.max_bytes:,}: raise MaxPayloadInMB"
            )
        return Request(data, kind)

    def predict(self, items: list[Request]) -> list[Payload | Any]:
        answers: list[Answer] = []
        for requests in _together(items, joins=self._joins):
            answers += self._answer_joined(requests) if len(requests) > 1 else [self._answer(requests[0])]
        return answers

    def _answer(self, request: Request) -> Answer:
        """The answer, or, in its place, what was raised."""
        try:
            answer = self._ask(request.body, request.type)
            return self._alone(answer) if request.type.joins_lines else answer
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it is this item's
            return Raised(error)

    def _alone(self, answer: Answer) -> Answer:
        """As it would be among others, so that it does not matter which records were put together.

        The default input_fn makes a row of one line, and a table of several: its answer is that of the row.
        """
        if not self._reads_many and isinstance(answer, Payload):
            return Payload(answer.data.removesuffix(b"\n"), answer.content_type)
        return (_parts(answer, 1) or [answer])[0]

    def _answer_joined(self, requests: Sequence[Request]) -> list[Answer]:
        """One request of all of them; where it fails, or its answer has no part for each, one request for each."""
        kind = requests[0].type
        try:
            parts = _parts(self._ask(b"\n".join(request.body for request in requests), kind), len(requests))
        except Exception as error:  # noqa: BLE001 - whose it is shows when each is asked alone
            print(
                f"a request of {len(requests)} records failed ({said(error)}); they are sent one by one",
                file=sys.stderr,
            )
            return [self._answer(request) for request in requests]
        if parts is None:
            self._joins = False
            print(
                f"the answer to {len(requests)} records has neither a line nor an element for each of them; "
                "from here on records are sent one by one, as with BatchStrategy SingleRecord",
                file=sys.stderr,
            )
            return [self._answer(request) for request in requests]
        return parts

    def _ask(self, body: bytes, kind: TransformType) -> Answer:
        accept = self._accept if kind.accept is None or kind.accept == _ANY else kind.accept
        self._context.begin({"Content-Type": kind.content_type, "Accept": accept})
        answer = self._transform(self._model, _as_given(body, kind.content_type), kind.content_type, accept)
        said_type = self._context.content_type or accept
        if isinstance(answer, tuple) and len(answer) == 2:
            answer, said_type = answer[0], str(answer[1])
        if isinstance(answer, str):
            return Payload(answer.encode(), said_type)
        return Payload(bytes(answer), said_type) if isinstance(answer, bytes | bytearray | memoryview) else answer


def _run(name: str, function: Callable[..., Any] | None, *arguments: Any) -> Any:
    try:
        return None if function is None else function(*arguments)
    except PredictorUnavailable:
        raise
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(f"model {arguments[0]} cannot be loaded: its {name} raised {said(error)}") from error


def _as_given(body: bytes, content_type: str) -> str | bytes:
    if content_type.partition(";")[0].strip().lower() not in _TEXTS:
        return body
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UndecodableItem(
            f"the item is {content_type} and not UTF-8: {error.reason} at byte {error.start}"
        ) from None


def _together(items: Sequence[Request], *, joins: bool) -> Iterator[list[Request]]:
    """Items one by one, but for those whose lines go into one request, up to its size."""
    for kind, alike in groupby(items, lambda request: request.type):
        group: list[Request] = []
        size = 0
        for request in alike:
            size += len(request.body) + 1
            is_full = kind.max_bytes is not None and size - 1 > kind.max_bytes
            if group and (is_full or not (joins and kind.joins_lines)):
                yield group
                group, size = [], len(request.body) + 1
            group.append(request)
        yield group


def _parts(answer: Answer, count: int) -> list[Answer] | None:
    """A part of the answer for each of `count` records: the elements of its JSON array, or its lines."""
    if isinstance(answer, list | tuple) and not isinstance(answer, Payload):
        return list(answer) if len(answer) == count else None
    if not isinstance(answer, Payload):
        return None
    data, kind = answer
    is_json = kind.partition(";")[0].strip().lower() == JSON
    if is_json and (value := _json(data)) is not None:
        return [Payload(json.dumps(part).encode(), kind) for part in value] if _has(value, count) else None
    lines = [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")]
    if len(lines) != count or (is_json and any(_json(line) is None for line in lines)):
        return None
    return [Payload(line, kind) for line in lines]


def _json(data: bytes) -> Any:
    """None where it is no JSON, or null."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def _has(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


def _tell_unmet(folder: Path) -> None:
    unmet = unmet_requirements(folder)
    if unmet:
        listed = ", ".join(unmet)
        print(
            f"code/requirements.txt is not installed by stream-infer, and these are missing here: {listed}",
            file=sys.stderr,
        )


def _default(name: str) -> Callable[..., Any]:
    """torch is needed only where the model's own code leaves something to it."""
    try:
        from stream_infer.predictors.sagemaker_defaults import default_function
    except ImportError as error:
        raise PredictorUnavailable(
            f"the model's code has no {name}, and the default one needs {error.name or 'torch'}: "
            "pip install 'stream-infer[torch]'"
        ) from error
    return default_function(name)
