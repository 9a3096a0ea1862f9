"""The only door to PyAV, which reads and writes films; it is imported when the first film is."""

from typing import Any


def pyav() -> Any:
    """The package `av`; ImportError with the remedy where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ImportError('films are read with PyAV: pip install "comfyui-codeformer[film]"') from error
    return av


class FilmError(ValueError):
    """A film that cannot be read or written; one line with the file, the reason and the remedy."""
