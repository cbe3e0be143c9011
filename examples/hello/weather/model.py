"""Temperatures, by numpy, which only the image has."""


def temperatures(days: int) -> list[float]:
    """One temperature a day, in degrees Celsius."""
    import numpy as np  # the machine that starts the run need not have it

    angles = np.linspace(0.0, 4.0 * np.pi, num=days)
    return [float(value) for value in np.round(15.0 + 8.0 * np.sin(angles), 1)]
