"""A model as the PyTorch container serves it: which of its functions are called, with what, and what becomes of it."""

import os
import sys

import pytest

from stream_infer.engine.runner import Runner
from stream_infer.engine.wire import ToChild, ToParent, read_failure
from stream_infer.errors import PredictorUnavailable, Stage
from stream_infer.predictors.loader import load
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.predictors.transform_type import TransformType, read_transform_type

JSON = "application/json"
SHOUTING = """
def model_fn(model_dir):
    return "!"
def input_fn(body, content_type):
    return body, content_type
def predict_fn(data, model):
    body, content_type = data
    return f"{content_type}:{body.upper()}{model}"
def output_fn(prediction, accept):
    return prediction + " as " + accept
"""
DOUBLING = """
def model_fn(model_dir):
    return []
def transform_fn(model, body, content_type, accept):
    model.append(body)
    numbers = [int(line) for line in body.split("\\n")]
    if accept == "text/csv":
        return "".join(f"{2 * number}\\n" for number in numbers), accept
    return str([2 * number for number in numbers])
"""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    before, path = dict(os.environ), list(sys.path)
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
    for name in ("inference", "serve", "sagemaker_inference"):
        sys.modules.pop(name, None)


@pytest.fixture
def model(tmp_path):
    """Makes a predictor of the text of its entry point."""

    def make(code=None, *, program="inference.py", options=None, **files):
        folder = tmp_path / "model"
        (folder / "code").mkdir(parents=True)
        if code is not None:
            (folder / "code" / program).write_text(code)
        for name, text in files.items():
            (folder / "code" / name.replace("_txt", ".txt").replace("_py", ".py")).write_text(text)
        return load(PredictorSpec("sagemaker", program, weights=str(folder), options=options or {}))

    return make


def run(predictor, *items):
    """Through a Runner, as the child does: each item's (value, content type), or its failure."""
    said = []
    types, payloads = [kind for _, kind in items], [data for data, _ in items]
    message = (ToChild.CALL.value, 1, types, payloads, None)
    runner = Runner(predictor, 1, said.append)
    runner.admit(message if _takes_batch() else message[:4])()
    kind, _, values, kinds, rejected, *_ = said[-1]
    assert kind == ToParent.DONE
    kinds = [kinds] * len(values) if isinstance(kinds, str) else kinds
    return [read_failure(rejected[at]) if at in rejected else (value, kinds[at]) for at, value in enumerate(values)]


def _takes_batch():
    import inspect

    return "batch" in inspect.getsource(Runner.admit)


def lines(*bodies, accept="text/csv", max_bytes=None):
    kind = str(TransformType("text/csv", accept, joins_lines=True, max_bytes=max_bytes))
    return [(body, kind) for body in bodies]


def test_the_four_functions_are_called_in_their_order(model):
    answers = run(model(SHOUTING), (b"ab", "text/csv; accept=text/plain"), (b"cd", JSON))

    assert answers == [
        (b"text/csv:AB! as text/plain", "text/plain"),
        (b"application/json:CD! as application/json", JSON),
    ]


def test_only_json_and_csv_come_as_text(model):
    echo = SHOUTING.replace("body.upper()", "type(body).__name__")
    answers = run(
        model(echo), (b"{}", JSON), (b"1,2", "text/csv"), (b"\x89PNG", "application/x-image"), (b"x", "text/plain")
    )

    assert [value.split(b":")[1].split(b"!")[0] for value, _ in answers] == [b"str", b"str", b"bytes", b"bytes"]


def test_the_answers_type_is_that_of_the_item_or_the_settings_or_json(model):
    predictor = model(SHOUTING, options={"accept": "text/csv"})
    kinds = [
        kind for _, kind in run(predictor, (b"a", JSON), (b"a", f"{JSON}; accept=x/y"), (b"a", f'{JSON}; accept="*/*"'))
    ]

    assert kinds == ["text/csv", "x/y", "text/csv"]


def test_a_function_that_takes_one_more_argument_is_given_the_context(model):
    code = """
def model_fn(model_dir, context):
    return context.system_properties["model_dir"] == model_dir
def transform_fn(model, body, content_type, accept, context):
    context.set_response_content_type(0, "text/plain")
    return f"{model} {context.get_request_header(0, 'content-type')}"
"""
    assert run(model(code), (b"", "a/b")) == [(b"True a/b", "text/plain")]


def test_its_neighbours_can_be_imported_and_its_environment_is_set(model, tmp_path):
    code = """
import os
from neighbour import ANSWER
def model_fn(model_dir):
    return ANSWER, os.environ["MINE"], os.environ["SM_MODEL_DIR"] == model_dir
def transform_fn(model, body, content_type, accept):
    return list(model)
"""
    predictor = model(code, options={"env": {"MINE": "yes"}}, neighbour_py="ANSWER = 42")

    assert run(predictor, (b"", JSON)) == [(b'[42,"yes",true]', JSON)]
    assert os.environ["SAGEMAKER_SUBMIT_DIRECTORY"] == str(tmp_path / "model" / "code")


def test_another_entry_point_may_be_named(model):
    assert run(model(SHOUTING, program="serve.py", options={"program": "serve.py"}), (b"a", JSON))


