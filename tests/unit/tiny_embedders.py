"""Embedders of every family, tiny."""

import transformers
from tiny_models import CLIP_TEXT, LAYER, PIXELS, SIDE, SIZE, VISION, WIDTH, save, tokenizer


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
