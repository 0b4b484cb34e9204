"""From a spec to a predictor, and what is said when that fails."""

import re
from pathlib import Path

import pytest

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.loader import load
from stream_infer.predictors.spec import PredictorSpec

PREDICTORS = Path(__file__).parents[1] / "predictors"


def native(target, **config):
    return PredictorSpec("native", target, config, directory=str(PREDICTORS))


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    monkeypatch.syspath_prepend(str(PREDICTORS))


def test_a_class_in_a_file_is_constructed_with_its_config():
    predictor = load(native("behaving.py:Echo", depth=3))
    assert predictor.config == {"depth": 3}
    assert full_name(predictor).endswith("behaving.Echo")


def test_a_class_in_a_module_is_found_on_the_path():
    assert load(native("behaving:Echo")).predict([1]) == [1]


def test_a_file_can_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("ANSWER = 42\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_mine import ANSWER\n"
        "class Mine:\n"
        "    def __init__(self, config): self.answer = ANSWER\n"
        "    def predict(self, items): return items\n"
    )
    assert load(PredictorSpec("native", f"{tmp_path}/mine.py:Mine")).answer == 42


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("behaving.py", "names no class: write path/to/file.py:ClassName or package.module:ClassName"),
        ("behavin.py:Echo", r"there is no file .*behavin\.py; did you mean behaving\.py\?"),
        ("behaving.py:Ecko", r"behaving\.py has no 'Ecko'; did you mean Echo\?"),
        ("no_such_package.module:Echo", "there is no module 'no_such_package' on the path of"),
        ("unimportable.py:Never", "cannot be imported: install 'a_module_that_nobody_has', which it needs"),
        ("unimportable:Never", "cannot be imported: install 'a_module_that_nobody_has', which it needs"),
        ("unloadable.py:not_a_class", "is a int, not a class"),
        ("unloadable.py:WithoutPredict", r"has no method predict\(self, items\); did you mean predicts\?"),
        ("unloadable.py:WithoutConfig", r"write def __init__\(self, config\)"),
        ("unloadable.py:Raising", "its __init__ raised OSError: no such weights: model.bin"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_do(target, message):
    with pytest.raises(PredictorUnavailable, match=message):
        load(native(target))


def test_a_file_with_an_error_in_it_is_named_with_the_error(tmp_path):
    (tmp_path / "odd.py").write_text("def f(:\n")
    with pytest.raises(PredictorUnavailable, match=re.escape("odd.py:F cannot be imported: SyntaxError")):
        load(PredictorSpec("native", "odd.py:F", directory=str(tmp_path)))


def test_an_unknown_type_is_refused_with_the_known_ones():
    with pytest.raises(
        PredictorUnavailable, match="'tensorflow' is unknown: use native, torchvision, cortex, sagemaker or plugin"
    ):
        load(PredictorSpec("tensorflow", "x"))
