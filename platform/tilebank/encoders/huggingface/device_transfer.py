"""Copy arrays to a device while it computes on earlier ones.

On a GPU an array is copied into pinned memory and sent on its own stream. Nothing here waits: while the device computes
on one batch, the host already pins and sends the next.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


class DeviceTransfer:
    """Sends arrays to one device. On a CPU nothing is copied: the tensor shares the array's memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def send(self, array: NDArray[Any]) -> Tensor:
        """`array` as a tensor on the device; what is computed from now on, on the current stream, sees it whole."""
        host = torch.from_numpy(array)
        if self._stream is None:
            return host.to(self._device)
        with torch.cuda.stream(self._stream):
            # torch keeps the pinned block until the copy is done: its allocator records an event on this stream.
            sent = host.pin_memory().to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        sent.record_stream(current)  # or its memory could be given to the next copy while it is still read
        return sent
