"""Generated checkpoints, tiny and of random weights, written as the published ones are."""

import json
import math
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file

from emosh_core.generate.wan.keys import FACE, to_original

SIZES = {
    "num_attention_heads": 2, "attention_head_dim": 128, "text_dim": 24, "freq_dim": 16, "ffn_dim": 64,
    "num_layers": 4, "image_dim": 32, "added_kv_proj_dim": 256,
}  # fmt: skip
FACE_SIZES = {
    "motion_encoder_channel_sizes": {"4": 8, "8": 8, "16": 8}, "motion_encoder_size": 16, "motion_style_dim": 8,
    "motion_dim": 4, "motion_encoder_dim": 8, "face_encoder_hidden_dim": 8, "inject_face_latents_blocks": 2,
}  # fmt: skip


def tiny_animate():
    """Return a tiny Wan Animate whose face is silent: what its adapter gives is 0."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = diffusers.WanAnimateTransformer3DModel(**SIZES, **FACE_SIZES, in_channels=36).eval()
        for name, value in model.named_parameters():  # norms and biases too: a fresh one hides what is mixed up
            torch.nn.init.normal_(value, std=0.1) if value.ndim > 1 else torch.nn.init.uniform_(value, 0.5, 1.5)
            if name.startswith("face_adapter.") and ".to_out." in name:
                torch.nn.init.zeros_(value)
        torch.nn.init.normal_(model.proj_out.weight, std=0.02)  # what comes out is about 1 then
    return model.requires_grad_(False)


def tiny_i2v(animate):
    """Return a tiny Wan I2V: the same without pose and face."""
    import diffusers

    model = diffusers.WanTransformer3DModel(**SIZES, in_channels=36).eval()
    model.load_state_dict({n: v for n, v in animate.state_dict().items() if not n.startswith(("pose_", *FACE))})
    return model.requires_grad_(False)


def original_state(state: dict) -> dict:
    """Turn diffusers' state into what the authors' code would have written."""
    turned = {}
    for name, value in state.items():
        value = value[None, :, None, None] if name.endswith(".act_fn.bias") else value
        new = to_original(name)  # the adapter's keys come before its values
        turned[new] = torch.cat([turned[new], value]) if new in turned else value.clone()
    return turned


def write_transformer(model, style: str, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model as `original`, `diffusers` or `file`."""
    state = {name: value.to(dtype) for name, value in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    if style == "diffusers":
        model.save_pretrained(folder / "transformer", max_shard_size="2MB")
        return folder
    state = original_state(state)
    if style == "file":
        path = folder / "wan.safetensors"
        save_file({f"model.diffusion_model.{name}": value for name, value in state.items()}, path)
        return path
    write_shards(state, folder, 3)
    config = {"_class_name": "WanModel", "dim": 256, "num_heads": 2, "num_layers": 4, "ffn_dim": 64,
              "freq_dim": 16, "out_dim": 16, "in_dim": 36, "text_len": 512, "eps": 1e-6}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_vae(folder: Path) -> Path:
    """Write a tiny VAE as diffusers does."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(5)
        diffusers.AutoencoderKLWan(base_dim=8, num_res_blocks=1).save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """Write a tiny picture encoder as transformers does."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.random.fork_rng():
        torch.manual_seed(6)
        config = CLIPVisionConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
                                  image_size=28, patch_size=14)  # fmt: skip
        CLIPVisionModel(config).save_pretrained(folder)
    return folder


def write_text(folder: Path) -> Path:
    """Write a tiny text encoder and a tokenizer of five words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    words = {word: n for n, word in enumerate(("<pad>", "</s>", "<unk>", "a", "person", "dances"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    fast.save_pretrained(folder / "tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        config = UMT5Config(vocab_size=8, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3)
        UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder


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
