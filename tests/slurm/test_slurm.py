"""The reduced demonstration through ``--profile slurm`` on a real Slurm, and what may go wrong in a night."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
import yaml
from cluster import GPUS
from small_run import small
from workspace import ROOT

from dnd.io import schemas, tables

GPU_RULES = {"activations", "exemplars", "captions", "concepts", "images", "scores"}
CPU_RULES = {
    "shapeworld_images",
    "listing",
    "probe",
    "rejected",
    "topk",
    "descriptions",
    "evaluation",
    "report",
    "report_layer",
    "provenance",
}
RULE = re.compile(rf"rule_({'|'.join(sorted(GPU_RULES | CPU_RULES))})(?:_wildcards|$)")
PATIENCE = 600


class Run:
    """A workspace whose jobs run on a cluster."""

    def __init__(self, folder, cluster):
        self.cluster = cluster
        self.workspace = small(folder)
        self.workspace.environment = cluster.environment
        self.profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
        self.profile |= {"slurm-init-seconds-before-status-checks": 2, "latency-wait": 10}
        self.process = None
        self.logs = 0

    def start(self, *arguments):
        """Start Snakemake in the background, as a process group of its own."""
        self.logs += 1
        folder = self.workspace.folder
        (folder / "profile").mkdir(exist_ok=True)
        (folder / "profile/config.yaml").write_text(yaml.safe_dump(self.profile))
        with (folder / f"head{self.logs}.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.workspace.command("--profile", str(folder / "profile"), *arguments),
                cwd=folder,
                env=self.workspace.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self):
        """What the last Snakemake has said so far."""
        return (self.workspace.folder / f"head{self.logs}.log").read_text()

    def until(self, question):
        """Return the first answer that is not empty; fail when the run ends before."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := question()):
            assert self.process.poll() is None, self.output[-6000:]
            assert time.monotonic() < deadline, self.output[-6000:]
            time.sleep(0.1)
        return answer

    def running(self, rule):
        """A job of a rule that is running: its number and node."""

        def found():
            for line in self.cluster.run("squeue", "-h", "-t", "R", "-o", "%i|%k|%N").splitlines():
                number, comment, node = line.split("|")
                if (match := RULE.match(comment)) and match[1] == rule:
                    return number, node
            return None

        return self.until(found)

    def worker(self, word):
        """The youngest process of a job whose command line holds a word, such as a script's name."""

        def found():
            for process in reversed(list(psutil.process_iter(["cmdline", "cwd"]))):
                line = process.info["cmdline"] or []
                if process.info["cwd"] == str(self.workspace.folder) and any(part.endswith(word) for part in line):
                    return process
            return None

        return self.until(found)

    def log(self, rule):
        """What the jobs of a rule have said so far."""
        return "".join(path.read_text() for path in self.workspace.results.glob(f"logs/{rule}/**/*.log"))

    def hurry(self, number):
        """Spare a job the two minutes that Slurm lets it wait after putting it back into the queue."""
        self.until(lambda: "PENDING" in self.cluster.run("squeue", "-h", "-j", number, "-o", "%T"))
        self.cluster.run("scontrol", "update", f"JobId={number}", "StartTime=now")

    def finish(self, succeeds=True):
        assert (self.process.wait(PATIENCE) == 0) is succeeds, self.output[-6000:]
        return self.output

    def end(self):
        """Kill Snakemake, which gets no chance to cancel its jobs."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def accounts(self):
        """Every start of a job that Slurm saw: rule, job, state, partition and what it was given."""
        fields = "--format=Comment,JobIDRaw,State,Partition,AllocTRES"
        lines = self.cluster.run("sacct", "--duplicates", "-X", "-P", "-n", fields).splitlines()
        rows = [line.split("|") for line in lines]
        numbers = {number: match[1] for comment, number, *_ in rows if (match := RULE.match(comment))}
        return [(numbers[number], number, *rest) for _, number, *rest in rows if number in numbers]


@pytest.fixture
def run_on(tmp_path, start):
    """A function that starts a cluster and returns a workspace for it; Snakemake ends with the test."""
    runs = []

    def made(accounting):
        runs.append(Run(tmp_path, start(accounting)))
        return runs[-1]

    yield made
    for run in runs:
        run.end()


def test_a_night_of_faults_changes_no_result(tmp_path, run_on, reference):
    """One run survives all that may happen to jobs, and to Snakemake itself."""
    run = run_on(accounting=True)
    cluster = run.cluster
    run.profile["set-resources"]["topk"]["mem_mb"] = "150 if attempt == 1 else 8000"
    run.profile["set-resources"]["rejected"] = {"runtime": "attempt"}
    run.start()

    run.worker("rejected.py").send_signal(signal.SIGSTOP)  # it hangs until Slurm ends it
    cancelled, _ = run.running("activations")
    cluster.run("scancel", cancelled)

    run.worker("exemplars.py").kill()

    preempted, node = run.running("captions")
    urgent = ["sbatch", "--partition=urgent", f"--nodelist={node}", f"--gpus={GPUS}", "--output=/dev/null"]
    cluster.run(*urgent, "--wrap=sleep 5")
    run.hurry(preempted)

    run.until(lambda: "for the language model's server" in run.log("concepts"))
    server = run.worker("vllm.entrypoints.openai.api_server")
    run.until(lambda: "server is ready after" in run.log("concepts"))
    server.kill()

    run.running("images")
    run.end()
    first = run.output
    left = {line.split("|")[0] for line in cluster.run("squeue", "-h", "-o", "%i|%k").splitlines() if "rule_" in line}
    assert left
    run.start()

    lost, node = run.running("scores")
    cluster.kill(node)
    run.hurry(lost)
    second = run.finish()

    assert run.workspace.descriptions() == reference.descriptions()
    evaluation = "evaluation.parquet"
    assert (run.workspace.results / evaluation).read_bytes() == (reference.results / evaluation).read_bytes()
    assert "Nothing to be done" in run.workspace.run("--dry-run")

    states = {}
    for rule, number, state, partition, given in run.accounts():
        gpus = re.findall(r"gres/gpu=(\d+)", given)
        assert (partition, gpus) == (("gpu", ["1"]) if rule in GPU_RULES else ("cpu", [])), (rule, number, state)
        states.setdefault(rule, []).append((number, state.split()[0]))
    assert states.keys() == GPU_RULES | CPU_RULES
    assert (cancelled, "CANCELLED") in states["activations"]
    assert (preempted, "PREEMPTED") in states["captions"]
    assert (preempted, "COMPLETED") in states["captions"]
    assert (lost, "NODE_FAIL") in states["scores"]
    assert (lost, "COMPLETED") in states["scores"]
    assert "FAILED" in dict(states["exemplars"]).values()
    assert "TIMEOUT" in dict(states["rejected"]).values()
    assert {"FAILED", "OUT_OF_MEMORY"} & set(dict(states["topk"]).values())
    logs = "".join(path.read_text() for path in (tmp_path / "logs/slurm/rule_topk").rglob("*.log"))
    assert "exceeded memory limit" in logs

    assert f"SLURM-job '{cancelled}' failed, SLURM status is: 'CANCELLED'" in first
    assert "status is: 'TIMEOUT'" in first
    assert first.count("Trying to restart job") == 4  # cancelled, out of time, out of memory, worker killed
    assert "Starting it again" in run.log("concepts")
    (named,) = re.findall(r"cancelled jobs that an earlier run left in Slurm's queue: (.*)", second)
    assert set(named.split(", ")) == left
    assert "Trying to restart job" not in second
    assert list((tmp_path / "logs/slurm").glob("efficiency_report_*.csv"))


def test_a_full_disk_and_a_read_only_store(tmp_path, run_on, reference):
    """A full disk ends the run with its reason, and the same command goes on when there is room. No accounting here."""
    run = run_on(accounting=False)
    run.profile["retries"] = 0
    for name, options in (("results", "size=2m"), ("store", "ro")):
        (tmp_path / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", tmp_path / name], check=True)
    try:
        run.workspace.values["store"] = str(tmp_path / "store")
        run.workspace.write()
        run.start("--until", "captions")
        assert "results/tiny: no space left on the disk" in run.finish(succeeds=False)
        subprocess.run(["mount", "-o", "remount,size=500m", tmp_path / "results"], check=True)
        run.start("--until", "captions")
        run.finish()
        (captions,) = run.workspace.results.glob("classes/fc/captions/*.parquet")
        expected = reference.results / captions.relative_to(run.workspace.results)
        assert tables.read(captions, schemas.CAPTIONS).equals(tables.read(expected, schemas.CAPTIONS))
        assert "Read-only file system" in next(run.workspace.results.glob("logs/captions/*.log")).read_text()
    finally:
        for name in ("results", "store"):
            subprocess.run(["umount", tmp_path / name], check=False)
