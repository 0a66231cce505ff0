"""What a hub holds: the embedded embedder and generator among files that nothing loads, and mere shells of others."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from handmade import png

MODELS = Path(__file__).parents[2] / "resources" / "shapeworld"
USELESS = {
    "model": [
        *("pytorch_model.bin", "tf_model.h5", "onnx/model.safetensors", "consolidated.safetensors", "README.md"),
        *("model.fp16.safetensors", "modeling_own.py"),
    ],
    "pipeline": [
        *("v1.safetensors", "v1.ckpt", "unet/x.bin", "safety_checker/model.safetensors", "pipeline.py"),
        *("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"),
    ],
}
LARGE = {
    "model": [
        *("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        *("model.safetensors.index.json", "merges.txt", "vocab.json", "spiece.model", "tokenizer.model"),
        *("preprocessor_config.json", "processor_config.json", "chat_template.jinja", "tokenizer.json"),
    ],
    "pipeline": [
        *("unet/config.json", "unet/diffusion_pytorch_model.safetensors.index.fp16.json"),
        *(f"unet/diffusion_pytorch_model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)),
        *("text_encoder/config.json", "text_encoder/model.fp16.safetensors"),
        *("vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
        *(
            "tokenizer/merges.txt",
            "tokenizer/vocab.json",
            "tokenizer_2/spiece.model",
            "scheduler/scheduler_config.json",
        ),
    ],
}
"""Files of models in several shards, and of a pipeline one part of which has no variant of its weights."""
PLAIN = [
    *(f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)),
    *("unet/diffusion_pytorch_model.non_ema.fp16.safetensors", "text_encoder/model.safetensors", "vae/x.bin"),
    *("safety_checker/config.json", "safety_checker/model.fp16.safetensors"),
]
"""What the variant fp16 of that pipeline does not need."""


def write(folder):
    """Write models and a dataset below a folder, and return the folder of each by its name on the hub."""
    for name, kind in (("embedder", "model"), ("generator", "pipeline")):
        for file in [path for path in (MODELS / name).rglob("*") if path.is_file()]:
            place = folder / name / file.relative_to(MODELS / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file)
        fill(folder / name, USELESS[kind])
    fill(folder / "large", [*LARGE["model"], *USELESS["model"]])
    fill(folder / "variants", [*LARGE["pipeline"], *PLAIN])
    parts = {part: ["library", "Class"] for part in ("unet", "text_encoder", "vae", "tokenizer", "safety_checker")}
    (folder / "variants/model_index.json").write_text(json.dumps({"_class_name": "Pipeline", **parts}))
    fill(folder / "pickled", ["config.json", "pytorch_model.bin"])
    (folder / "photos/data").mkdir(parents=True)
    rows = [{"bytes": png(np.full((4, 4, 3), i)), "path": f"{i}.png"} for i in range(3)]
    pq.write_table(pa.table({"image": rows}), folder / "photos/data/validation-00000-of-00001.parquet")
    names = ("embedder", "generator", "pickled", "large", "variants", "photos")
    return {f"shapeworld/{name}": folder / name for name in names}


def fill(folder, names):
    """Write files that nothing reads, no two alike, since the cache keeps one of those."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(name))
