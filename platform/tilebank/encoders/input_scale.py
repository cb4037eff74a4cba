"""Change an encoder's input size, to see smaller or larger tiles at native resolution."""

from dataclasses import replace

from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import EncoderError


def at_scale(config: EncoderConfig, *, scale: float) -> EncoderConfig:
    """`config` with an input of `scale` times its size, as near as whole patches of its network come to it.

    Nothing is retrained or resampled: vision transformers take another number of patches (their positions are
    interpolated), convolutional networks another extent; a batch holds as many pixels as before. Networks that take no
    such size say so when they are loaded.
    Raises EncoderError where nothing would be left of a tile.
    """
    patch = int((config.architecture or {}).get("patch_size", 1))
    size = round(scale * config.input_size_px / patch) * patch
    if size < 1:
        raise EncoderError(
            f"encoder {config.name} at scale {scale:g} would see less than one patch of {patch} px; choose a larger"
            " scale"
        )
    batch = max(1, round(config.batch_size * (config.input_size_px / size) ** 2)) if config.batch_size else 0
    return replace(config, input_size_px=size, batch_size=batch)
