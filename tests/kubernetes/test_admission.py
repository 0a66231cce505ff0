"""The rules of the API are known here: a manifest with one mistake is refused, and the mistake named."""

import copy

import pytest
from admission import check

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job", "labels": {"app": "snakemake"}},
    "spec": {
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "snakemake",
                        "image": "registry.example.org/dnd:0.1.0",
                        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
                        "resources": {
                            "requests": {"cpu": "1900m", "memory": "8000M", "nvidia.com/gpu": "1"},
                            "limits": {"cpu": "2000m", "memory": "8000M", "nvidia.com/gpu": "1"},
                        },
                    }
                ],
                "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}],
            }
        },
    },
}
POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
MISTAKES = {
    "Limit must be set": ((*CONTAINER, "resources", "limits"), {}),
    "must be equal to nvidia.com/gpu limit": ((*CONTAINER, "resources", "limits", "nvidia.com/gpu"), "2"),
    "must be less than or equal": ((*CONTAINER, "resources", "limits", "memory"), "7000M"),
    "must be a whole number": ((*CONTAINER, "resources", "requests", "nvidia.com/gpu"), "0.5"),
    "is not a quantity": ((*CONTAINER, "resources", "requests", "memory"), "8000 MB"),
    "is not a resource": ((*CONTAINER, "resources", "requests", "gpu"), "1"),
    "is not a name": (("metadata", "name"), "Job_1"),
    "is not a label's value": (("metadata", "labels", "app"), "a b"),
    "unknown field": ((*CONTAINER, "volumeMount"), []),
    "must be int": (("spec", "backoffLimit"), "0"),
    "must be a list": ((*CONTAINER, "args"), "true"),
    "Never or OnFailure": ((*POD, "restartPolicy"), "Always"),
    "there is no such volume": ((*POD, "volumes"), []),
    "exactly one source": ((*POD, "volumes", 0, "emptyDir"), {}),
    "not an absolute path": ((*CONTAINER, "volumeMounts", 0, "mountPath"), "cache"),
    "is not a DNS label": ((*CONTAINER, "name"), "Snake.make"),
    "image: is required": ((*CONTAINER, "image"), ""),
    "containers: is required": ((*POD, "containers"), None),
}


def test_a_proper_job_is_accepted():
    assert check(JOB) == []


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(message):
    job = copy.deepcopy(JOB)
    (*path, last), value = MISTAKES[message]
    place = job
    for key in path:
        place = place[key]
    place[last] = value
    assert any(message in error for error in check(job)), check(job)
