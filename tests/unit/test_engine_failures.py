"""What an exception of the predictor's says: about the item, and about the process."""

import errno
import math
import subprocess
import sys
from decimal import Decimal

import pydantic
import pytest

from stream_infer.engine.diagnosis import Ailment, diagnose
from stream_infer.engine.failures import describe
from stream_infer.engine.wire import pack_failure, read_failure
from stream_infer.errors import ItemError, RefusedOutput, RetryableError, Stage, UndecodableItem


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


def raised_from(error, cause):
    error.__cause__ = cause
    return error


def raised_beside(error, context):
    error.__context__ = context
    return error


def invalid():
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("x")
    return caught.value


@pytest.mark.parametrize(
    ("error", "stage", "returned", "final"),
    [
        (ValueError("?"), Stage.PREDICT, False, False),
        (ValueError("?"), Stage.PREPROCESS, False, False),
        (ValueError("?"), Stage.PREDICT, True, True),
        (ValueError("?"), Stage.DECODE, False, True),
        (ValueError("?"), Stage.ENCODE, False, True),
        (ItemError("?"), Stage.PREDICT, False, True),
        (UndecodableItem("?"), Stage.PREPROCESS, False, True),
        (RefusedOutput("?"), Stage.PREDICT, False, True),
        (invalid(), Stage.PREDICT, False, True),
        (RetryableError("?"), Stage.PREDICT, False, False),
        (RetryableError("?", retry_after=3.0), Stage.PREDICT, True, False),
    ],
)
def test_what_would_fail_the_same_way_again_is_final(error, stage, returned, final):
    failure = describe(error, stage, returned=returned)
    assert failure.final is final
    assert failure.retryable is isinstance(error, RetryableError)
    assert read_failure(pack_failure(failure)) == failure


class Unwilling:
    def __float__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [(30, 30.0), (1.5, 1.5), (0, 0.0), ("30", 30.0), (" 2.5 ", 2.5), (b"30", 30.0), (Decimal("0.5"), 0.5)]
    + [(wish, None) for wish in (None, True, -1, "soon", "", [30], {}, 10**400, "1" * 400, math.nan, "inf", "-inf")]
    + [(Unwilling(), None), (object(), None), ("\ud800", None)],
)
def test_a_wish_to_come_back_later_is_a_finite_number_of_seconds_or_none(wish, seconds):
    failure = describe(RetryableError("429", retry_after=wish), Stage.PREDICT)
    assert (failure.retryable, failure.retry_after) == (True, seconds)
    stage, exception, message, stack, retryable, _, final, of_job = pack_failure(failure)
    assert read_failure((stage, exception, message, stack, retryable, wish, final, of_job)) == failure


def test_a_retryable_error_that_forgot_its_own_wish_has_none():
    class Forgetful(RetryableError):
        def __init__(self, message):
            Exception.__init__(self, message)

    failure = describe(Forgetful("429"), Stage.PREDICT)
    assert (failure.retryable, failure.retry_after, failure.message) == (True, None, "429")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_failure_whose_words_are_none_is_refused(place):
    values = list(pack_failure(describe(ValueError("?"), Stage.PREDICT)))
    values[place] = 5
    with pytest.raises((ValueError, TypeError)):
        read_failure(tuple(values))


ILLEGAL = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")


@pytest.mark.parametrize(
    ("error", "ailment"),
    [
        (MemoryError(), Ailment.OUT_OF_MEMORY),
        (OutOfMemoryError("whatever it says"), Ailment.OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), Ailment.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Ailment.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), Ailment.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), Ailment.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Ailment.OUT_OF_MEMORY),
        (raised_from(RuntimeError("inference failed"), OutOfMemoryError()), Ailment.OUT_OF_MEMORY),
        (raised_beside(ValueError("the fallback does not like it"), OutOfMemoryError()), None),
        (RuntimeError("CUDA error: device-side assert triggered"), Ailment.POISONED),
        (ILLEGAL, Ailment.POISONED),
        (raised_beside(ValueError("caught, and gone on"), ILLEGAL), Ailment.POISONED),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), Ailment.POISONED),
        (RuntimeError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm`"), Ailment.POISONED),
        (RuntimeError("CUDA error: unknown error"), Ailment.POISONED),
        (RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling"), None),
        (RuntimeError("CUDA error: invalid configuration argument"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear"), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("out of memory, said the user's own check"), None),
        (FileNotFoundError(errno.ENOENT, "no such file"), None),
    ],
)
def test_an_error_tells_what_is_wrong_with_its_process(error, ailment):
    assert diagnose(error) is ailment


def test_errors_that_go_round_in_circles_are_looked_at_once():
    one, other = ValueError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert diagnose(one) is None


def test_telling_so_takes_no_model_framework():
    code = "import sys, stream_infer.engine.runner; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
