"""An exception of the predictor's side as a `Failure`."""

from __future__ import annotations

import traceback

from stream_infer.dead_letters import MESSAGE_LIMIT, STACK_LIMIT, shorten
from stream_infer.errors import ItemError, RetryableError, Stage
from stream_infer.predictors.finding import full_name
from stream_infer.records import Failure


def describe(error: BaseException, stage: Stage) -> Failure:
    """The failure that `error` is. The kinds of ItemError know their stage; a plain one fails where it was raised."""
    if isinstance(error, ItemError) and error.stage is not ItemError.stage:
        stage = error.stage
    return Failure(
        stage=stage,
        exception=full_name(error),
        message=shorten(str(error) or full_name(error), MESSAGE_LIMIT).decode(),
        stacktrace=format_stack(error),
        retryable=isinstance(error, RetryableError),
        retry_after=error.retry_after if isinstance(error, RetryableError) else None,
    )


def format_stack(error: BaseException) -> str:
    """Its traceback, without the frame that caught it, cut in the middle to 16 KiB."""
    stack = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, stack or error.__traceback__))
    return shorten(text, STACK_LIMIT).decode()
