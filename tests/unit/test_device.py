"""Batches of pictures, with the CPU as the device and decoders that stand in nvJPEG's place."""

import contextlib
import io

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from stream_infer.errors import UndecodableItem  # noqa: E402
from stream_infer.predictors import pictures  # noqa: E402
from stream_infer.predictors.device import Collator, Encoded, Frame, find_decoder  # noqa: E402
from stream_infer.predictors.torchvision import TorchvisionClassifier  # noqa: E402

FRAME = Frame(32, 28, (0.5,) * 3, (0.5,) * 3, "bilinear")
CPU = torch.device("cpu")


def picture(grey, kind="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (grey,) * 3).save(buffer, kind)
    return buffer.getvalue()


class Decoder:
    """Pillow, as if it were the device: refuses micro-batches with one of `refused`, and remembers their sizes."""

    def __init__(self, *refused, says="nvJPEG error: 8"):
        self.refused = refused
        self.says = says
        self.sizes = []

    def __call__(self, encoded):
        self.sizes.append(len(encoded))
        found = [data.numpy().tobytes() for data in encoded]
        if set(found) & set(self.refused):
            raise RuntimeError(f"Error while decoding JPEG images: {self.says}")
        return [torch.from_numpy(pictures.decode(data, 1000)).permute(2, 0, 1) for data in found]


def greys(batch):
    """Of the items that have one, in their order."""
    assert batch.pixels.shape == (len(batch.items), 3, FRAME.crop, FRAME.crop)
    assert batch.pixels.dtype == torch.uint8
    rows = dict(zip(batch.items, batch.pixels.float().mean((1, 2, 3)).round().int().tolist(), strict=True))
    return dict(sorted(rows.items()))


def collated(decoder, *data):
    collator = Collator(FRAME, CPU, decoder)
    return collator.collate([collator.read(each) for each in data])


def test_jpegs_wait_for_the_device_and_the_rest_is_decoded_at_once():
    collator = Collator(FRAME, CPU, Decoder())

    jpeg, png = collator.read(picture(10)), collator.read(picture(20, "PNG"))

    assert isinstance(jpeg, Encoded) and jpeg.data.numpy().tobytes() == picture(10)
    assert (png.shape, png.dtype) == ((28, 28, 3), torch.uint8)


def test_without_a_decoder_pillow_decodes_jpegs_too():
    read = Collator(FRAME, CPU, None).read(picture(10))

    assert (read.shape, read.dtype) == ((28, 28, 3), torch.uint8)


def test_what_is_no_picture_fails_when_it_is_read():
    with pytest.raises(UndecodableItem, match="no picture"):
        Collator(FRAME, CPU, Decoder()).read(b"not a picture")


@pytest.mark.parametrize("decoder", [None, Decoder()])
def test_a_batch_has_a_row_for_every_item(decoder):
    batch = collated(decoder, picture(10), picture(20, "PNG"), picture(30), picture(40, "PNG"))

    assert greys(batch) == {0: 10, 1: 20, 2: 30, 3: 40}
    assert not batch.faults


def test_all_jpegs_of_a_micro_batch_are_decoded_together():
    decoder = Decoder()

    collated(decoder, *[picture(n) for n in range(5)], picture(20, "PNG"))

    assert decoder.sizes == [5]


def test_what_the_device_refuses_is_pillows_and_the_others_are_still_the_devices():
    decoder = Decoder(picture(20))

    batch = collated(decoder, picture(10), picture(20), picture(30))

    assert greys(batch) == {0: 10, 1: 20, 2: 30}
    assert decoder.sizes == [3, 1, 1, 1]


def refuse(monkeypatch, *broken):
    decode = pictures.decode

    def decode_unless_broken(data, shorter):
        if data in broken:
            raise UndecodableItem("the picture is broken")
        return decode(data, shorter)

    monkeypatch.setattr(pictures, "decode", decode_unless_broken)


def test_what_pillow_refuses_too_is_that_items_fault_alone(monkeypatch):
    refuse(monkeypatch, picture(20))

    batch = collated(Decoder(picture(20)), picture(10), picture(20), picture(30))

    assert greys(batch) == {0: 10, 2: 30}
    assert {item: str(fault) for item, fault in batch.faults.items()} == {1: "the picture is broken"}


def test_a_batch_may_be_all_faults(monkeypatch):
    refuse(monkeypatch, picture(20))

    batch = collated(Decoder(picture(20)), picture(20))

    assert greys(batch) == {}
    assert list(batch.faults) == [0]


def test_a_device_that_is_full_is_nobodys_picture():
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        collated(Decoder(picture(20), says="CUDA out of memory. Tried to allocate 2 GiB"), picture(10), picture(20))


def test_the_fault_stands_in_its_items_place(monkeypatch):
    refuse(monkeypatch, picture(20))
    batch = collated(Decoder(picture(20)), picture(10), picture(20), picture(30, "PNG"))

    def network(pixels):
        """Class 1 for the bright ones."""
        bright = (pixels.float().mean((1, 2, 3)) > 25).float() * 10
        return torch.stack([5 * torch.ones_like(bright), bright], 1)

    classifier = TorchvisionClassifier(network, None, ["dark", "bright"], 5)

    dark, fault, bright = classifier.predict(batch)

    assert (dark["label"], bright["label"]) == ("dark", "bright")
    assert isinstance(fault, UndecodableItem)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(500, 333), (333, 500), (40, 40), (32, 900)])
def test_resize_and_crop_are_pillows_but_for_a_rounding(interpolation, size):
    transforms = pytest.importorskip("torchvision.transforms")
    frame = Frame(40, 32, FRAME.mean, FRAME.std, interpolation)
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")

    found = Collator(frame, CPU, None).read(buffer.getvalue())

    mode = transforms.InterpolationMode(interpolation)
    reference = transforms.Compose([transforms.Resize(40, mode), transforms.CenterCrop(32)])
    expected = np.array(reference(Image.fromarray(noise)))
    difference = np.abs(found.numpy().astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.1


@pytest.mark.parametrize("decoder", [Decoder(), Decoder(picture(20), says="CUDA out of memory")])
def test_a_batch_is_handed_over_once_its_stream_is_done(monkeypatch, decoder):
    class Stream:
        synchronized = 0

        def synchronize(self):
            self.synchronized += 1

    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    collator = Collator(FRAME, CPU, decoder)
    collator._stream = Stream()

    with contextlib.suppress(RuntimeError):
        collator.collate([collator.read(picture(20))])

    assert collator._stream.synchronized == 1


def test_a_cpu_has_no_decoder_of_its_own():
    assert find_decoder(CPU) is None


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine's decoder may work")
def test_where_the_devices_decoder_does_not_work_pillow_decodes(caplog):
    assert find_decoder(torch.device("cuda")) is None
    assert "JPEGs are decoded by Pillow, not on cuda" in caplog.text
