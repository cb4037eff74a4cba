"""The page of all commands says what the parsers say."""

from docs.generate_command_line import PAGE, parsers, render


def test_the_page_is_what_the_parsers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(parsers()), "run: python docs/generate_command_line.py"
