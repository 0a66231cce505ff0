"""What is written about a run holds no key, password or token, and is otherwise what it was."""

import json
from pathlib import Path

import pytest
import yaml

from dnd import config
from dnd.redaction import LEFT_OUT, known_secrets, without_secrets

VALUES = yaml.safe_load((Path(__file__).parents[2] / "config/config.yaml").read_text())


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--api-key", "s3cret", "--seed", "1"], ["--api-key", LEFT_OUT, "--seed", "1"]),
        (["--api-key=s3cret", "--seed=1"], [f"--api-key={LEFT_OUT}", "--seed=1"]),
        (["--api_key", "s3cret", "s3cret2"], ["--api_key", LEFT_OUT, LEFT_OUT]),
        (["--api-key s3cret"], [f"--api-key={LEFT_OUT}"]),
        (["--hf-token", "s3cret"], ["--hf-token", LEFT_OUT]),
        (["--max-num-seqs", "4", "--tokenizer", "x"], ["--max-num-seqs", "4", "--tokenizer", "x"]),
    ],
)
def test_values_of_secret_options(words, kept):
    assert without_secrets({"server_arguments": words}) == {"server_arguments": kept}


@pytest.mark.parametrize("key", ["token", "use_auth_token", "hf_token", "api_key", "API_KEY", "db_password", "secret"])
def test_values_of_secret_keys_at_any_depth(key):
    assert without_secrets({"arguments": {"deep": [{key: "s3cret"}]}}) == {"arguments": {"deep": [{key: LEFT_OUT}]}}


def test_what_is_no_secret_stays():
    plain = {
        "api_key_env": "OPENAI_API_KEY",
        "prefix_tokens": 5,
        "pad_token": "<pad>",
        "token": None,
        "base_url": "http://localhost:8000/v1?version=2",
        "model": "owner/sk-learn",
        "size": [2, 3],
    }
    assert without_secrets(plain) == plain


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://me:s3cret@host:8000/v1", f"https://{LEFT_OUT}@host:8000/v1"),
        ("https://host/v1?api-key=s3cret&version=2", f"https://host/v1?api-key={LEFT_OUT}&version=2"),
        ("hf_" + "aB3" * 10, LEFT_OUT),
        ("Bearer sk-proj-" + "aB3_" * 10, f"Bearer {LEFT_OUT}"),
    ],
)
def test_addresses_and_tokens(text, kept):
    assert without_secrets([text]) == [kept]


def test_keys_that_the_environment_holds_are_known(monkeypatch):
    values = json.loads(json.dumps(VALUES))
    values["llm"]["api_key_env"] = "MY_KEY"
    values["recipes"]["dnd"]["captions"]["api_key_env"] = "OTHER_KEY"
    settings = config.load(values)
    for name, value in {"MY_KEY": "plain-looking", "OTHER_KEY": "another one", "HF_TOKEN": "none"}.items():
        monkeypatch.setenv(name, value)
    assert known_secrets(settings) == ["plain-looking", "another one"]  # a word as short as the last may stand anywhere
    assert without_secrets({"prompt": "say plain-looking"}, known_secrets(settings)) == {"prompt": f"say {LEFT_OUT}"}
