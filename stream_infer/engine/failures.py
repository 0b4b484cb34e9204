"""An exception of the predictor's side as a `Failure`."""

from __future__ import annotations

import traceback

from stream_infer.dead_letters import MESSAGE_LIMIT, STACK_LIMIT, presentable
from stream_infer.engine.wire import read_seconds
from stream_infer.errors import ItemError, JobRefused, RetryableError, Stage
from stream_infer.predictors.finding import full_name
from stream_infer.records import Failure

# What cannot be decoded or encoded once cannot be the next time.
_FINAL_STAGES = (Stage.DECODE, Stage.ENCODE)


def describe(error: BaseException, stage: Stage, *, returned: bool = False) -> Failure:
    """The failure that `error` is. The kinds of ItemError know their stage; a plain one fails where it was raised.

    `returned` in an item's place, not raised: the predictor has said which item it is about.
    """
    if isinstance(error, JobRefused):
        cause = error.__cause__ or error
        said = presentable(str(error), MESSAGE_LIMIT).decode()
        # Without jobs, as in a folder's run, `retryable` counts; with them the engine decides (see loads.py).
        away = isinstance(cause, RetryableError)
        wish = read_seconds(getattr(cause, "retry_after", None)) if away else None
        return Failure(stage, full_name(cause), said, format_stack(cause), away, wish, final=True, of_job=True)
    if isinstance(error, ItemError) and error.stage is not ItemError.stage:
        stage = error.stage
    retryable = isinstance(error, RetryableError)
    return Failure(
        stage=stage,
        exception=full_name(error),
        message=presentable(str(error) or full_name(error), MESSAGE_LIMIT).decode(),
        stacktrace=format_stack(error),
        retryable=retryable,
        retry_after=read_seconds(getattr(error, "retry_after", None)) if retryable else None,
        final=not retryable and (returned or stage in _FINAL_STAGES or _is_about_the_item(error)),
    )


def _is_about_the_item(error: BaseException) -> bool:
    """An ItemError, or pydantic's ValidationError, of whatever version and without importing any."""
    return isinstance(error, ItemError) or any(
        kind.__name__ == "ValidationError" and kind.__module__.partition(".")[0] in ("pydantic", "pydantic_core")
        for kind in type(error).__mro__
    )


def format_stack(error: BaseException) -> str:
    """Its traceback, without the frame that caught it, without secrets, cut in the middle to 16 KiB."""
    stack = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, stack or error.__traceback__))
    return presentable(text, STACK_LIMIT).decode()
