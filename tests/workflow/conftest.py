"""One real vLLM server is shared by all runs but one, through ``llm.base_url``."""

import pytest
from workspace import ROOT, Workspace

from dnd.backends.vllm import serve


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """The embedded summariser, served by vLLM."""
    with serve(
        str(ROOT / "resources/shapeworld/summariser"),
        python=str(ROOT / ".venv-vllm/bin/python"),
        log_path=tmp_path_factory.mktemp("server") / "server.log",
        startup_seconds=600,
    ) as server:
        yield server


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def reference(tmp_path_factory, endpoint):
    """A finished run."""
    workspace = Workspace(tmp_path_factory.mktemp("reference"), endpoint)
    workspace.run()
    return workspace
