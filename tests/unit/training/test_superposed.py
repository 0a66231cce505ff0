"""The known answers of the dials' network are those of what its factory makes."""

from pathlib import Path

from dnd.config.load import config_file
from dnd.run.contents import load
from training import superposed

CONFIG = Path(__file__).parents[3] / "config" / "dials" / "config.yaml"


def test_the_file_of_the_dials_is_what_the_command_writes(tmp_path):
    network = load(config_file(CONFIG), CONFIG).models["superposed"]
    arguments = network.arguments
    wanted = [arguments["folder"], str(tmp_path / "a.json"), "--seed", str(arguments["seed"])]
    superposed.main([*wanted, "--units", str(arguments["units"])])
    assert (tmp_path / "a.json").read_text() == network.known_answers.read_text()
