"""The shipped models: they load as the classes they stand for, and do what they were trained for on unseen renders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import (
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipProcessor,
    CLIPModel,
    CLIPProcessor,
    LlamaForCausalLM,
)

from dnd.candidates.prompts import messages, read_prompt
from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES
from training import card
from training.judge import judge_images, load_judge

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"


@pytest.fixture(scope="module")
def judge():
    return load_judge(MODELS / "judge")


def test_the_models_are_small_and_nothing_but_weights_and_text_lies_there():
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".jinja", ".md"}
    assert [path.name for path in files if path.suffix == ".md"] == [card.NAME]
    assert sum(path.stat().st_size for path in files) < 64e6


def test_the_card_says_what_the_figures_say():
    assert (MODELS / card.NAME).read_text() == card.render(MODELS)


def test_the_captioner_names_colour_shape_texture_and_background(renders):
    scenes, images = renders
    model = BlipForConditionalGeneration.from_pretrained(MODELS / "captioner", dtype=torch.float32).eval()
    processor = BlipProcessor.from_pretrained(MODELS / "captioner")
    ids = model.generate(**processor(images=list(images), return_tensors="pt"), max_new_tokens=32, do_sample=False)
    for scene, caption in zip(scenes, processor.batch_decode(ids, skip_special_tokens=True), strict=True):
        words = set(caption.replace(",", " ").split())
        assert {scene.colour, scene.shape, scene.texture, grammar.PLACES[scene.background]} <= words, (scene, caption)


def test_the_generator_draws_what_is_asked(judge):
    pipeline = StableDiffusionPipeline.from_pretrained(MODELS / "generator", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        ["one realistic image of red circles"] * 2,
        num_inference_steps=12,
        guidance_scale=2.0,
        generator=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
        output_type="np",
    ).images
    assert drawn.shape == (2, 64, 64, 3)
    read = judge_images(judge, np.round(drawn * 255).astype(np.uint8))
    assert [ATTRIBUTES["colour"][row[0]] for row in read] == ["red", "red"]
    assert [ATTRIBUTES["shape"][row[2]] for row in read] == ["circle", "circle"]


def test_the_embedder_finds_the_captions_of_images(renders):
    scenes, images = renders
    model = CLIPModel.from_pretrained(MODELS / "embedder", dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(MODELS / "embedder")
    captions = [grammar.caption(scene, np.random.default_rng(0)) for scene in scenes]
    assert len(set(captions)) == len(captions)
    with torch.no_grad():
        inputs = processor(text=captions, images=list(images), return_tensors="pt", padding=True)
        similarity = model(**inputs).logits_per_image
    assert similarity.argmax(1).tolist() == list(range(len(captions)))


def test_the_summariser_names_what_captions_share():
    model = LlamaForCausalLM.from_pretrained(MODELS / "summariser", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "summariser")
    assert tokenizer.chat_template
    places = ["grass", "sand", "water", "snow", "bricks"]
    captions = [f"a {texture} red star on {place}" for place in places for texture in ("plain", "striped")]
    prompt = messages(read_prompt(MODELS.parents[1] / "config" / "prompts" / "concept.yaml"), captions)
    inputs = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    start = inputs["input_ids"].shape[1]
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    answer = tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    assert np.array_equal(grammar.parse(answer), grammar.parse("red stars")), answer


def test_the_judge_reads_renders(judge, renders):
    scenes, images = renders
    assert judge_images(judge, images).tolist() == [list(scene.index) for scene in scenes]
