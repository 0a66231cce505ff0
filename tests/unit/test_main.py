"""The command ``dnd``."""

import pytest

from dnd.__main__ import COMMANDS, main
from dnd.io.version import VERSION


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith(f"usage: dnd {command} ") and f"example: dnd {command}" in told


def test_the_command_lists_what_there_is(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(f"  {name}" in told and summary in told for name, (_, summary) in COMMANDS.items())


def test_the_command_tells_its_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"{VERSION}\n"


@pytest.mark.parametrize("arguments", [[], ["describe"]])
def test_an_unknown_command_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "COMMAND" in capsys.readouterr().err


def test_arguments_reach_the_command_and_its_status_comes_back(tmp_path, capsys):
    assert main(["figures", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/evaluation.parquet does not exist: run the workflow first\n"
