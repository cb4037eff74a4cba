"""Where Ray runs: a cluster that is already there, or this machine."""

import logging
import os
import warnings

import ray
import ray.data

from tilebank.errors import ConfigError, EngineError


def connect_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job finds its own there), or start Ray on this machine.

    Raises EngineError where that fails.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with warnings.catch_warnings():
        # Ray starts its processes by fork and exec at once; Lance warns of forks that live on.
        warnings.filterwarnings("ignore", message=".*fork", module="subprocess|lance")
        try:
            _init_ray(os.environ.get("RAY_ADDRESS", ""))
        except Exception as error:  # Ray raises a plain Exception when its node does not start
            raise EngineError(_why_not_started(error)) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts images and says what failed
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _init_ray(address: str) -> None:
    if address:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    else:
        ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)


def _why_not_started(error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if address := os.environ.get("RAY_ADDRESS"):
        return f"cannot join the Ray cluster at {address}: {reason}; check RAY_ADDRESS and RAY_AUTH_TOKEN_PATH"
    return (
        f"Ray did not start: {reason}; it waits 30 s, which a busy machine can exceed: run the same command again, or"
        " start Ray beforehand (`ray start --head --disable-usage-stats`) and set RAY_ADDRESS=auto"
    )


def cluster_cpus() -> int:
    """CPU cores that Ray may use."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def cluster_gpus() -> int:
    """GPUs that Ray may use."""
    return int(ray.cluster_resources().get("GPU", 0))


def assert_resources(*, encoders: int, cpus: float, gpus: float, read_cpus: float) -> None:
    """Raise ConfigError for work that would wait for ever: encoders that this machine has no room for, or that leave
    none for reading.

    A cluster may still grow, so there nothing is refused.
    """
    if os.environ.get("RAY_ADDRESS"):
        return
    if cpus > cluster_cpus() or gpus > cluster_gpus():
        raise ConfigError(
            f"an encoder asks for {cpus:g} CPU cores and {gpus:g} GPUs, Ray has {cluster_cpus()} and {cluster_gpus()}"
            " on this machine; lower extraction.encoder_cpus and extraction.encoder_gpus"
        )
    if encoders * gpus > cluster_gpus() or encoders * cpus + read_cpus > cluster_cpus():
        raise ConfigError(
            f"{encoders} encoders of {cpus:g} CPU cores and {gpus:g} GPUs, and a reading task of {read_cpus:g} cores"
            f" beside them, are more than this machine has ({cluster_cpus()} cores, {cluster_gpus()} GPUs); lower"
            " extraction.encoders, extraction.encoder_cpus or extraction.read_cpus"
        )
