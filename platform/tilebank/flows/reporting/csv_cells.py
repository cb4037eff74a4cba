"""Make text from files safe to show in a terminal or a spreadsheet."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for a formula


def visible(text: str) -> str:
    """`text` with control, direction-changing and broken characters written out, so that none acts on its reader."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def csv_cell(value: object) -> str:
    """What a CSV holds of `value`; a tuple's parts by `; `. Text that a spreadsheet would run gets a `'` before it."""
    if isinstance(value, int | float):  # a minus makes no formula of a number
        return str(value)
    text = "; ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
