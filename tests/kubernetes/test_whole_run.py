"""The reduced demonstration on the cluster in miniature: every rule's pod, and the results."""

from collections import Counter

import pytest
from installation import THREADS, profile

GPU = {"activations", "exemplars", "captions", "concepts", "images", "scores", "scales", "explains"}
ON_THE_HEAD = {"all", "total", "inventory", "prefetch"}


def test_the_run_succeeds(run):
    failed = [pod for pod in run.pods if pod.exit_code]
    assert not failed, failed[0].log.read_text()[-5000:]
    assert run.head.exit_code == 0, run.head.log.read_text()[-5000:]
    assert run.cluster.refused == []


@pytest.mark.parametrize(
    "name", ["classes/fc/descriptions.parquet", "classes/fc/descriptions.csv", "evaluation.parquet"]
)
def test_results_are_those_of_a_run_without_a_cluster(run, name):
    assert run.bucket.read(f"dnd/results/tiny/{name}") == (run.local / "results/tiny" / name).read_bytes()


def test_finished_items_are_kept_on_the_volume(run):
    assert {path.name for path in (run.cluster.folder / "claims/dnd-cache/store").iterdir()} == {
        path.name for path in (run.local / "results/store").iterdir()
    }


def test_no_pod_needs_a_package_index(run):
    logs = [pod.log.read_text() for pod in run.pods]
    assert not any("no package index can be reached" in log for log in logs)


def test_every_job_ran_in_a_pod(run):
    stats = (run.local / "log").read_text().split("Job stats:\n")[1].split("\n\n")[0]
    counts = {line.split()[0]: int(line.split()[1]) for line in stats.splitlines()[2:]}
    expected = {rule: count for rule, count in counts.items() if rule not in ON_THE_HEAD}
    assert Counter(pod.rule for pod in run.pods) == expected


def test_gpu_rules_get_one_gpu_and_others_none(run):
    for pod in run.pods:
        limits, requests = pod.container["resources"]["limits"], pod.container["resources"]["requests"]
        wanted = "1" if pod.rule in GPU else None
        assert limits.get("nvidia.com/gpu") == requests.get("nvidia.com/gpu") == wanted, pod.rule


def test_pods_are_as_the_profile_says(run):
    values = profile()
    claim, path = values["kubernetes-persistent-volumes"][0].split(":")
    for pod in run.pods:
        spec = pod.manifest["spec"]["template"]["spec"]
        assert pod.container["image"] == values["container-image"]
        assert {"name": claim, "mountPath": path} in pod.container["volumeMounts"]
        assert {"name": claim, "persistentVolumeClaim": {"claimName": claim}} in spec["volumes"]
        assert ("jobs", values["kubernetes-namespace"], pod.manifest["metadata"]["name"]) not in run.cluster.objects


def test_memory_and_threads_reach_the_pods(run):
    sizes = {pod.rule: pod.container["resources"]["limits"] for pod in run.pods}
    assert sizes["captions"]["memory"] == "32000M"
    assert sizes["rejected"]["memory"] == "8000M"
    assert sizes["captions"]["cpu"] == f"{THREADS}000m"


def test_a_new_head_finds_nothing_to_do(run):
    before = len(run.cluster.pods)
    head = run.again()
    assert head.exit_code == 0
    assert "Nothing to be done" in head.log.read_text()
    assert len(run.cluster.pods) == before
