"""Tiny models of every family of captioners: the right class is loaded, and a caption depends on its image alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
import tiny_captioners
import torch
import transformers
from PIL import Image
from tiny_models import one_thread  # noqa: F401

from dnd.backends.captioner import BATCH, TransformersCaptioner, after
from dnd.backends.hub import ModelError
from dnd.config.backends import CaptionSettings

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"
SIDES = {"height": 32, "width": 32}
CODE = """
from transformers import BlipConfig, BlipForConditionalGeneration

class OwnConfig(BlipConfig):
    model_type = "its-own"

class OwnModel(BlipForConditionalGeneration):
    config_class = OwnConfig
"""


def captioner(model, items=4, **settings):
    found = TransformersCaptioner(CaptionSettings(model=model, **{"max_new_tokens": 8, **settings}))
    found.size.items = min(items, found.size.items)
    return found


@pytest.mark.parametrize(
    ("family", "model", "prompt"),
    [
        ("blip", "BlipForConditionalGeneration", None),
        ("blip_2", "Blip2ForConditionalGeneration", None),
        ("git", "GitForCausalLM", None),
        ("vit_gpt2", "VisionEncoderDecoderModel", None),
        ("florence_2", "Florence2ForConditionalGeneration", "<CAPTION>"),
        ("llava", "LlavaForConditionalGeneration", "what is this"),
        ("idefics_3", "Idefics3ForConditionalGeneration", "what is this"),
    ],
)
def test_a_caption_depends_on_its_image_alone(folder, photos, family, model, prompt):
    one = captioner(folder(family), prompt=prompt)
    assert type(one.model).__name__ == model
    together = list(one.captions(photos))
    assert len(set(together)) >= 4
    assert [text for photo in photos[:3] for text in one.captions([photo])] == together[:3]
    assert list(one.captions(photos[::-1])) == together[::-1]


def test_a_model_whose_input_grows_with_the_image_takes_one_image_at_a_time(folder):
    sizes = {
        family: captioner(folder(family), BATCH, prompt="what is this").size.items for family in ("llava", "idefics_3")
    }
    assert sizes == {"llava": BATCH, "idefics_3": 1}


def with_processor(folder, processor):
    """A captioner's folder in which another image processor stands."""
    model = tiny_captioners.vit_gpt2(folder)
    processor.save_pretrained(model)
    return model


@pytest.mark.parametrize(
    "processor",
    [
        transformers.ViTImageProcessor(size=SIDES, do_normalize=False, image_mean=None, image_std=None),
        transformers.DonutImageProcessor(size=SIDES, do_align_long_axis=True),
        transformers.Owlv2ImageProcessor(size=SIDES),
        transformers.PerceiverImageProcessor(size=SIDES, crop_size=SIDES),
    ],
)
def test_captions_of_images_prepared_in_any_way(tmp_path, photos, processor):
    one = captioner(with_processor(tmp_path, processor))
    together = list(one.captions(photos))
    assert one.size.items == 4
    assert len(set(together)) >= 2
    assert [text for photo in photos[:3] for text in one.captions([photo])] == together[:3]


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (transformers.GLPNImageProcessor(), "Input image size .* doesn't match model"),
        (transformers.FuyuImageProcessor(), "not used by the model: \\['images'"),
        (transformers.SuperGlueImageProcessor(), "its processor cannot prepare a picture of 64 x 64 .* pair of PIL"),
        (transformers.ImageGPTImageProcessor(), "its processor cannot prepare a picture of 64 x 64 .*Clusters must be"),
        (transformers.ViTImageProcessor(image_mean=None), "its processor cannot prepare .* must both be specified"),
        (transformers.GlmImageImageProcessor(), "its processor cannot prepare a picture of 200 x 900 .*aspect ratio"),
    ],
)
def test_an_image_processor_that_does_not_suit_is_told_before_the_first_caption(tmp_path, processor, message):
    model = with_processor(tmp_path, processor)
    with pytest.raises(ModelError, match=rf"^captions: model {re.escape(model)}: .*{message}") as caught:
        captioner(model)
    assert "\n" not in str(caught.value)


def test_an_image_that_the_processor_refuses_is_told_with_its_size(folder, photos, monkeypatch):
    one = captioner(folder("vit_gpt2"))
    prepare = one.processor.prepare.preprocess

    def choosy(images, *args, **settings):
        if min(min(image.size) for image in images) < 12:
            raise ValueError("too\nsmall")
        return prepare(images, *args, **settings)

    monkeypatch.setattr(one.processor.prepare, "preprocess", choosy)
    assert len(list(one.captions(photos))) == len(photos)
    with pytest.raises(ModelError, match=r": its processor cannot prepare a picture of 40 x 11 pixels: too$"):
        list(one.captions([*photos, Image.new("RGB", (40, 11))]))


