"""What jobs say of themselves, read from their tables and summed up."""

from handmade import origin

from dnd.io import schemas, tables
from dnd.run import origins

COMMITS = [letter * 40 for letter in "abc"]


def told(**changes):
    return origins.Origin.model_validate(origin(**changes))


def test_an_origin_is_read_from_a_table(tmp_path):
    path = tmp_path / "captions.parquet"
    tables.write(path, schemas.CAPTIONS.empty_table(), schemas.CAPTIONS, origin=origin(seconds=2.5))
    assert origins.read(path) == told(seconds=2.5)
    tables.write(path, schemas.CAPTIONS.empty_table(), schemas.CAPTIONS)
    assert origins.read(path) is None


def test_a_server_on_a_gpu_counts_as_the_jobs_own():
    assert told(device="NVIDIA H100 80GB HBM3").used_gpu
    assert told(device="AMD EPYC", notes={"server": {"vllm": "1", "gpus": ["NVIDIA A100"]}}).used_gpu
    assert not told(device="AMD Ryzen 7 with Radeon Graphics", notes={"server": {"gpus": []}}).used_gpu


def test_jobs_of_a_stage_are_summed_up():
    found = origins.summary(
        [
            told(notes={"server": {"vllm": "0.32.0"}}),
            told(
                started="2026-03-01T09:00:00+00:00",
                seconds=12.5,
                device="NVIDIA A100",
                versions={"dnd": "0.1.0", "torch": "2.12.1"},
            ),
            told(
                finished="2026-03-02T00:00:00+00:00", models={"owner/captioner": COMMITS[1]}, notes={"server": "none"}
            ),
            None,
        ]
    )
    assert found.model_dump(exclude={"code"}) == {
        "jobs": 4,
        "recorded": 3,
        "started": "2026-03-01T09:00:00+00:00",
        "finished": "2026-03-02T00:00:00+00:00",
        "seconds": 72.5,
        "devices": {"NVIDIA H100 80GB HBM3": 2, "NVIDIA A100": 1},
        "platforms": {"Linux": 3},
        "versions": {"python": "3.11.7", "dnd": "0.1.0", "torch": "2.12.1, 2.13.0"},
        "models": {"owner/captioner": f"{COMMITS[0]}, {COMMITS[1]}"},
        "notes": {"server": ["none", {"vllm": "0.32.0"}]},
    }


def test_a_stage_that_says_nothing_has_no_times():
    found = origins.summary([None, None])
    assert (found.jobs, found.recorded, found.started, found.seconds) == (2, 0, None, 0)


def test_a_model_that_changed_meanwhile_is_logged_and_the_last_job_counts(caplog):
    last = told(finished="2026-03-01T10:00:31+00:00", models={"owner/captioner": COMMITS[1]})
    assert origins.newest_models([last, told()]) == {"owner/captioner": COMMITS[1]}
    assert f"owner/captioner changed during the run: {COMMITS[0]}, then {COMMITS[1]}" in caplog.text
