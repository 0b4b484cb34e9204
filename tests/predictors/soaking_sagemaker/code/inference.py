"""The model of `make soak`'s API of SageMaker's: the same deeds, by functions as SageMaker's users write them."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from soaking import Soaking

from stream_infer.errors import UndecodableItem


def model_fn(model_dir):
    return Soaking(json.loads(os.environ["SOAKING"]))


def input_fn(body, content_type):
    assert content_type == "application/json"
    try:
        return json.loads(body)
    except ValueError as error:  # without this it would be tried again, as whatever a function raises
        raise UndecodableItem(str(error)) from None


def predict_fn(item, model):
    [answer] = model.predict([item])
    if isinstance(answer, Exception):
        raise answer
    return answer


def output_fn(answer, accept):
    return None if answer is None else json.dumps(answer)
