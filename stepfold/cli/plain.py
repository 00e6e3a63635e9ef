"""Text from strangers, as a terminal may be given it. Imports nothing: every error needs it."""


def plain(text: str) -> str:
    """`text` without what a terminal would obey: each control character but a new line is shown."""
    return "".join(each if each.isprintable() or each == "\n" else _shown(each) for each in text)


def one_line(text: str) -> str:
    return " ".join(plain(text).split())


def _shown(each: str) -> str:
    return " " if each.isspace() else each.encode("unicode_escape", "surrogatepass").decode()
