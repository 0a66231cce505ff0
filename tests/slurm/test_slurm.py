"""The reduced demonstration through ``--profile slurm`` on a real Slurm, and what may go wrong in a night."""

import re
import signal
import subprocess
import time

import psutil
import yaml
from cluster import GPUS
from workspace import ROOT, Workspace

GPU_RULES = {"activations", "exemplars", "captions", "concepts", "images", "scores"}
PATIENCE = 600


class Run:
    """A workspace whose jobs run on a cluster."""

    def __init__(self, folder, cluster):
        self.cluster = cluster
        self.workspace = Workspace(folder)
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
                if comment.startswith(f"rule_{rule}_"):
                    return number, node
            return None

        return self.until(found)

    def worker(self, word):
        """A process of a job whose command line holds a word, such as a script's name."""

        def found():
            for process in psutil.process_iter(["cmdline", "cwd"]):
                line = process.info["cmdline"] or []
                if process.info["cwd"] == str(self.workspace.folder) and any(part.endswith(word) for part in line):
                    return process
            return None

        return self.until(found)

    def finish(self, succeeds=True):
        assert (self.process.wait(PATIENCE) == 0) is succeeds, self.output[-6000:]
        return self.output

    def accounts(self):
        """Every job that Slurm saw: rule, state, partition and what it was given."""
        fields = "--format=Comment,State,Partition,AllocTRES"
        lines = self.cluster.run("sacct", "-X", "-P", "-n", fields).splitlines()
        rows = [line.split("|") for line in lines if line.startswith("rule_")]
        names = sorted(
            GPU_RULES | {"shapeworld_images", "probe", "rejected", "topk", "descriptions", "evaluation", "report"}
        )
        rule = re.compile(rf"rule_({'|'.join(names)})(?:_wildcards|$)")
        return [(rule.match(comment)[1], state, *rest) for comment, state, *rest in rows]


def stored(run, store):
    return list((run.workspace.folder / "results/store" / store).glob("*/[0-9a-f]*"))


def test_a_night_of_faults_changes_no_result(tmp_path, start, reference):
    """Cancelled, killed, pre-empted, out of memory, a node lost, the head killed: one run survives them all."""
    cluster = start(accounting=True)
    run = Run(tmp_path, cluster)
    run.profile["set-resources"]["topk"]["mem_mb"] = "150 if attempt == 1 else 8000"
    run.start()

    cancelled, _ = run.running("activations")
    cluster.run("scancel", cancelled)

    run.worker("exemplars.py").kill()

    preempted, node = run.running("captions")
    urgent = ["sbatch", "--partition=urgent", f"--nodelist={node}", f"--gpus={GPUS}", "--output=/dev/null"]
    cluster.run(*urgent, "--wrap=sleep 5")

    run.running("concepts")
    run.until(lambda: stored(run, "answers"))
    run.worker("vllm.entrypoints.openai.api_server").kill()

    run.running("images")
    first = run.output
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    left = [line.split("|")[0] for line in cluster.run("squeue", "-h", "-o", "%i|%k").splitlines() if "rule_" in line]
    assert left
    run.start()

    lost, node = run.running("scores")
    cluster.kill(node)
    second = run.finish()

    assert run.workspace.descriptions() == reference.descriptions()
    assert "Nothing to be done" in run.workspace.run("--dry-run")

    for rule, _, partition, given in run.accounts():
        gpus = re.findall(r"gres/gpu=(\d+)", given)
        assert (partition, gpus) == (("gpu", ["1"]) if rule in GPU_RULES else ("cpu", [])), rule

    states = {}
    for rule, state, _, _ in run.accounts():
        states.setdefault(rule, set()).add(state.split()[0])
    assert "CANCELLED" in states["activations"]
    assert "FAILED" in states["exemplars"]
    assert "PREEMPTED" in states["captions"]
    assert {"FAILED", "OUT_OF_MEMORY"} & states["topk"]
    assert "NODE_FAIL" in states["scores"]
    logs = "".join(path.read_text() for path in (tmp_path / "logs/slurm/rule_topk").rglob("*.log"))
    assert "exceeded memory limit" in logs
    assert f"'{cancelled}'" in first
    assert f"'{preempted}'" in first
    assert "status is: 'CANCELLED'" in first
    assert first.count("Trying to restart job") >= 4
    assert f"cancelled jobs that an earlier run left in Slurm's queue: {', '.join(left)}" in second
    assert f"'{lost}'" in second
    assert "NODE_FAIL" in second


def test_a_full_disk_and_a_read_only_store(tmp_path, start, reference):
    """A full disk ends the run with its reason, and the same command goes on when there is room. No accounting here."""
    run = Run(tmp_path, start(accounting=False))
    run.profile["retries"] = 0
    for name, options in (("results", "size=2m"), ("store", "ro")):
        (tmp_path / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", tmp_path / name], check=True)
    try:
        run.workspace.values["store"] = str(tmp_path / "store")
        run.workspace.write()
        run.start()
        assert "results/tiny: no space left on the disk" in run.finish(succeeds=False)
        subprocess.run(["mount", "-o", "remount,size=500m", tmp_path / "results"], check=True)
        run.start()
        run.finish()
        assert run.workspace.descriptions() == reference.descriptions()
        assert "Read-only file system" in next(run.workspace.results.glob("logs/captions/*.log")).read_text()
    finally:
        for name in ("results", "store"):
            subprocess.run(["umount", tmp_path / name], check=False)
