"""Run images through a network in batches that fit into memory, and return vectors ready to store.

All batches on a GPU have one shape, since a GPU chooses its kernels by shape and kernels round differently: a vector
does not depend on how many images came with it. It may depend on the batch size, in the last bits of the
network's own arithmetic; in float32 that is held to one step of a stored float16.

Letters: N images, S pixels a side, D width of a vector.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.encoders.contract import EncoderConfig, assert_pixels
from tilebank.encoders.huggingface.device_transfer import DeviceTransfer
from tilebank.encoders.huggingface.preprocessing import full_scale, sendable, to_unit
from tilebank.errors import EncoderError

CPU_SIZE = 8  # more saves nothing there, and costs memory
LARGEST_SIZE = 64  # a GPU is full long before, and the last piece of a call is padded up to it
MEMORY_SHARE = 0.8  # of the free memory; the rest is for other kernels' workspace and for fragments
PROBE_IMAGES = 2

Network = Callable[[Tensor], Tensor]
log = logging.getLogger(__name__)


class Batcher:
    """Runs `network`, from images between 0 and 1 (n, S, S) to vectors (n, D), over any number of images.

    The batch size is the settings' `batch_size`; 0 chooses it at the first images, from the free memory. If memory runs
    out nevertheless, it is halved for good, and the run goes on from where it stopped.
    """

    def __init__(self, network: Network, *, config: EncoderConfig, device: torch.device) -> None:
        self._network = network
        self._config = config
        self._device = device
        self._lane = DeviceTransfer(device)
        self._size = config.batch_size

    @property
    def batch_size(self) -> int:
        """Images per batch; 0 until it is chosen."""
        return self._size

    def encode(
        self, pixels: NDArray[np.uint8 | np.uint16], *, max_value: NDArray[np.float32] | float
    ) -> NDArray[np.float16]:
        """Vectors (N, D) of gray images (N, S, S), brought to unit length in float32 where the settings say so.

        Raises EncoderError for pixels of another size or type, and where not even one image fits into memory.
        """
        assert_pixels(pixels, self._config)
        scale = full_scale(max_value, self._config, images=len(pixels))
        done = [torch.empty((0, self._config.dim), dtype=torch.float16, device=self._device)]
        start = 0
        with torch.inference_mode():
            while start < len(pixels):
                self._size = self._size or self._find_size()
                piece = slice(start, start + self._size)
                vectors = self._try(pixels[piece], scale[piece])
                if vectors is None:
                    self._halve()  # here, not where it was caught: the error still held what did not fit
                    continue
                done.append(vectors)
                start += len(vectors)
            stored: NDArray[np.float16] = torch.cat(done).cpu().numpy()  # only here does the host wait for a GPU
        return stored

    def _try(self, pixels: NDArray[np.uint8 | np.uint16], scale: NDArray[np.float32]) -> Tensor | None:
        """Vectors (n, D) float16 of one piece, on the device, or None where memory ran out."""
        try:
            unit = to_unit(self._lane.send(sendable(pixels)), self._lane.send(scale.copy()))  # (n, S, S)
            shaped = pad_rows(unit, rows=self._size) if self._device.type == "cuda" else unit
            vectors = self._network(shaped)[: len(unit)].to(torch.float32)  # (n, D)
        except torch.OutOfMemoryError:
            return None
        if self._config.l2_normalise:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors.to(torch.float16)

    def _halve(self) -> None:
        if self._size == 1:
            raise EncoderError(
                f"encoder {self._config.name}: not even one image of {self._config.input_size_px} px fits into the"
                f" memory of {self._device}; free it, use a smaller encoder, or extraction.encoder_gpus=1 for fewer of"
                " them on one GPU"
            )
        log.warning("encoder %s: batch of %d ran out of memory, going on with half", self._config.name, self._size)
        self._size //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _find_size(self) -> int:
        if self._device.type != "cuda":
            return CPU_SIZE
        blank = torch.zeros(PROBE_IMAGES, *[self._config.input_size_px] * 2, device=self._device)  # (2, S, S)
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        try:
            self._network(blank)
        except torch.OutOfMemoryError:
            return 1
        each = (torch.cuda.max_memory_allocated(self._device) - before) / PROBE_IMAGES
        torch.cuda.empty_cache()
        size = fitting_size(torch.cuda.mem_get_info(self._device)[0], bytes_each=each)
        log.info("encoder %s: batch of %d, %.0f MB an image", self._config.name, size, each / 1e6)
        return size


def fitting_size(free_bytes: float, *, bytes_each: float) -> int:
    """The largest power of two of images that fits: powers of two, so that small changes of memory change nothing."""
    most = min(int(MEMORY_SHARE * free_bytes / max(bytes_each, 1.0)), LARGEST_SIZE)
    return 1 << (max(most, 1).bit_length() - 1)


def pad_rows(unit: Tensor, *, rows: int) -> Tensor:
    """`unit` (n, S, S) with blank images up to `rows`. On a CPU the work would be wasted: see the module's words."""
    blank = unit.new_zeros((max(rows - len(unit), 0), *unit.shape[1:]))
    return torch.cat([unit, blank]) if len(blank) else unit
