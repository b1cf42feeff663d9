import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.cpu import available_cpus, quota_cpus


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("max 100000", 8), ("1600000 100000", 8)],
)
def test_cgroup_v2_quota_rounds_down_and_stays_within_affinity(tmp_path: Path, quota: str, cpus: int) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota + "\n"})
    assert available_cpus(root=root, affinity=8) == cpus


def test_tightest_parent_quota_binds(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/c1\n",
            "sys/fs/cgroup/cpu.max": "800000 100000",
            "sys/fs/cgroup/kubepods/pod1/cpu.max": "300000 100000",
            "sys/fs/cgroup/kubepods/pod1/c1/cpu.max": "max 100000",
        },
    )
    assert quota_cpus(root=root) == 3.0


def test_host_path_in_a_container_falls_back_to_the_mount(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/../../kubepods/x\n", "sys/fs/cgroup/cpu.max": "400000 100000"})
    assert quota_cpus(root=root) == 4.0


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_cgroup_v1_quota(tmp_path: Path, mount: str) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n",
            f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us": "250000",
            f"sys/fs/cgroup/{mount}/cpu.cfs_period_us": "100000",
        },
    )
    assert quota_cpus(root=root) == 2.5
    assert available_cpus(root=root, affinity=16) == 2


def test_cgroup_v1_without_limit_says_minus_one(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert quota_cpus(root=root) is None


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert quota_cpus(root=tmp_path) is None
    assert available_cpus(root=tmp_path, affinity=3) == 3
    assert available_cpus(root=tmp_path) == len(os.sched_getaffinity(0))


def test_library_threads_are_set_before_they_load_but_the_operator_wins() -> None:
    code = (
        "from serving.cpu import limit_library_threads as limit; import os; limit(3);"
        "print(*(os.environ[n] for n in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'RAYON_NUM_THREADS')))"
    )
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "7"}
    env.pop("OMP_NUM_THREADS", None)
    env.pop("RAYON_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "7", "3"]
