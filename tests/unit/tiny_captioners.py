"""Captioners of every family, tiny."""

import transformers
from tiny_models import END, IMAGE, LAYER, PAD, PIXELS, SIDE, SIZE, START, TEXT, VISION, WIDTH, save, tokenizer


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
