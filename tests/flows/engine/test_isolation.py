"""A call in a process that can die: what it returns and raises, and what becomes of hangs, crashes and gluttony."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tilebank.errors import ImageError
from tilebank.flows.engine.isolation import IsolatedProcess, Limits


@pytest.fixture
def process() -> Iterator[IsolatedProcess]:
    process = IsolatedProcess(Limits(seconds=5, memory_mb=512))
    yield process
    process.close()


def test_result_and_arrays_come_back_as_they_are(process: IsolatedProcess) -> None:
    array = process.call(np.arange, 3_000_000)
    np.testing.assert_array_equal(array, np.arange(3_000_000))


def test_one_child_serves_many_calls(process: IsolatedProcess) -> None:
    assert process.call(os.getpid) == process.call(os.getpid) != os.getpid()


def test_error_of_the_function_is_raised_here(process: IsolatedProcess) -> None:
    with pytest.raises(ZeroDivisionError):
        process.call(divmod, 1, 0)
    assert process.call(abs, -3) == 3


def test_image_error_keeps_its_stage_and_class(process: IsolatedProcess) -> None:
    with pytest.raises(ImageError) as caught:
        process.call(_refuse)
    assert (caught.value.stage, caught.value.error_class) == ("mask", "NoBreast")


def test_hang_is_given_up_and_the_next_call_works() -> None:
    process = IsolatedProcess(Limits(seconds=0.5))
    with pytest.raises(ImageError, match="not read within 0.5 s") as caught:
        process.call(time.sleep, 60)
    assert caught.value.error_class == "Timeout"
    patient = IsolatedProcess(Limits(seconds=30))
    assert patient.call(abs, -3) == 3
    process.close()
    patient.close()


def test_crash_costs_one_call_and_names_the_signal(process: IsolatedProcess) -> None:
    with pytest.raises(ImageError, match="SIGSEGV") as caught:
        process.call(_crash)
    assert caught.value.error_class == "Crash"
    assert process.call(abs, -3) == 3


def test_memory_beyond_the_limit_is_refused_and_the_child_lives(process: IsolatedProcess) -> None:
    child = process.call(os.getpid)
    with pytest.raises(ImageError) as caught:
        process.call(bytearray, 2 * 2**30)
    assert caught.value.error_class == "MemoryLimit"
    assert process.call(os.getpid) == child


def test_hanging_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, threading, time\n"
        "from tilebank.flows.engine.isolation import IsolatedProcess, Limits\n"
        "process = IsolatedProcess(Limits(seconds=600))\n"
        "pathlib.Path(sys.argv[1]).write_text(str(process.call(os.getpid)))\n"
        "process.call(time.sleep, 600)\n"
    )
    told = tmp_path / "child"
    parent = subprocess.Popen([sys.executable, "-c", code, str(told)])
    _until(lambda: told.exists() and told.read_text() != "")
    child = int(told.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(lambda: not Path(f"/proc/{child}").exists() or _is_zombie(child))


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"memory_mb": 0}])
def test_limits_that_allow_nothing_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**limits)


def _refuse() -> None:
    raise ImageError("mask", "no breast found", "NoBreast")


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def _until(condition: object, *, seconds: float = 20) -> None:
    assert callable(condition)
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.1)
