"""What Pillow makes of a picture's bytes, and which JPEGs the device may decode."""

import io

import pytest

pytest.importorskip("PIL")

import numpy as np
from PIL import Image

from stream_infer.errors import UndecodableItem
from stream_infer.predictors import pictures

ORIENTATION = 0x0112


def encoded(picture, kind="JPEG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def slope(width=300, height=200, mode="RGB"):
    """Brighter to the right, so that it shows when it is turned."""
    row = np.linspace(0, 255, width).astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1))).convert(mode)


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(slope(), exif=exif)


def test_a_picture_lies_upright():
    pixels = pictures.decode(turned(6), 100)  # to be turned by 90 degrees clockwise

    assert pixels.shape == (300, 200, 3)
    assert pixels[0].mean() < 5 and pixels[-1].mean() > 250


def test_a_large_jpeg_is_decoded_at_a_fraction_that_leaves_twice_the_pixels_needed():
    assert pictures.decode(encoded(slope(3200, 1600)), 200).shape == (400, 800, 3)
    assert pictures.decode(encoded(slope(3200, 1600)), 201).shape == (800, 1600, 3)
    assert pictures.decode(encoded(slope(3200, 1600), "PNG"), 200).shape == (1600, 3200, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("size", "part"), [((301, 203), 1), ((603, 401), 2), ((1203, 801), 4), ((2411, 1607), 8)])
def test_a_plain_jpeg_has_the_pixels_that_pillow_gives_it(mode, size, part):
    noise = np.random.default_rng(1).integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise).resize(size).convert(mode))
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft(None, (size[0] // part, size[1] // part))
        expected = np.array(picture.convert("RGB"))

    pixels = pictures.decode(data, 100)

    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_a_jpeg_that_is_plain_but_for_its_middle_is_judged_by_pillow():
    data = bytearray(encoded(slope(640, 480)))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\xd9" * 20
    with Image.open(io.BytesIO(bytes(data))) as picture:
        assert pictures.is_plain_jpeg(bytes(data))
        expected = np.array(picture)

    assert (pictures.decode(bytes(data), 640) == expected).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(mode):
    if mode == "I;16":
        picture = Image.fromarray(np.full((300, 300), 32768, dtype=np.uint16))
    else:
        picture = Image.new("RGB", (300, 300), (128, 128, 128)).convert(mode)

    pixels = pictures.decode(encoded(picture, "TIFF"), 256)

    assert (pixels.shape, pixels.dtype) == ((300, 300, 3), np.uint8)
    if mode != "1":
        assert 120 <= pixels.mean() <= 136


def test_what_is_no_picture_is_told_so():
    with pytest.raises(UndecodableItem, match="its 0 bytes are none"):
        pictures.decode(b"", 256)
    with pytest.raises(UndecodableItem, match="its 13 bytes begin with b'not a pictur'"):
        pictures.decode(b"not a picture", 256)
    with pytest.raises(UndecodableItem, match="give it a content type"):
        pictures.decode({"url": "cat"}, 256)


def test_a_decompression_bomb_is_refused(monkeypatch):
    bomb = encoded(slope())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    assert not pictures.is_plain_jpeg(bomb)
    with pytest.raises(UndecodableItem, match=r"the picture is refused: .*decompression bomb"):
        pictures.decode(bomb, 256)


def several_in_one():
    return encoded(slope(), "MPO", save_all=True, append_images=[slope()])


@pytest.mark.parametrize(
    ("data", "is_plain"),
    [
        pytest.param(encoded(slope()), True, id="baseline"),
        pytest.param(encoded(slope(mode="L")), True, id="grey"),
        pytest.param(pictures.example(), True, id="example"),
        pytest.param(turned(1), True, id="upright, as its exif says"),
        pytest.param(turned(6), False, id="to be turned"),
        pytest.param(encoded(slope(), progressive=True), False, id="progressive"),
        pytest.param(encoded(slope(mode="CMYK")), False, id="CMYK"),
        pytest.param(encoded(slope(), keep_rgb=True), False, id="not YCbCr"),
        pytest.param(several_in_one(), False, id="several pictures in one"),
        pytest.param(encoded(slope())[:-100], False, id="truncated"),
        pytest.param(encoded(slope())[:10] + b"\xff\xd9", False, id="header broken"),
        pytest.param(b"\xff\xd9", False, id="no header"),
        pytest.param(encoded(slope(), "PNG"), False, id="PNG"),
        pytest.param({"url": "cat"}, False, id="no bytes"),
    ],
)
def test_a_jpeg_is_plain_where_any_decoder_makes_the_same_of_it(data, is_plain):
    assert pictures.is_plain_jpeg(data) is is_plain
