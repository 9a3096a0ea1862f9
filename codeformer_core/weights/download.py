"""Published weights: how a file gets into the cache folder, checked, once its licence is accepted.

Nothing is fetched at import, and the libraries that fetch are imported only when they are needed.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .published import PUBLISHED, PublishedFile

if TYPE_CHECKING:
    from requests import RequestException, Response

logger = logging.getLogger(__name__)

PERMISSIVE = frozenset({"Apache-2.0", "BSD-3-Clause", "MIT"})
TIMEOUT = 30.0  # seconds without a byte
ELSEWHERE = "use another folder (set CODEFORMER_HOME; in ComfyUI extra_model_paths.yaml)"
WAITS = (1.0, 4.0)  # seconds before the second and the third try


class LicenseNotAccepted(PermissionError):
    """The licence of a file restricts its use and has not been accepted."""


class DownloadError(OSError):
    """A published file could not be fetched, checked or written; the message says why, and the remedy."""


def at_home(path: str | Path) -> Path:
    """A path with ~ and ~user filled in; as it is where there is no such user."""
    return Path(os.path.expanduser(path))


def weights_folder() -> Path:
    """CODEFORMER_HOME where it is set, or else this platform's cache folder."""
    if home := os.environ.get("CODEFORMER_HOME"):
        return at_home(home)
    import pooch

    return Path(pooch.os_cache("codeformer"))


