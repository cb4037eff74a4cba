"""Two thousand damaged files: each is read, or refused with a reason; nothing else, no hang, no dead process.

The files are read in child processes, so that a codec that takes its process down is seen. Run as a module, this file
is such a child: `python -m tests.imaging.dicom.test_fuzz FIRST END` prints a line for each number.
"""

import resource
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ENCODERS, make_dicom

from tilebank.errors import ImageError
from tilebank.imaging.dicom.reader import read_header, read_stored

COUNT, MANY, CHILDREN, HANG_S, MEMORY = 500, 2000, 2, 10, 4 << 30
SYNTAXES = ["1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{tail}" for tail in ("1", "2", "1.99", *ENCODERS))]
ITEM = b"\xfe\xff\x00\xe0"


@cache
def original(syntax: str) -> bytes:
    """A small image whose pixels are structured enough for every codec."""
    bits = 8 if syntax.endswith(".50") else 12
    y, x = np.mgrid[:40, :32]
    stored = ((x * 7 + y * y) % (1 << bits)).astype(np.uint16)
    tags = {"BitsAllocated": 8 if bits == 8 else 16, "BitsStored": bits, "HighBit": bits - 1}
    return make_dicom(stored, syntax=syntax, WindowCenter="100", WindowWidth="200", **tags)


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(random.integers(len(content)))]


def drop(content: bytes, random: np.random.Generator) -> bytes:
    start, length = random.integers(132, len(content)), random.integers(1, 200)
    return content[:start] + content[start + length :]


def flip(content: bytes, random: np.random.Generator, *, first: int = 0, last: int | None = None) -> bytes:
    damaged = bytearray(content)
    for at in random.integers(first, last or len(content), random.integers(1, 20)):
        damaged[at] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def flip_header(content: bytes, random: np.random.Generator) -> bytes:
    return flip(content, random, first=132, last=min(len(content), 700))


def flip_pixels(content: bytes, random: np.random.Generator) -> bytes:
    return flip(content, random, first=min(700, len(content) - 1))


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(132, len(content))), int(random.integers(1, 16))
    return content[:start] + random.bytes(length) + content[start + length :]


def swap(content: bytes, random: np.random.Generator) -> bytes:
    """Two stretches of the header change places: tags out of order, values of the wrong tag."""
    one, two, length = 160 + 2 * random.integers(0, 100), 400 + 2 * random.integers(0, 90), 2 * random.integers(2, 12)
    parts = content[:one], content[two : two + length], content[one + length : two], content[one : one + length]
    return b"".join((*parts, content[two + length :]))


def shuffle(content: bytes, random: np.random.Generator) -> bytes:
    """The pixel data's last bytes as three fragments in another order."""
    start = content.rfind(ITEM)
    if start < 0:
        return flip_pixels(content, random)
    frame = content[start + 8 : -8]
    ends = sorted(random.integers(0, len(frame), 2))
    fragments = [frame[: ends[0]], frame[ends[0] : ends[1]], frame[ends[1] :]]
    items = [
        ITEM + len(fragments[number]).to_bytes(4, "little") + fragments[number] for number in random.permutation(3)
    ]
    return content[:start] + b"".join(items) + content[-8:]


MUTATIONS = [cut, drop, flip, flip_header, flip_pixels, overwrite, swap, shuffle]


def damaged(number: int) -> bytes:
    """File `number`: each syntax with each mutation, again and again with other seeds."""
    syntax, mutation = SYNTAXES[number % len(SYNTAXES)], MUTATIONS[number // len(SYNTAXES) % len(MUTATIONS)]
    return mutation(original(syntax), np.random.default_rng(number))


def verdict(content: bytes) -> str:
    try:
        read_header(BytesIO(content))
        read_stored(content)
    except ImageError as error:
        return f"{error.stage}-{error.error_class}"
    return "read"


def read_numbers(first: int, end: int) -> Counter[str]:
    """The verdicts on some numbers; a child that dies (of any other error) or hangs is one, and the next goes on."""
    verdicts: Counter[str] = Counter()
    while first < end:
        command = [sys.executable, "-m", "tests.imaging.dicom.test_fuzz", str(first), str(end)]
        child = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
        lines = child.stdout.splitlines()
        verdicts.update(line.split()[1] for line in lines)
        first += len(lines)
        if child.returncode:
            what = "HANG" if child.returncode == -signal.SIGALRM else f"DIED({child.returncode})"
            verdicts[f"{what}-at-{first}"] += 1
            first += 1
    return verdicts


@pytest.mark.slow
@pytest.mark.parametrize("count", [COUNT, pytest.param(MANY, marks=pytest.mark.long)])
def test_damaged_files_are_read_or_refused_and_nothing_else(count: int) -> None:
    bounds = [count * part // CHILDREN for part in range(CHILDREN + 1)]
    with ThreadPoolExecutor(CHILDREN) as pool:
        verdicts = sum(pool.map(read_numbers, bounds[:-1], bounds[1:]), Counter[str]())
    assert verdicts.total() == count
    wrong = {name: count for name, count in verdicts.items() if name.startswith(("DIED", "HANG"))}
    assert not wrong, f"{wrong} of {verdicts}"
    assert verdicts["read"] < count * 0.6
    assert sum(count for name, count in verdicts.items() if name.startswith("decode")) > count * 0.15


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        content = damaged(number)
        signal.alarm(HANG_S)
        told = verdict(content)
        signal.alarm(0)
        sys.stdout.write(f"{number} {told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
