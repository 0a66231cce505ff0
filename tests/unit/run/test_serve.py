"""One server for all jobs of a command."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from dnd.backends import llm
from dnd.backends.server import Endpoint
from dnd.config.backends import SERVERS, LlmSettings
from dnd.config.load import load
from dnd.run import serve


@pytest.fixture
def configuration(tmp_path):
    def write(**recipes):
        values = yaml.safe_load(Path("config/evaluation/config.yaml").read_text())
        values["recipes"] = {name: values["recipes"][name] for name in recipes.values()}
        sweep = ["name\tmodel\tlayers\tprobe\trecipe\tunits"]
        sweep += [f"{name}\ttest-1\tfc\tshapes\t{recipe}\t" for name, recipe in recipes.items()]
        (tmp_path / "sweep.tsv").write_text("\n".join(sweep) + "\n")
        values |= {"sweep": str(tmp_path / "sweep.tsv"), "run": "served"}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def test_only_models_that_the_sweep_asks_are_served(configuration):
    def asked(**recipes):
        config = load(yaml.safe_load(configuration(**recipes).read_text()))
        return [one.model for one, _ in serve.models(config)]

    assert asked(a="invert") == []
    assert asked(a="dnd", b="summary-only") == ["resources/shapeworld/summariser"]
    assert asked(a="line") == ["resources/shapeworld/proposer"]
    assert sorted(asked(a="line", b="dnd")) == ["resources/shapeworld/proposer", "resources/shapeworld/summariser"]


def test_the_command_is_told_the_servers_and_its_exit_code_is_ours(configuration, tmp_path, monkeypatch):
    started = []

    @contextmanager
    def endpoint(settings, log_path, arguments=()):
        started.append(settings.model)
        yield Endpoint("http://127.0.0.1:1/v1", "a-secret-key")
        started.append("ended")

    monkeypatch.setattr(llm, "endpoint", endpoint)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    out = tmp_path / "told"
    program = f"import os, sys; open({str(out)!r}, 'w').write(os.environ['{SERVERS}']); sys.exit(3)"
    assert serve.main([str(configuration(a="dnd")), "--", sys.executable, "-c", program]) == 3
    model = "resources/shapeworld/summariser"
    assert json.loads(out.read_text()) == {model: ["http://127.0.0.1:1/v1", "a-secret-key"]}
    assert started == [model, "ended"]
    assert SERVERS not in os.environ


def test_a_job_uses_the_server_that_it_is_told_of(monkeypatch, tmp_path):
    monkeypatch.setenv(SERVERS, json.dumps({"a/model": ["http://127.0.0.1:9/v1", "key"]}))
    with llm.endpoint(LlmSettings(model="a/model"), tmp_path / "log") as found:
        assert (found.base_url, found.key, found.is_external) == ("http://127.0.0.1:9/v1", "key", False)
        assert "key'" not in repr(found)


def test_a_configuration_that_is_not_there(tmp_path, capsys):
    assert serve.main([str(tmp_path / "none.yaml"), "--", "true"]) == 2
    assert "none.yaml" in capsys.readouterr().err
