"""A real Slurm of four nodes with pretended GPUs on one machine, for tests. Wants root; no systemd, cgroup or GPU.

    python tests/slurm/cluster.py ready              is all that is needed installed? the exit status says
    python tests/slurm/cluster.py install            once: packages of Debian or Ubuntu
    python tests/slurm/cluster.py up [--accounting]  prints what a shell needs: eval "$(... up)"
    python tests/slurm/cluster.py kill gpu1          as a crashed node: the daemon and what runs on it
    python tests/slurm/cluster.py start gpu1
    python tests/slurm/cluster.py down

Nodes cpu1 and cpu2 form the partition ``cpu``, gpu1 and gpu2 with two GPUs each the partition ``gpu``. They pretend to
be large, so that the profile's requests fit; nothing confines a job but the memory limit, which Slurm watches every two
seconds. Everything listens on the loopback interface and lives in one folder.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PACKAGES = ["slurmctld", "slurmd", "slurmdbd", "slurm-client", "munge", "mariadb-server"]
PROGRAMS = ["slurmctld", "slurmd", "slurmdbd", "sinfo", "munged", "mariadbd"]
NODES = ["cpu1", "cpu2", "gpu1", "gpu2"]
GPUS = 2
CPUS, MEMORY_MB = 16, 256_000
SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
DATABASE_USER = "slurm"


def missing() -> list[str]:
    """Return what is needed and not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]