def test_what_is_raised_for_an_item_is_that_items_alone_and_may_be_tried_again(model):
    code = SHOUTING.replace("return body, content_type", "return 1 // len(body), content_type").replace(
        "body.upper()", "body"
    )
    good, bad = run(model(code), (b"a", JSON), (b"", JSON))

    assert good == (b"application/json:1! as application/json", JSON)
    assert (bad.stage, bad.exception, bad.final) == (Stage.PREDICT, "ZeroDivisionError", False)
    assert "input_fn" in bad.stacktrace


def test_text_that_is_none_and_an_item_that_is_too_large_are_rejected_for_good(model):
    late, large = run(model(SHOUTING), (b"\xff", "text/csv"), (b"abc", "text/csv; max-bytes=2"))

    assert (late.stage, late.final) == (Stage.DECODE, True)
    assert "the item has 3 bytes, and a request may have 2: raise MaxPayloadInMB" in large.message
    assert large.final


def test_lines_are_one_request_and_each_gets_its_line_of_the_answer(model):
    predictor = model(DOUBLING)

    assert run(predictor, *lines(b"1", b"2", b"3")) == [(b"2", "text/csv"), (b"4", "text/csv"), (b"6", "text/csv")]
    assert predictor._model == ["1\n2\n3"]


def test_a_json_array_of_as_many_elements_is_shared_out(model):
    assert run(model(DOUBLING), *lines(b"1", b"2", accept=JSON)) == [(b"2", JSON), (b"4", JSON)]


def test_one_line_is_answered_as_among_others(model):
    predictor = model(DOUBLING)

    assert run(predictor, *lines(b"1", accept=JSON)) == [(b"2", JSON)]
    assert run(predictor, *lines(b"1", accept="text/csv")) == [(b"2", "text/csv")]
    assert run(predictor, (b"1", JSON)) == [(b"[2]", JSON)]


def test_json_lines_are_shared_out_but_not_the_lines_of_one_json_text(model):
    code = DOUBLING.replace("return str([2 * number for number in numbers])", "return ANSWER")
    predictor = model(code.replace("ANSWER", repr('{"a": 1}\n{"a": 2}\n')))
    assert run(predictor, *lines(b"1", b"2", accept=JSON)) == [(b'{"a": 1}', JSON), (b'{"a": 2}', JSON)]


def test_a_request_of_many_lines_has_at_most_so_many_bytes(model):
    predictor = model(DOUBLING)
    run(predictor, *lines(b"1", b"22", b"3", b"4444", max_bytes=4))

    assert predictor._model == ["1\n22", "3", "4444"]


def test_a_bad_line_fails_alone(model, capfd):
    one, bad, three = run(model(DOUBLING), *lines(b"1", b"two", b"3"))

    assert (one, three) == ((b"2", "text/csv"), (b"6", "text/csv"))
    assert bad.exception == "ValueError"
    assert "a request of 3 records failed (ValueError: invalid literal" in capfd.readouterr().err


def test_an_answer_that_cannot_be_shared_out_is_asked_for_line_by_line(model, capfd):
    code = DOUBLING.replace("return str([2 * number for number in numbers])", "return '{\"sum\": %d}' % sum(numbers)")
    predictor = model(code)

    for _ in range(2):
        assert run(predictor, *lines(b"1", b"2", accept=JSON)) == [(b'{"sum": 1}', JSON), (b'{"sum": 2}', JSON)]
    assert predictor._model == ["1\n2", "1", "2", "1", "2"]
    assert "neither a line nor an element for each" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "def transform_fn(m, b, c, a): pass\ndef input_fn(b, c): pass\ndef model_fn(d): pass",
            "has transform_fn and input_fn",
        ),
        ("def model_fn(): pass", "model_fn of inference.py takes 0 arguments; it gets 1, or 2 with the context"),
        (
            "def model_fn(d): raise OSError('no weights')\ndef transform_fn(m, b, c, a): pass",
            "its model_fn raised OSError: no weights",
        ),
        ("model_fn = 3", "model_fn of inference.py is a int, not a function"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        (
            "import nobody_has_this",
            "nobody_has_this is not installed here. Install it beside stream-infer, or put it into code/",
        ),
    ],
)
def test_a_model_that_cannot_be_served_says_why(model, code, message):
    with pytest.raises(PredictorUnavailable, match=message):
        model(code)


def test_requirements_are_not_installed_and_it_says_which_are_missing(model, capfd):
    wanted = "pytest>=1  # is here\nnobody-has-this==1.0\n\n# a comment\n-r other.txt\n"
    with pytest.raises(
        PredictorUnavailable,
        match=r"does not install a model's requirements: run `.*pip install -r .*requirements\.txt`",
    ):
        model("import nobody_has_this", requirements_txt=wanted)
    assert "these are missing here: nobody-has-this==1.0\n" in capfd.readouterr().err


def test_an_entry_point_that_was_named_has_to_be_there(model):
    with pytest.raises(PredictorUnavailable, match=r"the entry point serve\.py is not there: looked for"):
        model(SHOUTING, options={"program": "serve.py"})


def test_a_transform_type_is_read_as_it_was_written():
    said = TransformType("text/csv; charset=latin-1", 'text/x;q="1", */*', joins_lines=True, max_bytes=6)

    assert read_transform_type(str(said)) == said
    assert read_transform_type("image/png") == TransformType("image/png")
    assert str(TransformType("image/png")) == "image/png"
    assert (
        read_transform_type("a/b;charset=x; batch=many; max-bytes=-1").content_type
        == "a/b; charset=x; batch=many; max-bytes=-1"
    )
