"""What Snakemake has written about a run: its log, the jobs it marks as begun, and whether it still is at work."""

import pytest

from dnd.run.status import snakemake_log


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Command 'python a.py' died with <Signals.SIGKILL: 9>.", "as the system does when memory runs out"),
        ("Command 'python a.py' returned non-zero exit status 137.", "as the system does when memory runs out"),
        ("Command 'python a.py' died with <Signals.SIGBUS: 7>.", "a disk is full"),
        ("Command 'python a.py' returned non-zero exit status 1.", None),
    ],
)
def test_a_job_that_the_system_ended_has_a_reason(line, reason):
    found = snakemake_log.endings(f"RuleException:\n{line}\nCommand 'b' {line}\n")
    assert found == [] if reason is None else reason in found[0] and len(found) == 1
