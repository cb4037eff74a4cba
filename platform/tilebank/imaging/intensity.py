"""From stored values to presentation values. Works on numbers; knows nothing of files.

The order is the standard's (PS3.4 N.2): modality LUT, then VOI, then polarity. A presentation value depends on nothing
but the stored value, so the whole chain is computed once for each value that occurs and applied as one table look-up.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


def apply_window(
    values: NDArray[np.float64], *, center: float, width: float, function: WindowFunction
) -> NDArray[np.float64]:
    """Map modality values into [0, 1] by a VOI window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises ValueError where the standard allows no such width: below 1 for LINEAR, not above 0 for the others.
    """
    if function is WindowFunction.LINEAR:
        if width < 1:
            raise ValueError(f"window width {width} is below 1")
        if width == 1:
            return (values > center - 0.5).astype(np.float64)
        return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)
    if width <= 0:
        raise ValueError(f"window width {width} is not above 0")
    if function is WindowFunction.LINEAR_EXACT:
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700))))


def scale_to_range(values: NDArray[np.float64], *, low: float, high: float) -> NDArray[np.float64]:
    """Map [low, high] into [0, 1], clipping outside: the fall-back where a file gives no usable window."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)
