"""Every error that Tilebank raises on purpose.

    TilebankError
    |-- ConfigError        a file, flag or setting is wrong: nothing was started
    |-- DatasetError       the study cannot be read: missing root, no images, a broken label table
    |   `-- TooFewLabelsError  a task has no labels, one class only, or too few patients
    |-- ImageError         one image cannot be used: becomes a row in `failures`, the run goes on
    |-- EncoderError       weights are missing, gated or do not fit their settings
    |-- HeadError          a head cannot be built or fitted on the bags it was given
    |-- StoreError         a table cannot be read or written, or does not hold what was asked for
    |-- LeakageError       a patient is in two splits
    |-- EngineError        Ray does not start, or its cluster cannot be joined
    `-- TrackingError      MLflow cannot be reached or written, or does not hold what was asked for

A message says what is wrong, which thing it is, and what to do.
"""


class TilebankError(Exception):
    """Base class of all errors that Tilebank raises on purpose."""


class ConfigError(TilebankError):
    """A configuration file, flag or setting is wrong; raised before any work is started."""


class DatasetError(TilebankError):
    """A dataset cannot be read as it was described."""


class TooFewLabelsError(DatasetError):
    """A task lacks the labels that a search needs. `short` says so in a few words; neither text names an id."""

    def __init__(self, message: str, short: str) -> None:
        super().__init__(message, short)  # all in args, so that the error can be pickled
        self.short = short

    def __str__(self) -> str:
        return str(self.args[0])


class ImageError(TilebankError):
    """One image cannot be used.

    `stage` names where it stopped: `read`, `identify`, `filter` (fit for use, but not asked for), `decode`, `mask` or
    `tile`; `error_class` is a short name of what is wrong, to count by; `reason` explains it in words.
    """

    def __init__(self, stage: str, reason: str, error_class: str = "ImageError") -> None:
        super().__init__(stage, reason, error_class)  # all in args, so that the error can be pickled
        self.stage = stage
        self.reason = reason
        self.error_class = error_class

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


class EncoderError(TilebankError):
    """An encoder's weights are missing, gated, or do not fit their declared settings."""


class HeadError(TilebankError):
    """A head cannot be built, loaded or fitted."""


class StoreError(TilebankError):
    """A table cannot be read or written, or does not hold what was asked for."""


class LeakageError(TilebankError):
    """A patient is in more than one split."""


class EngineError(TilebankError):
    """Ray does not start on this machine, or the cluster of RAY_ADDRESS cannot be joined."""


class TrackingError(TilebankError):
    """MLflow cannot be reached or written, or does not hold what was asked for."""
