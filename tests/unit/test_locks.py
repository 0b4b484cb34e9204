"""What is installed is what was looked at: every package of a lock has a version and its hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["base", "demo", "dev", "uv"]
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)(\[[\w,-]+\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def entries(lock: str) -> list[str]:
    """Each requirement with the lines that go on with it, without comments."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [entry for entry in plain.replace("\\\n", " ").splitlines() if entry.strip()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_its_hashes(lock: str) -> None:
    found = entries(lock)
    assert len(found) >= 1
    assert [entry[:60] for entry in found if not (_PIN.match(entry) and _HASH.search(entry))] == []


def test_installs_ask_for_the_hashes() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^\t(\$\(INSTALL\) .*)$", makefile, re.MULTILINE)
    assert installs
    for line in installs:
        assert "--require-hashes -r requirements/" in line or line.endswith("--no-deps -e ."), line
    assert "--require-hashes" in (ROOT / "requirements/make-venv.sh").read_text()
