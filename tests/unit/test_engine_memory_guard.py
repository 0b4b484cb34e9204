"""What cgroup files say: a copy of their tree stands in for the kernel's."""

import pytest

from stream_infer.engine.memory import find_guard

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    return write


def v2(tree, path, limit, current, stat="inactive_file 0\nactive_file 0"):
    tree("sys/fs/cgroup/cgroup.controllers", "cpu memory")
    tree(f"sys/fs/cgroup/{path}/memory.max", limit)
    tree(f"sys/fs/cgroup/{path}/memory.current", current)
    tree(f"sys/fs/cgroup/{path}/memory.stat", f"anon 1\n{stat}")


def guard(root):
    return find_guard(0.9, 0.05, root)


def test_a_container_sees_its_own_group_at_the_top(tree, tmp_path):
    tree("proc/self/cgroup", "0::/")
    v2(tree, ".", 2048 * MIB, 1900 * MIB)
    assert guard(tmp_path).look() == "1.86 of 2.00 GiB"


def test_page_cache_is_no_use_of_memory(tree, tmp_path):
    tree("proc/self/cgroup", "0::/")
    v2(tree, ".", 2048 * MIB, 2000 * MIB, f"inactive_file {100 * MIB}\nactive_file {100 * MIB}")
    assert guard(tmp_path).look() == ""


def test_the_limit_of_a_group_above_counts_too(tree, tmp_path):
    tree("proc/self/cgroup", "0::/pod/container")
    v2(tree, "pod/container", "max", 950 * MIB)
    v2(tree, "pod", 1024 * MIB, 1000 * MIB)
    assert guard(tmp_path).look() == "0.98 of 1.00 GiB"


def test_version_1_names_its_controllers(tree, tmp_path):
    tree("proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/docker/abc\n0::/docker/abc")
    tree("sys/fs/cgroup/memory/memory.limit_in_bytes", 1024 * MIB)  # the host's path is not to be seen from inside
    tree("sys/fs/cgroup/memory/memory.usage_in_bytes", 1000 * MIB)
    tree("sys/fs/cgroup/memory/memory.stat", f"inactive_file 0\ntotal_inactive_file {20 * MIB}\ntotal_active_file 0")
    assert guard(tmp_path).look() == "0.96 of 1.00 GiB"


@pytest.mark.parametrize("limit", ["max", 9223372036854771712])
def test_where_nothing_is_limited_there_is_nothing_to_guard(tree, tmp_path, limit):
    tree("proc/self/cgroup", "0::/")
    v2(tree, ".", limit, 2000 * MIB)
    assert guard(tmp_path) is None


def test_without_cgroups_there_is_nothing_to_guard(tmp_path):
    assert guard(tmp_path) is None


def test_a_group_that_is_gone_is_not_full(tree, tmp_path):
    tree("proc/self/cgroup", "0::/")
    v2(tree, ".", 2048 * MIB, 1900 * MIB)
    watching = guard(tmp_path)
    assert watching.look()
    (tmp_path / "sys/fs/cgroup/memory.current").unlink()
    assert watching.look() == ""


def test_it_is_looked_up_no_more_often_than_asked_for(tree, tmp_path):
    tree("proc/self/cgroup", "0::/")
    v2(tree, ".", 1024 * MIB, 0)
    watching = guard(tmp_path)
    assert watching.check(10.0) == ""
    v2(tree, ".", 1024 * MIB, 800 * MIB)
    assert watching.check(10.04) == ""
    assert watching.next_check() == 10.05
    assert watching.check(10.05) == ""
    assert watching.next_check() == pytest.approx(10.06)  # it comes near
    v2(tree, ".", 1024 * MIB, 1000 * MIB)
    assert watching.check(10.06) == "0.98 of 1.00 GiB"
