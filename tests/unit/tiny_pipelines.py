"""Pipelines that draw, of every family, tiny."""

import diffusers
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tiny_models import BLOCKS, CLIP_TEXT, PIXELS, SIDE, SIZE, TOKENS, VISION, WIDTH, shaken, tokenizer

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
