"""Wan checkpoints of every published kind as one transformer with motion channels, and what belongs to them."""
