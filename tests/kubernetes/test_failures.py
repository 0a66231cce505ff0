"""What happens to a run when pods, or requests to the API server, fail."""

import signal
import subprocess
import time

import pytest
from installation import ROOT
from miniature import Cluster

SNAKEFILE = """
rule one:
    output: "one.txt"
    resources: mem_mb=lambda wildcards, attempt: 1000 * attempt
    shell: "echo {resources.mem_mb} MB; [ {resources.mem_mb} -gt {config[needed]} ] && touch {output}"
"""


@pytest.fixture
def start(tmp_path, bucket, image):
    """Start a workflow of one job, which succeeds when it gets more memory than it needs."""
    folder = tmp_path / "workflow"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    processes = []

    def begin(cluster, needed=0, pause=1):
        command = [image.paths["/opt/vision"] / "bin/snakemake", "--executor", "kubernetes", "--jobs", "1"]
        command += [
            "--default-storage-provider",
            "s3",
            "--default-storage-prefix",
            f"s3://{bucket.name}/{tmp_path.name}",
        ]
        command += [
            "--container-image",
            "registry.example.org/dnd:0.1.0",
            "--seconds-between-status-checks",
            str(pause),
        ]
        command += ["--precommand", "pip() { :; }", "--retries", "1", "--config", f"needed={needed}"]
        command += ["--default-resources", "scale=0"]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig())}
        processes.append(
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment | bucket.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()


def test_a_pod_that_fails_gets_more_memory_and_its_log_is_kept(start, tmp_path, image):
    with Cluster(tmp_path, image) as cluster:
        output, _ = start(cluster, needed=1500).communicate(timeout=120)
    assert "1 of 1 steps (100%) done" in output
    limits = [pod.container["resources"]["limits"]["memory"] for pod in cluster.pods.values()]
    assert limits == ["1000M", "2000M"]
    (log,) = (tmp_path / "workflow/.snakemake/auxiliary/kubernetes-logs").iterdir()
    assert "1000 MB" in log.read_text()


def test_a_run_survives_errors_of_the_server(start, tmp_path, image):
    with Cluster(tmp_path, image) as cluster:
        cluster.broken = {("get", "jobs/status"): 1, ("list", "pods"): 1}
        output, _ = start(cluster).communicate(timeout=120)
    assert "Asking again in 5 s" in output
    assert "1 of 1 steps (100%) done" in output


def test_a_job_that_somebody_deletes_is_started_again(start, tmp_path, image):
    with Cluster(tmp_path, image) as cluster:
        cluster.room.acquire()
        cluster.room.acquire()  # no room: the pod waits
        process = start(cluster)
        while not cluster.pods:
            assert process.poll() is None
            time.sleep(0.1)
        (name,) = cluster.pods
        cluster.answer("DELETE", f"/apis/batch/v1/namespaces/default/jobs/{name}", "administrator", None)
        cluster.room.release()
        cluster.room.release()
        output, _ = process.communicate(timeout=120)
    assert "deleted manually" in output
    assert "1 of 1 steps (100%) done" in output


def test_an_ended_run_takes_its_pods_down(start, tmp_path, image):
    with Cluster(tmp_path, image) as cluster:
        cluster.room.acquire()
        cluster.room.acquire()
        process = start(cluster, pause=5)
        while ("get", "batch", "jobs/status") not in cluster.calls:
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # the executor forgets its jobs while it asks for their status
        process.send_signal(signal.SIGINT)  # what the image asks for; SIGTERM would wait for the jobs
        process.communicate(timeout=60)
        assert not [key for key in cluster.objects if key[0] in {"jobs", "secrets"}]
    assert "STOPSIGNAL SIGINT\n" in (ROOT / "envs/Dockerfile").read_text()
