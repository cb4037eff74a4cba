"""Ask the person at the terminal before work that was perhaps not meant."""

import sys


def confirm_on_terminal(question: str) -> bool:
    """Whether somebody answers yes; False, without asking, where stdin or stderr is no terminal."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
