"""Where randomness comes from: every choice of every clip has a stream of its own, and splits never share one."""

from dataclasses import dataclass

import numpy as np

from emosh_core.synth import people

SPLITS = tuple(people.SPLITS)
"""Identities, motions and seeds of one split never occur in another."""
PROTOCOL_SEED, PROTOCOL_CLIPS = 2606, {"val": 16, "test": 24}
"""Seed and number of clips of the evaluation sets that figures are quoted on; with default settings only."""
CHOICES = ("person", "motion", "shot", "backdrop", "lights", "film", "grain", "still")


@dataclass(frozen=True)
class Dice:
    """The streams of one clip."""

    seed: int
    split: str
    clip: int

    def rng(self, choice: str, which: int = 0) -> np.random.Generator:
        """Return a fresh generator for one choice, always the same; `which` tells people of one clip apart."""
        place = (SPLITS.index(self.split), self.clip, CHOICES.index(choice), which)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=place))
