"""Write emosh_core/assets/population.npz: mean and inverse covariance of adults' body and head shape.

Of the table that synthetic people are drawn from only the rows of the `train` split count, so that people of `val`
and `test` stay unseen.
"""

from pathlib import Path

import numpy as np

from emosh_core.synth.people import BODY_NOISE, HEAD_NOISE, load_people
from emosh_core.tracker.population import FILE

UNSEEN = 0.15
"""Standard deviation in every direction that the table does not know of."""


def main() -> None:
    people = load_people()
    rows = people.split == "train"
    betas = np.concatenate([people.betas_body, people.betas_head], 1)[rows]
    noise = np.r_[np.full(people.betas_body.shape[1], BODY_NOISE), np.full(people.betas_head.shape[1], HEAD_NOISE)]
    covariance = np.cov(betas.T) + np.diag(noise**2 + UNSEEN**2)
    out = Path(__file__).parents[1] / "emosh_core" / "assets" / FILE
    np.savez_compressed(out, mean=betas.mean(0).astype(np.float32),
                        precision=np.linalg.inv(covariance).astype(np.float32))  # fmt: skip
    print(f"{out}: {rows.sum()} adults, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
