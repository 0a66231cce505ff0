"""A real Slurm for the tests here. ``make test-slurm`` installs it where it can."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "workflow")]
from cluster import Cluster, missing  # noqa: E402
from workspace import Workspace  # noqa: E402


@pytest.fixture
def start(request):
    """A function that starts a cluster, which ends with the test."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a Slurm of several nodes on one machine wants root")
    if lacking := missing():
        pytest.skip(f"{', '.join(lacking)} not installed: python tests/slurm/cluster.py install")

    def started(accounting):
        ports = 30_000 + 400 * (os.getpid() % 50)  # so that two such tests can run on one machine
        cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), ports)
        request.addfinalizer(cluster.down)
        cluster.up(accounting)
        return cluster

    return started


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """A finished run on this machine, without Slurm."""
    workspace = Workspace(tmp_path_factory.mktemp("reference"))
    workspace.run()
    return workspace
