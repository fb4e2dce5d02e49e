"""Write generated tensors as published checkpoints are written."""

import json
import math
import struct
from pathlib import Path

from safetensors.torch import save_file

SIZES = {
    "num_attention_heads": 2, "attention_head_dim": 128, "text_dim": 24, "freq_dim": 16, "ffn_dim": 64,
    "num_layers": 4, "image_dim": 32, "added_kv_proj_dim": 256,
}  # fmt: skip
FACE_SIZES = {
    "motion_encoder_channel_sizes": {"4": 8, "8": 8, "16": 8}, "motion_encoder_size": 16, "motion_style_dim": 8,
    "motion_dim": 4, "motion_encoder_dim": 8, "face_encoder_hidden_dim": 8, "inject_face_latents_blocks": 2,
}  # fmt: skip


def write_shards(state: dict, folder: Path, count: int) -> None:
    """Write tensors to several files and their index."""
    names = list(state)
    index = {}
    for n in range(count):
        file = f"diffusion_pytorch_model-{n + 1:05d}-of-{count:05d}.safetensors"
        some = names[n::count]
        save_file({name: state[name] for name in some}, folder / file)
        index |= dict.fromkeys(some, file)
    path = folder / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": index}))


def write_zero_shards(shapes: dict, folder: Path, count: int) -> int:
    """Write files full of zeros that take no room on the disk; return how many bytes they claim."""
    names, total = list(shapes), 0
    for n in range(count):
        header, end = {}, 0
        for name in names[n::count]:
            start, end = end, end + 4 * math.prod(shapes[name])
            header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        with open(folder / f"diffusion_pytorch_model-{n + 1:05d}-of-{count:05d}.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)
        total += end
    return total
