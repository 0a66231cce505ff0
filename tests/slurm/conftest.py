"""A real Slurm for the tests here. ``make test-slurm`` installs it where it can."""

import os
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from cluster import Cluster, missing
from small_run import small


def free_ports():
    """The first of 400 ports that no other cluster on this machine uses; below those that outgoing connections take."""
    for first in range(20_000, 32_000, 400):
        with socket.socket() as controller, suppress(OSError):
            controller.bind(("127.0.0.1", first))
            return first
    raise RuntimeError("no free ports")


@pytest.fixture
def start(request):
    """A function that starts a cluster, which ends with the test."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a Slurm of several nodes on one machine wants root")
    if lacking := missing():
        pytest.skip(f"{', '.join(lacking)} not installed: python tests/slurm/cluster.py install")

    def started(accounting):
        cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), free_ports())
        request.addfinalizer(cluster.down)
        cluster.up(accounting)
        return cluster

    return started


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """A finished run on this machine, without Slurm."""
    workspace = small(tmp_path_factory.mktemp("reference"))
    workspace.run()
    return workspace
