"""Models of real classes, tiny and with random weights, as folders like those of a hub."""

import json

import dnd.backends.torchvision_ops  # noqa: F401  before transformers

# isort: split
import diffusers
import pytest
import timm
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIDE = 32
WORDS = [f"word{i}" for i in range(40)] + ["red", "stars", "on", "grass", "what", "is", "this"]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
PAD, UNKNOWN, START, END, IMAGE = range(5)
SIZE = len(SPECIAL) + len(WORDS)
LAYER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = LAYER | {"image_size": SIDE, "patch_size": 8}
TEXT = LAYER | {
    "vocab_size": SIZE,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": START,
    "eos_token_id": END,
}
PIXELS = {"size": {"height": SIDE, "width": SIDE}}
WIDTH = 16


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In modules that import it: more threads than one only slow such models down, above all beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tokenizer(**special):
    """One token for every word, between <s> and </s>."""
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    base.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", **special
    )


def shaken(model, seed=0):
    """The model with weights so large that what it makes of two inputs differs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 2 / parameter.shape[-1] ** 0.5)
    return model.eval()


def save(folder, model, *others, seed=0):
    """Save a model beside its processors."""
    shaken(model, seed).save_pretrained(folder)
    for one in others:
        one.save_pretrained(folder)
    return str(folder)


def resnet_with(images):
    """Return what saves a convolutional network, which takes inputs of any size, beside an image processor."""

    def build(folder):
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        return save(folder, transformers.ResNetModel(config), images)

    return build


def of_timm(name):
    """Return what saves a network of timm as its hub has it: how images are prepared stands in ``config.json``."""

    def build(folder):
        model = shaken(timm.create_model(name))
        timm.models.save_for_hf(model, str(folder), safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config.pop("model_args", None)  # transformers gives some of them twice; most published files have none
        (folder / "config.json").write_text(json.dumps(config))
        return str(folder)

    return build


def vit_mae(folder):
    """With weights for pixels that a mask hides, at random in evaluation, too."""
    model = transformers.ViTMAEModel(transformers.ViTMAEConfig(**VISION))
    return save(folder, model, transformers.ViTImageProcessor(**PIXELS))


def i_jepa(folder):
    """Of tokens none of which stands for the image as a whole."""
    model = transformers.IJepaModel(transformers.IJepaConfig(**VISION))
    return save(folder, model, transformers.ViTImageProcessor(**PIXELS))


def flava(folder):
    """Whose projections of an image are those of all tokens."""
    parts = {"image_config": VISION, "text_config": LAYER | {"vocab_size": SIZE}, "multimodal_config": LAYER}
    config = transformers.FlavaConfig(**parts, hidden_size=WIDTH, projection_dim=WIDTH)
    images = transformers.FlavaImageProcessor(size=PIXELS["size"], crop_size=PIXELS["size"])
    return save(folder, transformers.FlavaModel(config), images)


def blip(folder):
    text = TEXT | {"sep_token_id": END, "encoder_hidden_size": WIDTH}
    config = transformers.BlipConfig(vision_config=VISION, text_config=text, projection_dim=WIDTH)
    images = transformers.BlipImageProcessor(**PIXELS)
    return save(
        folder, transformers.BlipForConditionalGeneration(config), transformers.BlipProcessor(images, tokenizer())
    )


def blip_2(folder):
    text = TEXT | {"ffn_dim": 32, "word_embed_proj_dim": WIDTH, "model_type": "opt"}
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config=LAYER | {"vocab_size": SIZE, "encoder_hidden_size": WIDTH},
        text_config=text,
        num_query_tokens=4,
        image_text_hidden_size=8,
        image_token_index=IMAGE,
    )
    images = transformers.BlipImageProcessor(**PIXELS)
    processor = transformers.Blip2Processor(images, tokenizer(), num_query_tokens=4)
    return save(folder, transformers.Blip2ForConditionalGeneration(config), processor)


def git(folder):
    config = transformers.GitConfig(vision_config=VISION, **TEXT)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"])
    return save(folder, transformers.GitForCausalLM(config), transformers.GitProcessor(images, tokenizer()))


def vit_gpt2(folder):
    """As published: an image processor and a tokenizer, which no processor holds together."""
    text = transformers.GPT2Config(
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        n_positions=64,
        vocab_size=SIZE,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=START,
        eos_token_id=END,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**VISION), text, decoder_start_token_id=START, pad_token_id=PAD, eos_token_id=END
    )
    model = transformers.VisionEncoderDecoderModel(config)
    return save(folder, model, transformers.ViTImageProcessor(**PIXELS), tokenizer())


def florence_2(folder):
    vision = {
        "embed_dim": [8, 8],
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "num_heads": [2, 2],
        "num_groups": [2, 2],
        "window_size": 4,
        "projection_dim": WIDTH,
    }
    text = TEXT | {
        "model_type": "bart",
        "d_model": WIDTH,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "decoder_start_token_id": END,
        "forced_eos_token_id": END,
    }
    config = transformers.Florence2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
        decoder_start_token_id=END,
    )
    images = transformers.CLIPImageProcessor(**PIXELS, do_center_crop=False)
    images.image_seq_length = 17  # 4 x 4 positions and their mean
    words = tokenizer(extra_special_tokens={"image_token": "<image>"})
    return save(
        folder, transformers.Florence2ForConditionalGeneration(config), transformers.Florence2Processor(images, words)
    )


CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %} is{% endif %}"
)


def llava(folder):
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
    )
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"]),
        tokenizer(extra_special_tokens={"image_token": "<image>"}),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return save(folder, transformers.LlavaForConditionalGeneration(config), processor)


def idefics_3(folder):
    """It cuts an image into as many parts as the image's shape asks for."""
    config = transformers.Idefics3Config(
        vision_config=VISION,
        text_config=TEXT | {"model_type": "llama", "vocab_size": SIZE + 8},
        image_token_id=IMAGE,
        scale_factor=2,
    )
    processor = transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessor(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
        tokenizer(),
        image_seq_len=4,
        chat_template=CHAT,
    )
    return save(folder, transformers.Idefics3ForConditionalGeneration(config), processor)


