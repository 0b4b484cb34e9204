"""A model.tar.gz in a real child process, from the archive on."""

import io
import tarfile
import time

import pytest

from stream_infer.cli.composition import with_local_model
from stream_infer.engine.configured import predictor_spec
from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.errors import PredictorUnavailable, Stage
from stream_infer.predictor_settings import SageMakerPredictor
from stream_infer.predictors.transform_type import TransformType
from stream_infer.records import Failure, Output, Payload
from stream_infer.settings import Settings

PATIENCE_S = 30.0
ADDING = b"""
import os
def model_fn(model_dir):
    print("loaded", open(os.path.join(model_dir, "model.txt")).read())
    return 0
def input_fn(body, content_type):
    if body == "exit":
        os._exit(3)
    return [[int(cell) for cell in line.split(",")] for line in body.splitlines()]
def predict_fn(rows, model):
    print(len(rows), "rows")
    return [sum(row) for row in rows]
def output_fn(sums, accept):
    return "".join(f"{one}\\n" for one in sums), accept
"""
TYPE = str(TransformType("text/csv", "text/csv", joins_lines=True, max_bytes=1024))


def archive(path, **files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def engine_of(tmp_path):
    """Makes an engine of an archive's files, and the lines that are printed; closes it."""
    made = []

    def make(**files):
        lines = []
        settings = Settings(state_dir=tmp_path / "state")
        model = SageMakerPredictor(model=str(archive(tmp_path / "model.tar.gz", **files)))
        spec = with_local_model(settings, predictor_spec(model))
        engine = Engine(spec, EnginePolicy(restart_delay_s=0.05, terminate_timeout_s=2.0), on_line=lines.append)
        made.append(engine)
        engine.start()
        return engine, lines

    yield make
    for engine in made:
        engine.close(1.0)


def ask(engine, *bodies):
    engine.submit_many([Task(token, Payload(body, TYPE)) for token, body in enumerate(bodies)])
    answers = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(answers) < len(bodies):
        for answer in engine.poll(1.0):
            answers |= dict(answer.each() if hasattr(answer, "each") else [answer])
        assert time.monotonic() < deadline, (answers, engine.readiness)
    return [answers[token] for token in range(len(bodies))]


def test_its_records_are_answered_together_and_what_it_prints_is_heard(engine_of):
    engine, lines = engine_of(**{"model.txt": b"weights", "code/inference.py": ADDING})
    engine.wait_ready(PATIENCE_S)

    assert ask(engine, b"1,2", b"3,4", b"5") == [
        Output(b"3", "text/csv"),
        Output(b"7", "text/csv"),
        Output(b"5", "text/csv"),
    ]
    engine.close(5.0)
    assert "loaded weights" in lines
    assert "3 rows" in lines


def test_a_bad_record_and_one_that_ends_the_process_fail_alone(engine_of):
    engine, _ = engine_of(**{"model.txt": b"weights", "code/inference.py": ADDING})
    engine.wait_ready(PATIENCE_S)

    one, bad, large, two = ask(engine, b"1,2", b"three", b"1," * 1000, b"4")

    assert (one, two) == (Output(b"3", "text/csv"), Output(b"4", "text/csv"))
    assert isinstance(bad, Failure)
    assert (bad.stage, bad.exception, bad.final) == (Stage.PREDICT, "ValueError", False)
    assert "raise MaxPayloadInMB" in large.message

    [dead] = ask(engine, b"exit")
    assert isinstance(dead, Failure)
    assert ask(engine, b"8") == [Output(b"8", "text/csv")]


def test_a_model_whose_requirements_are_missing_says_how_to_install_them(engine_of):
    code = {"code/inference.py": b"import nobody_has_this", "code/requirements.txt": b"nobody-has-this==1.0\n"}
    engine, lines = engine_of(**code)

    with pytest.raises(
        PredictorUnavailable, match=r"nobody_has_this is not installed here.*pip install -r .*requirements"
    ):
        engine.wait_ready(PATIENCE_S)
    engine.close(5.0)
    assert any("these are missing here: nobody-has-this==1.0" in line for line in lines)


def test_an_archive_that_leads_outside_is_refused_before_anything_runs(engine_of):
    with pytest.raises(PredictorUnavailable, match="lies outside of the archive's own folder"):
        engine_of(**{"../evil.py": b"1", "code/inference.py": ADDING})
