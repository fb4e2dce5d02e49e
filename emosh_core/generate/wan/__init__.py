"""Wan checkpoints of every published kind as one transformer with motion channels, and their VAE."""

from emosh_core.generate.wan.load import load_transformer
from emosh_core.generate.wan.vae import load_vae

__all__ = ["load_transformer", "load_vae"]