def install() -> None:
    """Install the packages without letting them start the system's own daemons."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    finally:
        if ours:
            policy.unlink()


def _until(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.2)


class Cluster:
    """The daemons below one folder.

    Parameters
    ----------
    folder : configuration, state, logs and sockets; its path must be short, since sockets lie in it.
    port : the first of a block of 400 ports.
    """

    def __init__(self, folder: Path, port: int = 27800) -> None:
        self.folder = folder
        self.port = port
        self.conf = folder / "slurm.conf"
        self.log = folder / "log"

    @property
    def environment(self) -> dict[str, str]:
        """What a shell or process needs to talk to this cluster."""
        return os.environ | {"SLURM_CONF": str(self.conf), "PATH": f"{self.folder / 'bin'}:{SEARCH}"}

    def run(self, *command: str, check: bool = True) -> str:
        """Return the output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    # ---- configuration ----

    def _write(self, accounting: bool) -> None:
        for name in ("log", "ctld", "spool", "dev", "bin", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge/key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        for i in range(GPUS):  # Slurm insists on devices
            (self.folder / f"dev/gpu{i}").symlink_to("/dev/null")
        (self.folder / "gres.conf").write_text(
            f"NodeName=gpu[1-2] Name=gpu Type=fake File={self.folder}/dev/gpu[0-{GPUS - 1}]\n"
        )
        storage = ["AccountingStorageType=accounting_storage/none"]
        if accounting:
            storage = [
                "AccountingStorageType=accounting_storage/slurmdbd",
                "AccountingStorageHost=127.0.0.1",
                f"AccountingStoragePort={self.port + 1}",
                f"AccountingStoragePass={self.folder}/munge/socket",  # AuthInfo does not reach slurmdbd
                "AccountingStorageTRES=gres/gpu",
                "AccountingStoreFlags=job_comment",
            ]
        nodes = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={self.port + 10 + i} CPUs={CPUS} "
            f"RealMemory={MEMORY_MB} State=UNKNOWN" + (f" Gres=gpu:fake:{GPUS}" if name.startswith("gpu") else "")
            for i, name in enumerate(NODES)
        ]
        lines = [
            "ClusterName=local",
            "SlurmctldHost=localhost(127.0.0.1)",
            f"SlurmctldPort={self.port}",
            "SlurmUser=root",
            "SlurmdUser=root",
            f"AuthInfo=socket={self.folder}/munge/socket",
            "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",  # loopback only
            f"SrunPortRange={self.port + 100}-{self.port + 399}",
            f"StateSaveLocation={self.folder}/ctld",
            f"SlurmdSpoolDir={self.folder}/spool/%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid",
            f"SlurmdPidFile={self.folder}/slurmd-%n.pid",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "MpiDefault=none",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=task=2",
            "JobAcctGatherParams=OverMemoryKill",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "GresTypes=gpu",
            "SlurmdParameters=config_overrides",  # nodes may be larger than the machine
            "SlurmdTimeout=15",
            "KillWait=5",
            "MinJobAge=300",
            "ReturnToService=2",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "SchedulerParameters=batch_sched_delay=0,bf_interval=5,sched_min_interval=200000",
            *storage,
            *nodes,
            "PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=1-0 DefaultTime=10",
            "PartitionName=gpu Nodes=gpu[1-2] MaxTime=1-0 DefaultTime=10 PriorityTier=1",
            "PartitionName=urgent Nodes=gpu[1-2] MaxTime=1-0 DefaultTime=10 PriorityTier=2",
        ]
        self.conf.write_text("\n".join(lines) + "\n")
        database = [
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge/socket",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={self.port + 1}",
            "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
            "SlurmUser=root",
            f"PidFile={self.folder}/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={self.port + 2}",
            f"StorageUser={DATABASE_USER}",
            f"StoragePass={DATABASE_USER}",
            "StorageLoc=slurm_acct",
        ]
        (self.folder / "slurmdbd.conf").write_text("\n".join(database) + "\n")
        (self.folder / "slurmdbd.conf").chmod(0o600)
        # the executor takes SLURM_CONF out of a job's environment before it calls srun; a site's is in /etc/slurm
        srun = shutil.which("srun", path=SEARCH)
        (self.folder / "bin/srun").write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {srun} "$@"\n')
        (self.folder / "bin/srun").chmod(0o755)

    # ---- daemons ----

    def _start(self, name: str, *command: str) -> None:
        """Start a daemon whose host name is `localhost`, since Slurm binds to what the host's name resolves to."""
        with (self.log / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                ["unshare", "--uts", "sh", "-c", 'hostname localhost && exec "$@"', name, *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (self.folder / f"{name}.process").write_text(str(process.pid))

    def _process(self, name: str) -> psutil.Process | None:
        """The daemon, if it is ours and alive."""
        try:
            process = psutil.Process(int((self.folder / f"{name}.process").read_text()))
            alive = process.status() != psutil.STATUS_ZOMBIE
            return process if alive and process.environ().get("SLURM_CONF") == str(self.conf) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _answers(self, *command: str) -> Callable[[], bool]:
        return lambda: subprocess.run(command, env=self.environment, capture_output=True, timeout=60).returncode == 0

    def up(self, accounting: bool = True) -> None:
        """Start everything; returns when all nodes are idle."""
        self._write(accounting)
        munge = self.folder / "munge"
        self._start(
            "munged",
            *("munged", "--force", "--foreground", f"--socket={munge}/socket", f"--key-file={munge}/key"),
            *(f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
        )
        _until(self._answers("munge", "-n", "-S", f"{munge}/socket"), "munged")
        if accounting:
            self._start_accounting()
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.conf))
        _until(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld")
        for node in NODES:
            self.start(node)

    def _start_accounting(self) -> None:
        data, socket = self.folder / "database", self.folder / "database.socket"
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"),
                *("--auth-root-authentication-method=socket", "--auth-root-socket-user=root"),
            ],
            check=True,
            capture_output=True,
            env=self.environment,
        )
        self._start(
            "mariadbd",
            *("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}"),
            *("--bind-address=127.0.0.1", f"--port={self.port + 2}", "--skip-name-resolve"),
            *(f"--pid-file={self.folder}/mariadbd.pid", "--innodb-buffer-pool-size=64M"),
            *("--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=2"),
        )
        client = ["mariadb", "--no-defaults", "--user=root", f"--socket={socket}"]
        _until(self._answers(*client, "-e", "SELECT 1"), "mariadbd")
        user = f"{DATABASE_USER}@'127.0.0.1'"
        statements = f"CREATE DATABASE slurm_acct; CREATE USER {user} IDENTIFIED BY '{DATABASE_USER}';"
        self.run(*client, "-e", f"{statements} GRANT ALL ON slurm_acct.* TO {user};")
        self._start("slurmdbd", "slurmdbd", "-D")
        _until(self._answers("sacctmgr", "-n", "list", "cluster"), "slurmdbd")
        for what in (["cluster", "local"], ["account", "test", "cluster=local"], ["user", "root", "account=test"]):
            self.run("sacctmgr", "-iQ", "add", *what)

    def start(self, node: str) -> None:
        """Start a node's daemon; returns when the node takes jobs."""
        self._start(f"slurmd-{node}", "slurmd", "-D", "-N", node, "-f", str(self.conf))
        _until(lambda: self.state(node) in {"idle", "mix", "alloc"}, node)

    def state(self, node: str) -> str:
        """Return a node's state, such as ``idle`` or ``down``."""
        return self.run("sinfo", "-h", "-N", "-n", node, "-o", "%t", check=False).split("\n")[0].strip()

    def steps(self, node: str) -> list[psutil.Process]:
        """Return every process of a node's jobs, which outlive its daemon."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.name().startswith("slurmstepd"):
                    children = process.children(recursive=True)
                    if any(self._variables(child).get("SLURMD_NODENAME") == node for child in children):
                        found += [process, *children]
            except psutil.Error:
                continue
        return found

    def _variables(self, process: psutil.Process) -> dict[str, str]:
        """Return the environment of a process of this cluster's jobs; another cluster may have nodes of these names."""
        try:
            found = process.environ()
        except psutil.Error:
            return {}
        return found if found.get("SLURM_CONF") == str(self.conf) and "SLURM_JOB_ID" in found else {}

    def kill(self, node: str) -> None:
        """Let a node crash: its daemon and all that runs on it end at once."""
        steps = self.steps(node)
        daemon = self._process(f"slurmd-{node}")
        for process in [*([daemon] if daemon else []), *steps]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def down(self) -> None:
        """Cancel all jobs, end every process and remove the folder."""
        if self._process("slurmctld"):
            self.run("scancel", "-u", "root", "-Q", check=False)
            deadline = time.monotonic() + 10
            while self.run("squeue", "-h", check=False).strip() and time.monotonic() < deadline:
                time.sleep(0.2)
        for node in NODES:
            self.kill(node)
        for process in psutil.process_iter():  # nothing confines a job, so that something may have outlived it
            if self._variables(process):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            if process := self._process(name):
                process.send_signal(signal.SIGTERM)
                _, alive = psutil.wait_procs([process], timeout=15)
                for one in alive:
                    one.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["ready", "install", "up", "kill", "start", "down"])
    parser.add_argument("node", nargs="?", choices=NODES)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd, so that sacct knows the jobs")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/dnd-slurm"))
    arguments = parser.parse_args()
    cluster = Cluster(arguments.folder)
    match arguments.command:
        case "ready":
            sys.exit(bool(missing()))
        case "install":
            install()
        case "up":
            cluster.up(arguments.accounting)
            print(f"export SLURM_CONF={cluster.conf}\nexport PATH={cluster.folder}/bin:$PATH:/usr/sbin")
        case "kill" | "start":
            if arguments.node is None:
                sys.exit(f"{arguments.command}: which node? {', '.join(NODES)}")
            getattr(cluster, arguments.command)(arguments.node)
        case "down":
            cluster.down()


if __name__ == "__main__":
    main()
