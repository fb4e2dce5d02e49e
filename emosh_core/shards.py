"""Parts of a list of jobs that batch systems give to different machines."""

import re

from emosh_core.errors import ConfigError


def parse_shard(text: str | None) -> slice:
    """Read `I/N`, counted from 1, as the slice of the jobs that belong to the I-th of N machines.

    Raises:
        ConfigError: it does not read so, or I is not within 1..N.
    """
    if text is None:
        return slice(None)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError("--shard takes I/N with I from 1 to N", found=text, fix="--shard 1/4")
    return slice(int(match[1]) - 1, None, int(match[2]))
