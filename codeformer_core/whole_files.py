"""Files that are written whole or not at all."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; the file takes its place when the block ends, and is removed if it fails.

    The folder is made if need be. What was written is on the disk before the name is, so that a power cut leaves no
    half either. OSError names the file and what to do.
    """
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch()
        mode = unfinished.stat().st_mode  # a library may write through a private file of its own
        yield unfinished
        unfinished.chmod(mode)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error}); make room or choose another folder"
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error  # safetensors tells no number
    finally:
        if unfinished.exists():
            unfinished.unlink()
