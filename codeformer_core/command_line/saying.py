"""What commands say while they work and at their end."""

import sys

from .arguments import EXIT_ERROR


def complain(message: str) -> None:
    """Write one line to standard error."""
    visible = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(message.split()))
    sys.stderr.write(f"codeformer: {visible}\n")


def say(text: str) -> None:
    """Write to standard output what its encoding can hold, and the rest as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def end(failures: list[str]) -> int:
    """Say what failed; the exit code."""
    for message in failures:
        complain(message)
    return EXIT_ERROR if failures else 0


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 face" or "2 faces"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
