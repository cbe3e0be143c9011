"""Words for temperatures."""

from weather.model import temperatures


def sentence(days: int, *, unit: str) -> str:
    """How many of the coming days are warm, and the warmest."""
    ahead = temperatures(days)
    warm = sum(value > 18.0 for value in ahead)
    return f"{warm} of {days} days will be warmer than 18 {unit}; the warmest has {max(ahead)} {unit}"
