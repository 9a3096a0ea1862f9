"""What tells whether two jobs would give the same film: all that the result depends on, as JSON values."""

import hashlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


def fingerprint(value: Any) -> Any:
    """A value as JSON values that differ when it does: arrays and networks by the sha256 of their numbers."""
    if isinstance(value, torch.nn.Module):
        return fingerprint(dict(value.state_dict()))
    if isinstance(value, torch.Tensor):
        return fingerprint([list(value.shape), value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy()])
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: fingerprint(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): fingerprint(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [fingerprint(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value) if isinstance(value, Path) else repr(value)


def weights_of(owner: Any) -> Any:
    """What a detector or parser computes with: its network, the stamp of the file that OpenCV reads, or None."""
    net = getattr(owner, "net", None)
    return net if net is None or isinstance(net, torch.nn.Module) else file_stamp(owner.path)


def file_stamp(path: Path) -> dict[str, Any]:
    """A file's name, size and date: another file, or a changed one, has another stamp."""
    status = path.stat()
    return {"name": path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