def fetch_published(
    name: str | PublishedFile,
    *,
    directory: str | Path | None = None,
    accept_license: bool = False,
    offline: bool = False,
    progress: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The path of a published file, which is downloaded first if it is missing or damaged.

    `name` is a key of `PUBLISHED`, or a file of the caller's own; `directory` defaults to `weights_folder()`.
    `on_progress(bytes so far, bytes in all or 0)` is called as they come, and may raise to stop: nothing stays behind.
    CODEFORMER_ACCEPT_LICENSE=1 and CODEFORMER_OFFLINE=1 do the same as `accept_license` and `offline`.
    A file is hashed once, and the hash kept next to it as sha256sum writes it; later its size and date suffice.
    Raises ValueError (no such name), LicenseNotAccepted, FileNotFoundError (offline) or DownloadError.
    """
    if isinstance(name, str) and name not in PUBLISHED:
        raise ValueError(f"no published weights are called {name!r}: there are {', '.join(PUBLISHED)}")
    file = PUBLISHED[name] if isinstance(name, str) else name
    path = (weights_folder() if directory is None else at_home(directory)) / file.filename
    problem = _problem(path, file)
    if problem is None:
        return path
    if offline or _is_set("CODEFORMER_OFFLINE"):
        raise FileNotFoundError(
            f"{path} {problem}, and downloads are switched off (--offline or CODEFORMER_OFFLINE): fetch {file.url} "
            f"({file.license}, {file.license_url}) by hand and put it into {path.parent}"
        )
    _check_licence(file, accept_license)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            if problem := _problem(path, file):  # another process may have fetched it meanwhile
                logger.info("%s %s: fetching %s", path, problem, file.url)
                _download(file, path, progress, on_progress)
    except DownloadError:
        raise
    except OSError as error:  # full disk, quota, read-only or forbidden folder
        size = "unknown size" if file.size is None else f"{file.size} bytes"
        raise DownloadError(
            f"{path.parent} cannot take {file.filename}, {size} ({error.strerror or error}): free space there and "
            f"allow writing, or {ELSEWHERE}"
        ) from error
    return path


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in {"1", "true", "yes", "on"}


def _check_licence(file: PublishedFile, accepted: bool) -> None:
    terms = f"{file.filename} ({file.credit}) is under {file.license}, {file.license_url}"
    if file.license not in PERMISSIVE and not accepted and not _is_set("CODEFORMER_ACCEPT_LICENSE"):
        raise LicenseNotAccepted(
            f"{terms}, which allows non-commercial use only: read it, then accept it with --accept-license "
            "or CODEFORMER_ACCEPT_LICENSE=1"
        )
    logger.info("%s", terms)


def _problem(path: Path, file: PublishedFile) -> str | None:
    """What is wrong with the file in the folder, or None; one that was put there by hand is hashed, once."""
    if not path.is_file():
        return "is not there"
    stat, record = path.stat(), _record(path)
    if file.size not in (None, stat.st_size):
        return f"has {stat.st_size} bytes instead of {file.size}"
    # ctime too: a file that is copied or moved here may keep the date that it had elsewhere
    if record.is_file() and record.stat().st_mtime_ns >= max(stat.st_mtime_ns, stat.st_ctime_ns):
        return None
    expected, sha256 = _expected_sha256(path, file), _sha256(path)
    if expected not in (None, sha256):
        return f"has sha256 {sha256} instead of {expected}"
    _remember(path, sha256, file)
    return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Only one process at a time fetches this file; the system frees the lock of a process that dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s: waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(file: PublishedFile, path: Path, progress: bool, on_progress: Callable[[int, int], None] | None) -> None:
    """Fetch into a .part file, check it, then move it into place; the .part file never outlives this call."""
    import requests

    by_hand = f"try again, or fetch it by hand and put it into {path.parent}"
    part = path.with_name(f"{path.name}.part")
    try:
        for wait in (*WAITS, None):
            try:
                _stream(file, part, progress, on_progress)
                break
            except requests.RequestException as error:
                if wait is None or not _may_pass(error):
                    raise DownloadError(f"{file.url} could not be fetched ({_reason(error)}): {by_hand}") from error
                logger.warning("%s: %s; trying again in %g s", file.url, _reason(error), wait)
                time.sleep(wait)
        expected, sha256 = _expected_sha256(path, file), _sha256(part)
        if expected not in (None, sha256):
            changed = "" if file.sha256 else f"; if the published file has changed, delete {_record(path)}"
            raise DownloadError(
                f"{file.url} gave wrong bytes, sha256 {sha256} instead of {expected}: they were deleted; "
                f"{by_hand}{changed}"
            )
        os.replace(part, path)
        _remember(path, sha256, file)
    finally:
        part.unlink(missing_ok=True)


def _stream(file: PublishedFile, part: Path, progress: bool, on_progress: Callable[[int, int], None] | None) -> None:
    """One try at writing the whole file to `part`; the size and the disk are checked before its first byte."""
    import pooch
    import requests
    from tqdm import tqdm
    from tqdm.utils import CallbackIOWrapper

    length = None

    def check_head(response: "Response", **_) -> None:
        nonlocal length
        if response.status_code != 200:  # a redirect, or an error that pooch raises
            return
        header = response.headers.get("content-length", "")
        length = int(header) if header.isdigit() else None
        size = length or file.size or 0
        bar.total = size or None
        free = shutil.disk_usage(part.parent).free
        if file.size not in (None, size):
            response.close()
            raise DownloadError(
                f"{file.url} offers {size} bytes instead of {file.size}, perhaps a proxy's page: "
                f"fetch it by hand and put it into {part.parent}"
            )
        if size > free:
            response.close()
            raise DownloadError(
                f"{part.parent} has {free} bytes free and {file.filename} needs {size}: "
                f"free space there, or {ELSEWHERE}"
            )

    download = pooch.HTTPDownloader(
        chunk_size=1 << 20,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},  # so that content-length is the size of the file
        hooks={"response": check_head},
    )
    hide = None if progress else True  # None: shown on a terminal only
    with (
        part.open("wb") as stream,
        tqdm(desc=file.filename, unit="B", unit_scale=True, leave=False, disable=hide) as bar,
    ):

        def show(written: int) -> None:
            bar.update(written)
            if on_progress is not None:
                on_progress(stream.tell(), length or file.size or 0)  # the bar does not count where it is hidden

        download(file.url, CallbackIOWrapper(show, stream, "write"), None)
    written = part.stat().st_size
    if not written or length not in (None, written):  # urllib3 before 2.0 does not notice
        raise requests.ConnectionError(f"connection cut after {written} of {length or file.size} bytes")


def _may_pass(error: "RequestException") -> bool:
    return error.response is None or error.response.status_code == 429 or error.response.status_code >= 500


def _reason(error: "RequestException") -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    told = str(error)
    if "NameResolution" in told or "getaddrinfo" in told:
        return "its host cannot be found; is there a network?"
    return " ".join(f"{type(error).__name__}: {told}".split())[:200]


def _sha256(path: Path) -> str:
    import pooch

    return pooch.file_hash(str(path), alg="sha256")


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _expected_sha256(path: Path, file: PublishedFile) -> str | None:
    """The published hash, or where there is none that of the first download."""
    if file.sha256 or not _record(path).is_file():
        return file.sha256
    return _record(path).read_text(encoding="utf-8").partition(" ")[0] or None


def _remember(path: Path, sha256: str, file: PublishedFile) -> None:
    """Record the hash of a checked file; without the record (read-only folder) it is only hashed again next time."""
    if file.sha256 is None:
        logger.warning("%s: nobody has published its sha256 to check against; it is %s", path, sha256)
    try:
        _record(path).write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    except OSError as error:
        logger.info("%s could not be written (%s)", _record(path), error.strerror)
