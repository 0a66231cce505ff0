"""What is written about a run holds no key, password or token, and is otherwise what it was."""

import json
from pathlib import Path

import pytest
import yaml

from dnd.config import load
from dnd.config.load import known_secrets
from dnd.config.redaction import LEFT_OUT, secrets_of, without_secrets

VALUES = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())


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
        ("https://me:s3@cret@host/v1", f"https://{LEFT_OUT}@host/v1"),
        (
            "get https://s3cret@host, then 'http://a:b@[::1]:80'",
            f"get https://{LEFT_OUT}@host, then 'http://{LEFT_OUT}@[::1]:80'",
        ),
        ("https://host/v1?api-key=s3cret&version=2", f"https://host/v1?api-key={LEFT_OUT}&version=2"),
        ("https://host/v1?key=s3cret", f"https://host/v1?key={LEFT_OUT}"),
        ("'https://host/v1?a=1&Ocp-Subscription-Key=s3#x'", f"'https://host/v1?a=1&Ocp-Subscription-Key={LEFT_OUT}#x'"),
        ("https://host/v1?access_token=a%20b&sig=c", f"https://host/v1?access_token={LEFT_OUT}&sig={LEFT_OUT}"),
        ("https://host/v1?monkey=grey&keys=2", "https://host/v1?monkey=grey&keys=2"),
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
    settings = load.load(values)
    for name, value in {"MY_KEY": "plain-looking", "OTHER_KEY": "another one", "HF_TOKEN": "none"}.items():
        monkeypatch.setenv(name, value)
    assert known_secrets(settings) == ["plain-looking", "another one"]  # a word as short as the last may stand anywhere
    assert without_secrets({"prompt": "say plain-looking"}, known_secrets(settings)) == {"prompt": f"say {LEFT_OUT}"}


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        ("https://me:long-s3cret@host/v1", ["me:long-s3cret", "long-s3cret"]),
        ("https://a-single-token@host/v1", ["a-single-token"]),
        ("https://host/v1?key=per%25cent-key&version=20240101", ["per%25cent-key", "per%cent-key"]),
        ("https://host:8000/v1", []),
    ],
)
def test_secrets_of_an_address_are_known_wherever_they_stand(address, secrets):
    assert secrets_of(address) == secrets
    values = json.loads(json.dumps(VALUES))
    values["recipes"]["dnd"]["captions"]["base_url"] = address
    known = known_secrets(load.load(values))
    assert known == secrets
    for secret in secrets:
        assert without_secrets(f"no user {secret} here", known) == f"no user {LEFT_OUT} here"