def test_tokens_that_repeat_the_prompt_are_cut_off():
    def cut(answer, prompt):
        return after(torch.tensor(answer), torch.tensor(prompt)).tolist()

    assert cut([2, 7, 8, 9, 3], [2, 7, 8]) == [9, 3]
    assert cut([2, 7, 8, 9, 3], [2, 7, 8, 3]) == [9, 3]  # BLIP drops the token that ends the prompt
    assert cut([3, 2, 9], [4, 4, 2]) == [3, 2, 9]  # an encoder has read the prompt
    assert cut([2, 7], [2, 7, 8]) == []
    assert cut([5, 6], torch.empty(0, dtype=torch.long).tolist()) == [5, 6]


@pytest.mark.parametrize(
    ("family", "prompt", "seen"),
    [("blip", "red stars on", "red stars on"), ("llava", "what is this", "what is this is")],
)
def test_a_caption_begins_after_the_prompt(folder, photos, family, prompt, seen):
    """`seen` is what the chat's template makes of the prompt."""
    one = captioner(folder(family), prompt=prompt)
    inputs = one._inputs(photos[:1])
    tokens = one.model.generate(**inputs, max_new_tokens=8, min_new_tokens=4, do_sample=False)
    whole = " ".join(one.processor.batch_decode(tokens, skip_special_tokens=True)[0].split())
    assert whole.startswith(seen)
    assert list(one.captions(photos[:1])) == [whole.removeprefix(seen).strip()]


def test_a_caption_is_one_line_without_what_the_model_thought(folder, photos):
    one = captioner(folder("llava"), prompt="what is this")
    said = ["<think>\nhm\n</think>\n\na star\non  grass "]
    one.processor = one.processor._replace(batch_decode=lambda *_, **__: said)
    assert list(one.captions(photos[:1])) == ["a star on grass"]


def test_the_prompt_matters(folder, photos):
    asked = [list(captioner(folder("blip"), prompt=prompt).captions(photos)) for prompt in (None, "red", "grass")]
    assert asked[0] != asked[1] != asked[2]


def test_captions_are_as_long_as_is_asked():
    image = [Image.new("RGB", (64, 64), "red")]

    def words(**settings):
        (caption,) = captioner(str(MODELS / "captioner"), 1, **settings).captions(image)
        return len(caption.split())  # one token for each word

    assert words(max_new_tokens=3, min_length=0) == 3
    assert words(max_new_tokens=20, min_length=12) >= 11  # and the token that ends it


def test_precision_is_the_settings(folder, photos):
    assert captioner(folder("blip"), dtype="auto").model.dtype == torch.float32  # on a CPU
    half = captioner(folder("blip"), dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert all(half.captions(photos[:2]))


@pytest.mark.parametrize(
    ("family", "prompt", "message"),
    [
        (
            "llava",
            None,
            "captions.prompt is empty, but {} must be asked, such as `Describe the image in one sentence.`",
        ),
        ("florence_2", "", "captions.prompt is empty, but {} must be asked, such as `<CAPTION>`"),
        (
            "vit_gpt2",
            "what is this",
            "captions.prompt must be empty, since {} (vision-encoder-decoder) cannot be asked anything",
        ),
        ("git", "what is this", "captions.prompt must be empty, since {} (git) cannot be asked anything"),
    ],
)
def test_a_prompt_that_does_not_suit_the_model_says_so(folder, family, prompt, message):
    model = folder(family)
    with pytest.raises(ModelError) as error:
        captioner(model, prompt=prompt)
    assert str(error.value) == message.format(model)


def test_a_model_that_writes_nothing_is_refused():
    model = str(MODELS / "embedder")
    with pytest.raises(ModelError) as error:
        captioner(model)
    assert str(error.value) == (
        f"captions: model {model} is CLIPModel, which writes no captions; "
        "expected an image-to-text model such as Salesforce/blip-image-captioning-large"
    )


@pytest.fixture
def with_code(folder, tmp_path, monkeypatch):
    """A model whose class is in its own folder."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    model = tmp_path / "own"
    shutil.copytree(folder("blip"), model)
    config = json.loads((model / "config.json").read_text())
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.OwnModel"}
    config |= {"model_type": "its-own", "architectures": ["OwnModel"], "auto_map": auto}
    (model / "config.json").write_text(json.dumps(config))
    (model / "own.py").write_text(CODE)
    return str(model)


def test_code_of_a_model_runs_where_the_settings_say_so_and_nowhere_else(folder, photos, with_code):
    with pytest.raises(ModelError) as error:
        captioner(with_code)
    assert str(error.value) == (
        f"captions: model {with_code}: it brings code of its own; when you trust that, set captions.trust_remote_code: "
        "true"
    )
    own = captioner(with_code, trust_remote_code=True)
    assert type(own.model).__name__ == "OwnModel"
    assert list(own.captions(photos)) == list(captioner(folder("blip")).captions(photos))
