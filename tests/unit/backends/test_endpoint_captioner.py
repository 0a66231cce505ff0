import base64
import io
import json

import numpy as np
import pytest
from endpoints import KEY, external
from handmade import png, write_probe
from PIL import Image

from dnd.backends import chat, endpoint_captioner
from dnd.backends.chat import Unanswered
from dnd.backends.endpoint_captioner import EndpointCaptioner
from dnd.backends.server import ServerError
from dnd.candidates import captions
from dnd.config.backends import CaptionSettings
from dnd.io import schemas, tables
from dnd.io.rows import Exemplar
from dnd.io.store import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with external(folder, f"log={folder / 'asked'}") as found:
        yield found, folder / "asked"


@pytest.fixture
def captioner(server, monkeypatch):
    """A function that makes a captioner of the server, and a function that returns what it has been asked."""
    endpoint, log = server
    log.unlink(missing_ok=True)
    monkeypatch.setenv(KEY, endpoint.key)

    def make(**values):
        settings = {"model": "m", "base_url": endpoint.base_url, "api_key_env": KEY, "concurrency": 3} | values
        made = EndpointCaptioner(CaptionSettings(**settings))
        made.client.retries = 0
        return made

    return make, lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def picture(shade, size=(8, 8)):
    return Image.new("RGB", size, (shade, shade, shade))


def shade(url):
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).getpixel((0, 0))[0]


def test_every_image_gets_the_caption_of_its_own_pixels(captioner):
    make, _ = captioner
    captions = list(make().captions([picture(20 * i) for i in range(10)]))
    assert [caption.split(" data:")[0] for caption in captions] == [endpoint_captioner.PROMPT] * 10
    assert [shade(caption.split()[-2]) for caption in captions] == [20 * i for i in range(10)]


def test_the_question_is_greedy_and_as_the_settings_say(captioner):
    make, asked = captioner
    list(make(prompt="What is it?", max_new_tokens=7).captions([picture(0, (2000, 1000))]))
    body = asked()[0]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0.0, 7, "m")
    assert body["seed"] == endpoint_captioner.SEED
    text, image = body["messages"][0]["content"]
    assert text["text"] == "What is it?"
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (512, 256)


def test_a_caption_is_one_line_without_thoughts(captioner):
    make, _ = captioner
    (caption,) = make(prompt="<think>let me\nsee</think> a  red\nstar").captions([picture(0)])
    assert caption.startswith("a red star data:image")


def test_no_images_are_no_question(captioner):
    make, asked = captioner
    assert list(make().captions([])) == []
    assert asked() == []


def test_an_image_that_fails_gets_no_caption_and_the_others_do(captioner, monkeypatch, caplog):
    make, _ = captioner
    spoil(monkeypatch, lambda image: shade(image) == 100)
    captions = list(make().captions([picture(0), picture(100), picture(200)]))
    assert captions[1] == ""
    assert [shade(caption.split()[-2]) for caption in (captions[0], captions[2])] == [0, 200]
    assert "1 of 3 requests failed" in caplog.text


def test_images_that_all_fail_are_their_own_fault_when_a_grey_one_does_not(captioner, monkeypatch, caplog):
    make, _ = captioner
    spoil(monkeypatch, lambda image: shade(image) == 100)
    assert list(make().captions([picture(100)])) == [""]
    assert "a plain question does not fail" in caplog.text


def test_a_server_that_fails_at_every_image_is_an_error(captioner, monkeypatch):
    make, _ = captioner
    spoil(monkeypatch, lambda image: True)
    with pytest.raises(ServerError, match=r"requests to captions.base_url http.* failed.*cannot"):
        list(make().captions([picture(0), picture(1)]))


def spoil(monkeypatch, which, how="fail"):
    """Make the server fail at some pictures."""
    plain = chat.Request.arguments

    def arguments(self, without=()):
        sent = plain(self, without)
        text, image = sent["messages"][0]["content"]
        if which(image["image_url"]["url"]):
            sent["messages"] = [{"role": "user", "content": [{**text, "text": how}, image]}]
        return sent

    monkeypatch.setattr(chat.Request, "arguments", arguments)


@pytest.mark.parametrize(
    ("end", "lives", "concurrency"), [("mortal", 5, 2), ("mortal", 9, 3), ("mortal", 10, 1), ("spent", 7, 2)]
)
def test_a_server_that_dies_midway_fails_and_is_shown_the_rest_when_it_is_back(
    tmp_path, monkeypatch, end, lives, concurrency
):
    """What it said is in the store, also of the images that it was asked about at once with those that fail."""
    files = {f"{i:02d}.png": png(np.full((8, 8, 3), 20 * i)) for i in range(12)}
    probe = write_probe(tmp_path / "probe.parquet", files)
    shown = [Exemplar(0, rank, name, None, 1.0, None, None) for rank, name in enumerate(files)]
    log, store = tmp_path / "asked", Store(tmp_path / "store")

    def run(store, *behaviours):
        with external(tmp_path, *behaviours) as endpoint:
            monkeypatch.setenv(KEY, endpoint.key)
            settings = CaptionSettings(
                model="m", base_url=endpoint.base_url, api_key_env=KEY, concurrency=concurrency, prompt="What?"
            )
            captioner = EndpointCaptioner(settings)
            captioner.client.retries = 0
            return captions.run(captioner, tables.table(shown, schemas.EXEMPLARS), [probe], settings, store)

    undisturbed = run(Store(tmp_path / "other"))
    with pytest.raises(Unanswered, match=r"captions\.base_url .* (failed|refuse everything)"):
        run(store, f"{end}={lives}")
    kept = sum(path.is_file() for path in store.folder.rglob("*"))
    assert max(0, lives - concurrency) < kept <= lives  # what was on its way when it died is lost
    assert run(store, f"log={log}") == undisturbed
    assert len(log.read_text().splitlines()) == 12 - kept


def test_what_is_refused_ends_no_job_that_goes_on_where_another_was(captioner, monkeypatch):
    make, _ = captioner
    spoil(monkeypatch, lambda image: shade(image) == 100, "flagged")
    assert list(make().captions([picture(100)])) == [""]


def test_errors_name_the_keys_of_captions(captioner, monkeypatch):
    make, _ = captioner
    for model, complaint in {
        "blind": "captions.model blind cannot be shown images",
        "unknown": "captions.model unknown is unknown to captions.base_url http",
        "forgetful": "captions.model forgetful has no chat template",
    }.items():
        with pytest.raises(ServerError, match=complaint):
            list(make(model=model).captions([picture(0)]))
    with pytest.raises(
        ServerError, match=r"captions.base_url http://127.0.0.1:9/v1 failed.*cannot be reached: \[Errno"
    ):
        list(make(base_url="http://127.0.0.1:9/v1").captions([picture(0)]))
    monkeypatch.setenv(KEY, "guess-of-a-key")
    with pytest.raises(ServerError, match=rf"refuses the key in the environment variable {KEY} \(captions.api_key_env"):
        list(make().captions([picture(0)]))
    monkeypatch.delenv(KEY)
    with pytest.raises(ServerError, match="is not set"):
        list(make().captions([picture(0)]))


def test_a_server_is_needed():
    with pytest.raises(ValueError, match=r"captions.base_url"):
        EndpointCaptioner(CaptionSettings(model="m"))
