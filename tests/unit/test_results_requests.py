"""Results settings in a request: what becomes of them, and what is refused where."""

from typing import Any

import pytest

from connectors.formats import object_formats
from stream_infer.gateway.submission import check_format, job_of, read_spec
from stream_infer.http.problems import Problem
from stream_infer.predictor_settings import NativePredictor
from stream_infer.results import Results
from stream_infer.settings import ApiSettings, Settings

API = ApiSettings(name="a", predictor=NativePredictor(target="m:M"), results=Results(join="input"))


def asked(results: Any) -> Any:
    return {"item_list": {"items": [1]}, "results": results}


def refused(results: Any) -> Problem:
    with pytest.raises(Problem) as problem:
        read_spec(asked(results), Settings(), API)
    assert problem.value.status == 422
    return problem.value


def test_a_job_keeps_what_holds_for_it_and_no_more() -> None:
    def kept(results: Any) -> Results | None:
        spec = read_spec(asked(results), Settings(), API)
        return job_of(spec, job_id="j", api=API, at=1.0, digest="d").results

    assert kept({"format": "parquet"}) == Results(format="parquet", join="input")
    assert kept({"join": "none"}) is None
    assert kept(None) == Results(join="input")


@pytest.mark.parametrize(
    ("results", "pointer", "words"),
    [
        ({"input_filter": "$.a["}, "/results/input_filter", "'$.a[' is no JSONPath"),
        ({"output_filter": "a..b"}, "/results/output_filter", "at character 3"),
        ({"output_filter": "$[?search(@.a, 'x')]"}, "/results/output_filter", "regular expressions are not run here"),
        ({"format": "<xml>"}, "/results/format", "pattern"),
        ({"formt": "jsonl"}, "/results/formt", "Did you mean 'format'?"),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_stands(results: Any, pointer: str, words: str) -> None:
    document = refused(results).document

    assert [error.pointer for error in document.errors or []] == [pointer]
    assert words in document.detail


def test_a_format_that_is_not_installed_here_is_refused_before_anything_is_written() -> None:
    spec = read_spec(asked({"format": "parquet"}), Settings(), API)
    check_format(spec, API, object_formats())

    with pytest.raises(Problem, match=r"/results/format: .*install stream-infer\[parquet\]"):
        check_format(spec, API, {})
