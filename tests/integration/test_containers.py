"""deploy/: the Dockerfile and the compose file judged, and the image built for real where there is buildah."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.generated import ROOT
from tests.support.tools import run, tool

DEPLOY = ROOT / "deploy"
# No daemon, no overlay file system, no namespaces of its own: what a container without rights can do.
BUILDAH = ("buildah", "--storage-driver", "vfs")
BASE = "localhost/stream-infer-test-python"
BUILT = "localhost/stream-infer-test"
DEBIAN = "python3,python3-venv,python3-pip,ca-certificates"
# Where the builder looks for packages, as this machine does.
_SETTINGS = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "HTTPS_PROXY", "https_proxy", "PIP_CERT")
_FILES = ("/etc/pip.conf", "/etc/ssl/certs")


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    # `make setup` brings it along, from PyPI.
    done = run(tool("hadolint"), "--no-color", str(DEPLOY / "Dockerfile"))

    assert done.returncode == 0, done.stdout


def test_the_compose_file_is_one() -> None:
    done = run(tool("compose-spec"), "-format", "json", str(DEPLOY / "compose.yaml"), cwd=DEPLOY)

    assert done.returncode == 0, done.stdout
    assert len(json.loads(done.stdout)["services"]) >= 12


def test_every_file_that_the_compose_file_mounts_is_there() -> None:
    done = run(tool("compose-spec"), "-format", "json", str(DEPLOY / "compose.yaml"), cwd=DEPLOY)
    services = json.loads(done.stdout)["services"].values()
    mounts = [mount for service in services for mount in service.get("volumes", [])]
    mounted = [mount["source"] for mount in mounts if mount["type"] == "bind"]

    assert len(mounted) > 8
    assert [place for place in mounted if not Path(place).exists()] == []


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    """An image with Python: a plain Debian where a registry of images is out of reach. Made once, and kept."""
    if shutil.which("buildah") is None:
        pytest.skip("there is no buildah: apt install buildah debootstrap")
    if run(*BUILDAH, "inspect", "--type", "image", BASE).returncode != 0:
        if shutil.which("debootstrap") is None:
            pytest.skip("there is no debootstrap, which makes the base image: apt install debootstrap")
        root = tmp_path_factory.mktemp("debian") / "root"
        made = run("debootstrap", "--variant=minbase", f"--include={DEBIAN}", "bookworm", str(root))
        if made.returncode != 0:
            pytest.skip(f"debootstrap cannot make a base image here: {made.stdout[-500:]}")
        container = run(*BUILDAH, "from", "scratch").stdout.split()[-1]
        try:
            for step in (("add", container, str(root), "/"), ("commit", container, BASE)):
                done = run(*BUILDAH, *step)
                assert done.returncode == 0, done.stdout
        finally:
            run(*BUILDAH, "rm", container)
            shutil.rmtree(root, ignore_errors=True)
    return BASE


@pytest.fixture(scope="module")
def image(base: str) -> Iterator[str]:
    given = [part for name in _SETTINGS if name in os.environ for part in ("--env", f"{name}={os.environ[name]}")]
    given += [part for name in _FILES if Path(name).exists() for part in ("--volume", f"{name}:{name}:ro")]
    # Docker's own format, or the HEALTHCHECK is left out.
    done = run(
        *BUILDAH, "build", "--isolation", "chroot", "--format", "docker", "--build-arg", f"PYTHON_IMAGE={base}",
        "--build-arg", "UV_SYSTEM_CERTS=true", "--target", "control", "--tag", BUILT, *given,
        "--ignorefile", str(DEPLOY / "Dockerfile.dockerignore"), "--file", str(DEPLOY / "Dockerfile"), str(ROOT),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    yield BUILT
    run(*BUILDAH, "rmi", BUILT)


@pytest.mark.timeout(600)
def test_the_image_of_the_control_roles_is_built_and_runs_as_nobody(image: str) -> None:
    container = run(*BUILDAH, "from", image).stdout.split()[-1]
    try:
        config = json.loads(run(*BUILDAH, "inspect", "--type", "image", image).stdout)["Docker"]["config"]
        said = run(*BUILDAH, "run", "--isolation", "chroot", container, "--", "stream-infer", "--version")
        user = run(*BUILDAH, "run", "--isolation", "chroot", container, "--", "id", "-u")
        roles = run(*BUILDAH, "run", "--isolation", "chroot", container, "--", "stream-infer", "gateway", "--help")
        healthy = run(*BUILDAH, "run", "--isolation", "chroot", container, "--", *config["Healthcheck"]["Test"][1:])
    finally:
        run(*BUILDAH, "rm", container)

    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["stream-infer"]
    assert said.returncode == 0, said.stdout
    assert user.stdout.strip() == "10001"
    assert roles.returncode == 0, roles.stdout
    assert healthy.returncode == 1, "nobody serves there"
    assert "/healthz" in healthy.stdout