TOKENS = 16
CLIP_TEXT = TEXT | {"max_position_embeddings": TOKENS, "projection_dim": WIDTH}
BLOCKS = {"block_out_channels": (8, 8), "norm_num_groups": 4}
UNET = BLOCKS | {
    "layers_per_block": 1,
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}


def autoencoder(**changed):
    return shaken(
        diffusers.AutoencoderKL(
            **BLOCKS,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            sample_size=SIDE,
            **changed,
        )
    )


def clip_text(cls=transformers.CLIPTextModel, seed=1):
    return shaken(cls(transformers.CLIPTextConfig(**CLIP_TEXT)), seed)


def t5():
    config = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": SIZE}
    return shaken(transformers.T5EncoderModel(transformers.T5Config(**config, feed_forward_proj="gated-gelu")), 2)


def short():
    return tokenizer(model_max_length=TOKENS)


def safety_checker():
    vision = VISION | {"projection_dim": 8}
    config = transformers.CLIPConfig(vision_config=vision, text_config=CLIP_TEXT, projection_dim=8)
    return StableDiffusionSafetyChecker(config)


def stable_diffusion(folder):
    """As published, with a safety checker."""
    unet = diffusers.UNet2DConditionModel(**UNET, cross_attention_dim=WIDTH)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        tokenizer=short(),
        unet=shaken(unet),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=safety_checker(),
        feature_extractor=transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"]),
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def stable_diffusion_xl(folder):
    unet = diffusers.UNet2DConditionModel(
        **UNET,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=WIDTH + 6 * 4,
    )
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(transformers.CLIPTextModelWithProjection, 3),
        tokenizer=short(),
        tokenizer_2=short(),
        unet=shaken(unet),
        scheduler=diffusers.EulerDiscreteScheduler(),
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def pixart(folder):
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        sample_size=16,
        cross_attention_dim=16,
        caption_channels=WIDTH,
        norm_num_groups=4,
        use_additional_conditions=False,
    )
    pipeline = diffusers.PixArtAlphaPipeline(
        tokenizer=short(),
        text_encoder=t5(),
        vae=autoencoder(),
        transformer=shaken(transformer),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def flux(folder):
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(latent_channels=4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=clip_text(),
        tokenizer=short(),
        text_encoder_2=t5(),
        tokenizer_2=short(),
        transformer=shaken(transformer),
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def clip(folder):
    config = transformers.CLIPConfig(text_config=CLIP_TEXT, vision_config=VISION, projection_dim=12)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"])
    return save(folder, transformers.CLIPModel(config), images)


def clip_with_texts(folder):
    """As published, with a tokenizer."""
    clip(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def clip_of_images(folder):
    """The tower of images alone, as it can be saved."""
    config = transformers.CLIPVisionConfig(**VISION, projection_dim=12)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"])
    return save(folder, transformers.CLIPVisionModelWithProjection(config), images)


def siglip(folder):
    config = transformers.SiglipConfig(text_config=LAYER | {"vocab_size": SIZE}, vision_config=VISION)
    images = transformers.SiglipImageProcessor(**PIXELS)
    return save(folder, transformers.SiglipModel(config), images, tokenizer(model_input_names=["input_ids"]))


def dinov2(folder):
    config = transformers.Dinov2Config(**VISION, mlp_ratio=2)
    images = transformers.BitImageProcessor(size={"shortest_edge": SIDE}, crop_size=PIXELS["size"])
    return save(folder, transformers.Dinov2Model(config), images)


def vit_classifier(folder):
    """As published: without weights for the layer that pools the tokens."""
    config = transformers.ViTConfig(**VISION)
    return save(folder, transformers.ViTForImageClassification(config), transformers.ViTImageProcessor(**PIXELS))


def resnet(folder):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    images = transformers.ConvNextImageProcessor(size={"shortest_edge": SIDE})
    return save(folder, transformers.ResNetModel(config), images)
