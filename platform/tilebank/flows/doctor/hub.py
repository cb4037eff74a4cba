"""The Hugging Face hub: reachable, and which gated encoders this token may download."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from tilebank.config import known_names
from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.huggingface.checkpoints import folder_of
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError
from tilebank.flows.doctor.check import Check, failed, passed, warned
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings

HUB = "https://huggingface.co"
TIMEOUT_S = 5.0
REFUSED = (401, 403)
OFFLINE = "download the weights elsewhere and use --set encoder.checkpoint=/path; the texture encoder needs none"


def gated_encoders() -> list[EncoderConfig]:
    """The encoders of conf/ whose weights need their owner's leave."""
    every = (load_settings(Choices(encoder=name)).encoder for name in known_names("encoders"))
    return [config for config in every if config.gated]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A file on the hub answers with the address of its bytes, which are not wanted; nor may it get the token."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none."""


def check_hub(gated: Sequence[EncoderConfig]) -> Iterator[Check]:
    """One HEAD request to the hub and, where it answers, one to each gated encoder's repository."""
    hub = os.environ.get("HF_ENDPOINT") or HUB
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield warned("hub", "HF_HUB_OFFLINE is set", fix=f"unset it, or {OFFLINE}")
        return
    try:
        _head(hub)
    except OSError as error:
        yield warned("hub", f"{hub} does not answer ({getattr(error, 'reason', error)})", fix=OFFLINE)
        return
    yield passed("hub", f"{hub} answers")
    yield from _check_gated(hub, gated)


def check_encoder(config: EncoderConfig) -> Iterator[Check]:
    """Load the encoder where its weights are on this machine."""
    if config.loader == "huggingface" and folder_of(config) is None:
        where = f"{config.checkpoint or config.source} on the hub"
        yield passed("encoder", f"{config.name}: its weights are {where}; loaded at the first extraction")
        return
    try:
        load_encoder(config)
    except EncoderError as error:
        yield failed("encoder", str(error), fix="correct --encoder or encoder.checkpoint")
        return
    yield passed("encoder", f"{config.name} loads: vectors of {config.dim} values, tiles of {config.input_size_px} px")


def _check_gated(hub: str, gated: Sequence[EncoderConfig]) -> Iterator[Check]:
    token = _token()
    if not token:
        found = "no token (HF_TOKEN); gated encoders cannot be downloaded: " + ", ".join(one.name for one in gated)
        yield warned("gated encoders", found, fix="make a token at huggingface.co/settings/tokens and set HF_TOKEN")
        return
    refused = [one for one in gated if not _is_allowed(hub, one, token)]
    allowed = [one.name for one in gated if one not in refused]
    if allowed:
        yield passed("gated encoders", f"allowed: {', '.join(allowed)}")
    if refused:
        pages = ", ".join(f"{hub}/{one.checkpoint}" for one in refused)
        found = f"refused: {', '.join(one.name for one in refused)}"
        yield warned("gated encoders", found, fix=f"accept the terms, with the account of the token, at {pages}")


def _is_allowed(hub: str, config: EncoderConfig, token: str) -> bool:
    try:
        _head(f"{hub}/{config.checkpoint}/resolve/{config.revision}/config.json", token=token)
    except urllib.error.HTTPError as error:
        return error.code not in REFUSED
    except OSError:
        return False
    return True


def _head(url: str, *, token: str = "") -> None:
    """Raises OSError where nothing answers, HTTPError (an OSError) for a refusal."""
    request = urllib.request.Request(url, method="HEAD")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        if not 300 <= error.code < 400:
            raise


def _token() -> str:
    """As the hub's own library finds it: HF_TOKEN, else the file that `hf auth login` writes."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    kept = Path(os.environ.get("HF_TOKEN_PATH") or home / "token")
    written = kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""
    return os.environ.get("HF_TOKEN", "").strip() or written
