"""A run that is small enough for a cluster on one machine."""

from workspace import Workspace


def small(folder):
    """One layer of the reduced demonstration; every stage has one job at least, and those of the probe two."""
    workspace = Workspace(folder)
    workspace.sweep = [row for row in workspace.sweep if row[0] != "planted"]
    workspace.write()
    return workspace
