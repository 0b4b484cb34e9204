"""What may be in a packed model, and what makes it be refused as a whole."""

import io
import tarfile

import pytest

from connectors.models import unpacked
from stream_infer.errors import PredictorUnavailable

MIB = 1024 * 1024


def member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, io.BytesIO(data)


def link(name, target):
    return member(name, kind=tarfile.SYMTYPE, link=target)


def packed(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for info, data in members:
            tar.addfile(info, data)
    return path


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:xz"])
def test_a_model_is_unpacked_below_the_cache_once(tmp_path, mode):
    archive = packed(
        tmp_path / "model.tar.gz", member("./model.pt", b"weights"), member("code/inference.py", b"x = 1"), mode=mode
    )

    folder = unpacked(archive, tmp_path / "cache", MIB)

    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / "model.pt").read_bytes() == b"weights"
    assert files_below(folder) == {"model.pt", "code/inference.py"}
    assert unpacked(archive, tmp_path / "cache", MIB) == folder


def test_a_model_that_was_replaced_is_unpacked_anew(tmp_path):
    archive = packed(tmp_path / "model.tar.gz", member("model.pt", b"one"))
    before = unpacked(archive, tmp_path / "cache", MIB)
    packed(archive, member("model.pt", b"another"))

    after = unpacked(archive, tmp_path / "cache", MIB)

    assert (before / "model.pt").read_bytes() == b"one"
    assert (after / "model.pt").read_bytes() == b"another"


def test_links_within_the_archive_are_kept(tmp_path):
    members = (
        member("deep/model.pt", b"1"),
        link("code/model.pt", "../deep/model.pt"),
        member("hard", kind=tarfile.LNKTYPE, link="deep/model.pt"),
    )
    folder = unpacked(packed(tmp_path / "model.tar.gz", *members), tmp_path / "cache", MIB)

    assert (folder / "code/model.pt").read_bytes() == (folder / "hard").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("../evil", b"1")], r"'\.\./evil' lies outside"),
        ([member("code/../../evil", b"1")], "lies outside"),
        ([member("/etc/evil", b"1")], "lies outside"),
        ([link("a", "/etc")], "is a link to '/etc', outside"),
        ([link("a/b", "../../x")], "outside"),
        ([link("a", ".."), member("a/evil", b"1")], "outside"),
        ([link("a", "b"), member("a/evil", b"1")], "is to be written through a link"),
        ([link("a", "b"), member("a", b"1")], "is to be written through a link"),
        ([member("s/x", b"1"), link("s/t", ".."), link("u", "s/t/../../x")], "outside"),
        ([member("s/x", b"1"), link("s/t", ".."), link("u", "s/t/../x")], "outside"),
        ([member("a", kind=tarfile.LNKTYPE, link="/etc/passwd")], "no file of the archive before it"),
        ([member("a", kind=tarfile.LNKTYPE, link="../b")], "no file of the archive before it"),
        ([member("a", kind=tarfile.CHRTYPE)], "is neither a file nor a folder"),
        ([member("a", kind=tarfile.FIFOTYPE)], "is neither a file nor a folder"),
        ([member("a", b"1" * MIB), member("b", b"1")], "more than 1,048,576 bytes unpacked"),
    ],
)
def test_an_archive_that_reaches_outside_or_is_too_large_is_refused_as_a_whole(tmp_path, members, message):
    (tmp_path / "in").mkdir()
    archive = packed(tmp_path / "in" / "model.tar.gz", *members)

    with pytest.raises(PredictorUnavailable, match=message):
        unpacked(archive, tmp_path / "cache", MIB)

    assert files_below(tmp_path / "in") == {"model.tar.gz"}
    assert not [name for name in files_below(tmp_path / "cache") if not name.endswith("lock")]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: b"PK\3\4 no tar", lambda data: data[: len(data) // 2]]
)
def test_what_is_no_archive_says_so(tmp_path, damage):
    archive = packed(tmp_path / "model.tar.gz", member("model.pt", bytes(range(256)) * 999))
    archive.write_bytes(damage(archive.read_bytes()))

    with pytest.raises(PredictorUnavailable, match="is no tar archive that can be read"):
        unpacked(archive, tmp_path / "cache", MIB)


def test_an_archive_that_is_not_there_says_so(tmp_path):
    with pytest.raises(PredictorUnavailable, match="cannot be read: No such file"):
        unpacked(tmp_path / "model.tar.gz", tmp_path / "cache", MIB)


def test_a_sparse_member_counts_as_what_it_would_become(tmp_path):
    """512 bytes that are a file of a terabyte, as GNU tar packs one."""
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "code/model.pt"}
    info = tarfile.TarInfo("code/model.pt")
    info.pax_headers = {**sparse, "GNU.sparse.realsize": str(10**12)}
    data = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(data)
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(data))

    with pytest.raises(PredictorUnavailable, match="more than 1,048,576 bytes unpacked"):
        unpacked(archive, tmp_path / "cache", MIB)


def test_a_name_that_only_an_extended_header_says_is_judged_too(tmp_path):
    info = tarfile.TarInfo("harmless")
    info.pax_headers = {"path": "../../evil"}
    info.size = 1
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"1"))

    with pytest.raises(PredictorUnavailable, match="lies outside"):
        unpacked(archive, tmp_path / "cache", MIB)


def test_neither_rights_nor_owners_of_an_archive_are_kept(tmp_path):
    info = tarfile.TarInfo("code/run")
    info.mode, info.uid, info.gid, info.size = 0o6777, 0, 0, 1
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(info, io.BytesIO(b"1"))

    mode = (unpacked(archive, tmp_path / "cache", MIB) / "code/run").stat().st_mode
    assert mode & 0o6022 == 0, "neither setuid nor setgid, and nobody else writes it"
