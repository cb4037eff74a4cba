"""Describe the families of vision networks that can be loaded from the transformers library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import EncoderError


@dataclass(frozen=True)
class ModelFamily:
    """One family.

    outputs: what it has of `outputs.OUTPUTS`. patches: its first convolution, where that has no padding. fixed_size:
    another input size must be asked for. without: what its class would add to a published checkpoint, and is told not
    to. attention: None where it has none.
    """

    network: str
    settings: str
    outputs: tuple[str, ...]
    patches: str = ""
    fixed_size: bool = False
    without: tuple[str, ...] = ()
    attention: str | None = "sdpa"

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for its class."""
        return dict.fromkeys(self.without, False)


TOKENS = ("cls", "cls_patch_mean", "patch_mean", "projected")

MODEL_FAMILIES = {  # by model_type of its settings
    "dinov2": ModelFamily("Dinov2Model", "Dinov2Config", TOKENS, "embeddings.patch_embeddings.projection"),
    "dinov2_with_registers": ModelFamily(
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        TOKENS,
        "embeddings.patch_embeddings.projection",
    ),
    "dinov3_vit": ModelFamily("DINOv3ViTModel", "DINOv3ViTConfig", TOKENS, "embeddings.patch_embeddings"),
    "efficientnet": ModelFamily("EfficientNetModel", "EfficientNetConfig", ("pooled", "projected"), attention=None),
    "siglip_vision_model": ModelFamily(
        "SiglipVisionModel",
        "SiglipVisionConfig",
        ("map", "patch_mean"),
        "embeddings.patch_embedding",
        fixed_size=True,
    ),
    "vit": ModelFamily(
        "ViTModel",
        "ViTConfig",
        TOKENS,
        "embeddings.patch_embeddings.projection",
        fixed_size=True,
        without=("add_pooling_layer",),
    ),
}
VISION_PART_OF = {"siglip": "siglip_vision_model"}  # text and image: only the vision tower is loaded


def assert_fits(config: EncoderConfig, settings: Any, *, projection_width: int) -> None:
    """Raise EncoderError, before any weights are read, where declared settings and a network's own disagree.

    `projection_width` is that of the checkpoint's projection, 0 where it has none.
    """
    from tilebank.encoders.huggingface.outputs import OUTPUTS

    missing = {"projected"} if not projection_width else set()
    if settings.model_type == "siglip_vision_model" and not settings.vision_use_head:
        missing.add("map")
    known = [name for name in MODEL_FAMILIES[settings.model_type].outputs if name not in missing]
    if config.output not in known:
        raise EncoderError(
            f"encoder {config.name}: a {settings.model_type} checkpoint has no output {config.output!r}; use one of "
            f"{known}"
        )
    patch = getattr(settings, "patch_size", 1)
    if config.input_size_px % patch:
        raise EncoderError(
            f"encoder {config.name}: input_size_px {config.input_size_px} is not a multiple of its patch of "
            f"{patch} px (the remainder would be dropped silently); use {config.input_size_px // patch * patch}"
        )
    own = getattr(settings, "hidden_dim", None) or settings.hidden_size
    width = OUTPUTS[config.output].widths * own or projection_width
    if config.dim != width:
        raise EncoderError(f"encoder {config.name}: its output is {width} wide, its settings say dim {config.dim}")
    if config.preprocess.channels != settings.num_channels:
        raise EncoderError(f"encoder {config.name}: preprocess.channels must be {settings.num_channels}")


def first_patch_of(settings: Any) -> int:
    """How many tokens come before the patches: class and registers."""
    if settings.model_type == "siglip_vision_model":
        return 0
    return 1 + int(getattr(settings, "num_register_tokens", 0))


def input_size_options(settings: Any, config: EncoderConfig) -> dict[str, Any]:
    """What a network is called with to take tiles of another size than its own."""
    resized = MODEL_FAMILIES[settings.model_type].fixed_size and settings.image_size != config.input_size_px
    return {"interpolate_pos_encoding": True} if resized else {}


def build_network(config: EncoderConfig) -> Any:
    """The network of `config.architecture` with random weights, on the current default device (`meta` costs nothing).

    Raises EncoderError where there is no architecture, or it names what the family does not know.
    """
    import transformers

    shape: Mapping[str, Any] = config.architecture or {}
    tower = MODEL_FAMILIES.get(str(shape.get("model_type")))
    if tower is None:
        raise EncoderError(
            f"encoder {config.name}: architecture.model_type {shape.get('model_type')!r} is unknown; use one of "
            f"{sorted(MODEL_FAMILIES)}"
        )
    kind = getattr(transformers, tower.settings)
    values = {key: value for key, value in shape.items() if key != "model_type"}
    unknown = sorted(set(values) - set(kind.__dataclass_fields__))
    if unknown:
        raise EncoderError(f"encoder {config.name}: architecture.{unknown[0]} is unknown to {tower.settings}")
    settings = kind(**values)
    if tower.attention:
        settings._attn_implementation = tower.attention
    return getattr(transformers, tower.network)(settings, **tower.options).eval()
