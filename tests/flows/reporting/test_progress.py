"""Progress bars: drawn on a terminal only, and moving while one step takes long."""

import io
import time
from contextlib import redirect_stderr

import pytest

from tilebank.flows.reporting import progress
from tilebank.flows.reporting.progress import progress_bar, show_bars, with_progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress(iter("abc"), what="read", unit="file", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_terminal_sees_the_count_unless_bars_are_off_or_there_is_nothing_to_do() -> None:
    with redirect_stderr(Terminal()) as terminal:
        show_bars(shown=False)
        list(with_progress(range(2), what="read", unit="file", total=2))
        show_bars(shown=True)
        list(with_progress((), what="read", unit="file", total=0))
        assert terminal.getvalue() == ""
        list(with_progress(range(2), what="read", unit="file", total=2))
        assert "2/2" in terminal.getvalue()


def test_a_bar_is_drawn_again_while_a_step_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW_S", 0.01)
    with redirect_stderr(Terminal()) as terminal, progress_bar("encode", unit="image", total=2):
        before = terminal.getvalue().count("\r")
        for _ in range(1000):
            if terminal.getvalue().count("\r") > before + 3:
                break
            time.sleep(0.01)
        assert terminal.getvalue().count("\r") > before + 3
