import errno
import hashlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from codeformer_core.weights import download
from codeformer_core.weights.download import (
    PUBLISHED,
    DownloadError,
    LicenseNotAccepted,
    PublishedFile,
    fetch_published,
)

BODY = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


def send(handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, promised: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if promised is None else promised))
    handler.end_headers()
    handler.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Counts the requests, and answers the n-th with the n-th reply (the last one from then on)."""

    replies: list[Callable[[BaseHTTPRequestHandler], None]]
    requests: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/releases/weights.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        reply = self.server.replies[min(self.server.requests, len(self.server.replies) - 1)]
        self.server.requests += 1
        reply(self)

    def log_message(self, format: str, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("CODEFORMER_HOME", "CODEFORMER_OFFLINE", "CODEFORMER_ACCEPT_LICENSE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS", (0.0, 0.0))
    with Server(("127.0.0.1", 0), Handler) as server:
        server.replies = [lambda handler: send(handler, BODY)]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server: Server) -> PublishedFile:
    return PublishedFile(
        name="test",
        url=server.url,
        size=len(BODY),
        sha256=SHA256,
        kind="restoration",
        license="MIT",
        license_url="https://example.org/licence",
        credit="nobody",
    )


def visible(folder: Path) -> set[str]:
    """What a user sees in the folder: all but the hidden lock file."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_fetches_once_and_then_needs_no_network(server: Server, file: PublishedFile, tmp_path: Path):
    path = fetch_published(file, directory=tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "weights.pth"
    assert path.read_bytes() == BODY
    assert visible(path.parent) == {"weights.pth", "weights.pth.sha256"}
    assert (path.parent / "weights.pth.sha256").read_text() == f"{SHA256}  weights.pth\n"
    assert fetch_published(file, directory=path.parent, offline=True) == path
    assert fetch_published(file, directory=path.parent) == path
    assert server.requests == 1


def test_progress_is_told_and_may_stop_it(file: PublishedFile, tmp_path: Path):
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_published(file, directory=tmp_path, on_progress=stop)
    ((done, total),) = told
    assert 0 < done <= total == len(BODY)
    assert visible(tmp_path) == set()
    fetch_published(file, directory=tmp_path, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(BODY), len(BODY))


def test_home_folder_comes_from_the_environment(file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path))
    assert fetch_published(file) == tmp_path / "weights.pth"


def test_file_put_there_by_hand_is_used_and_hashed_once(
    server: Server, file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hashed = []
    monkeypatch.setattr(download, "_sha256", lambda path: hashed.append(path) or SHA256)
    (tmp_path / "weights.pth").write_bytes(BODY)
    locked = replace(file, license="S-Lab-1.0")  # whoever has the file has seen its licence
    for _ in range(3):
        fetch_published(locked, directory=tmp_path)
    assert len(hashed) == 1
    assert server.requests == 0


@pytest.mark.parametrize("damaged", [BODY[:-1], bytes(len(BODY))], ids=["truncated", "same size"])
def test_damaged_file_is_fetched_again(server: Server, file: PublishedFile, tmp_path: Path, damaged: bytes):
    path = fetch_published(file, directory=tmp_path)
    moved = tmp_path / "moved"
    moved.write_bytes(damaged)
    os.utime(moved, (0, 0))  # an old date, as after cp -p
    time.sleep(0.02)
    moved.replace(path)
    with pytest.raises(FileNotFoundError, match="instead of"):
        fetch_published(file, directory=tmp_path, offline=True)
    assert fetch_published(file, directory=tmp_path).read_bytes() == BODY
    assert server.requests == 2


def test_cut_connection_is_tried_again(server: Server, file: PublishedFile, tmp_path: Path):
    server.replies.insert(0, lambda handler: send(handler, BODY[:1000], promised=len(BODY)))
    assert fetch_published(file, directory=tmp_path).read_bytes() == BODY
    assert server.requests == 2


@pytest.mark.parametrize("known", [True, False])
def test_connection_that_is_always_cut_leaves_nothing_and_starts_afresh(
    server: Server, file: PublishedFile, tmp_path: Path, known: bool
):
    file = file if known else replace(file, size=None, sha256=None)
    good = server.replies.pop()
    server.replies.append(lambda handler: send(handler, BODY[:1000], promised=len(BODY)))
    with pytest.raises(DownloadError, match="by hand") as error:
        fetch_published(file, directory=tmp_path)
    assert server.url in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert server.requests == 3
    assert visible(tmp_path) == set()
    server.replies = [good]
    assert fetch_published(file, directory=tmp_path).read_bytes() == BODY


def test_cut_that_the_http_library_does_not_notice(
    server: Server, file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import urllib3

    original = urllib3.HTTPResponse.__init__  # urllib3 1.26 as requests uses it
    monkeypatch.setattr(
        urllib3.HTTPResponse,
        "__init__",
        lambda self, *args, **kwargs: original(self, *args, **(kwargs | {"enforce_content_length": False})),
    )
    server.replies = [lambda handler: send(handler, BODY[:1000], promised=len(BODY))]
    with pytest.raises(DownloadError, match=f"cut after 1000 of {len(BODY)} bytes"):
        fetch_published(replace(file, size=None, sha256=None), directory=tmp_path)
    assert visible(tmp_path) == set()


def test_part_of_a_killed_process_is_written_over(file: PublishedFile, tmp_path: Path):
    (tmp_path / "weights.pth.part").write_bytes(BODY * 2)
    assert fetch_published(file, directory=tmp_path).read_bytes() == BODY
    assert visible(tmp_path) == {"weights.pth", "weights.pth.sha256"}


def test_wrong_bytes_are_deleted(server: Server, file: PublishedFile, tmp_path: Path):
    wrong = bytes(len(BODY))
    server.replies = [lambda handler: send(handler, wrong)]
    with pytest.raises(DownloadError) as error:
        fetch_published(file, directory=tmp_path)
    assert SHA256 in str(error.value)
    assert hashlib.sha256(wrong).hexdigest() in str(error.value)
    assert visible(tmp_path) == set()


def test_wrong_length_is_refused_before_the_first_byte(server: Server, file: PublishedFile, tmp_path: Path):
    server.replies = [lambda handler: send(handler, b"<html>please log in</html>")]
    with pytest.raises(DownloadError, match=f"offers 26 bytes instead of {len(BODY)}"):
        fetch_published(file, directory=tmp_path)
    assert server.requests == 1
    assert visible(tmp_path) == set()


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (503, 3)])
def test_http_errors(server: Server, file: PublishedFile, tmp_path: Path, status: int, tries: int):
    server.replies = [lambda handler: send(handler, b"sorry", status=status)]
    with pytest.raises(DownloadError, match=f"HTTP {status}") as error:
        fetch_published(file, directory=tmp_path)
    assert server.url in str(error.value)
    assert "\n" not in str(error.value)
    assert server.requests == tries
    assert visible(tmp_path) == set()


def test_silent_server(server: Server, file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(download, "WAITS", ())
    server.replies = [lambda handler: time.sleep(0.5)]
    with pytest.raises(DownloadError, match="Timeout"):
        fetch_published(file, directory=tmp_path)
    assert visible(tmp_path) == set()


def test_no_such_host(file: PublishedFile, tmp_path: Path):
    with pytest.raises(DownloadError, match=r"no-such-host\.invalid") as error:
        fetch_published(replace(file, url="http://no-such-host.invalid/weights.pth"), directory=tmp_path)
    assert "\n" not in str(error.value)
    assert visible(tmp_path) == set()


def test_disk_too_small(file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match=f"1000 bytes free and weights.pth needs {len(BODY)}") as error:
        fetch_published(file, directory=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert visible(tmp_path) == set()


def test_disk_that_fills_up_while_writing(file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write_half(_downloader, _url, output, _pooch) -> None:
        output.write(BODY[: len(BODY) // 2])
        output.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("pooch.HTTPDownloader.__call__", write_half)
        with pytest.raises(DownloadError, match="No space left") as error:
            fetch_published(file, directory=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert f"{len(BODY)} bytes" in str(error.value)
    assert visible(tmp_path) == set()
    assert fetch_published(file, directory=tmp_path).read_bytes() == BODY


def test_folder_that_cannot_be_made(file: PublishedFile, tmp_path: Path):
    (tmp_path / "taken").touch()
    with pytest.raises(DownloadError, match=r"taken.*CODEFORMER_HOME"):
        fetch_published(file, directory=tmp_path / "taken" / "folder")


FETCH = """
import sys
from codeformer_core.weights import download
unwanted = {"pooch", "requests", "urllib3", "filelock", "tqdm", "torch"} & set(sys.modules)
assert not unwanted, unwanted
import pooch, requests, filelock, tqdm
file = download.PublishedFile(
    name="test", url=sys.argv[1], size=int(sys.argv[2]), sha256=sys.argv[3],
    kind="vqgan", license="MIT", license_url="https://example.org", credit="nobody",
)
print("ready", flush=True)
sys.stdin.readline()
print(download.fetch_published(file, directory=sys.argv[4]))
"""


def test_two_processes_fetch_once_and_importing_imports_no_network(server: Server, tmp_path: Path):
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.5)  # without the lock the other process would ask meanwhile
        send(handler, BODY)

    server.replies = [slowly]
    command = [sys.executable, "-c", FETCH, server.url, str(len(BODY)), SHA256, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=30)[0].strip())
    assert outputs == [str(tmp_path / "weights.pth")] * 2
    assert server.requests == 1
    assert (tmp_path / "weights.pth").read_bytes() == BODY
    assert visible(tmp_path) == {"weights.pth", "weights.pth.sha256"}


def test_licence_is_shown_before_the_first_byte(server: Server, file: PublishedFile, tmp_path: Path):
    with pytest.raises(LicenseNotAccepted, match="--accept-license or CODEFORMER_ACCEPT_LICENSE=1") as error:
        fetch_published(replace(file, license="S-Lab-1.0"), directory=tmp_path / "new")
    for part in ("weights.pth", "S-Lab-1.0", file.license_url):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert server.requests == 0
    assert not (tmp_path / "new").exists()


def test_licence_is_accepted_by_the_flag(file: PublishedFile, tmp_path: Path):
    assert fetch_published(replace(file, license="S-Lab-1.0"), directory=tmp_path, accept_license=True).exists()


@pytest.mark.parametrize(("value", "accepted"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_licence_is_accepted_by_the_environment(
    file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, accepted: bool
):
    monkeypatch.setenv("CODEFORMER_ACCEPT_LICENSE", value)
    file = replace(file, license="S-Lab-1.0")
    if accepted:
        assert fetch_published(file, directory=tmp_path).exists()
    else:
        with pytest.raises(LicenseNotAccepted):
            fetch_published(file, directory=tmp_path)


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline(
    server: Server, file: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_environment: bool
):
    if by_environment:
        monkeypatch.setenv("CODEFORMER_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="by hand") as error:
        fetch_published(file, directory=tmp_path, offline=not by_environment)
    for part in ("weights.pth", server.url, str(tmp_path)):
        assert part in str(error.value)
    assert server.requests == 0
    assert visible(tmp_path) == set()


def test_unknown_sha256_is_reported_and_remembered(
    server: Server, file: PublishedFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = replace(file, size=None, sha256=None)
    with caplog.at_level(logging.WARNING):
        path = fetch_published(file, directory=tmp_path)
    assert SHA256 in caplog.text
    path.unlink()
    server.replies = [lambda handler: send(handler, b"other bytes")]
    with pytest.raises(DownloadError, match=f"instead of {SHA256}.*delete {re.escape(str(path))}"):
        fetch_published(file, directory=tmp_path)
    (tmp_path / "weights.pth.sha256").unlink()
    assert fetch_published(file, directory=tmp_path).read_bytes() == b"other bytes"


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'gfpgan'.*official.*bisenet"):
        fetch_published("gfpgan")


def test_published_files():
    assert set(PUBLISHED) == {
        *("official", "inpainting", "colorization", "vqgan", "retinaface_resnet50", "retinaface_mobile0.25"),
        *("parsenet", "bisenet", "realesrgan_x2plus"),
    }
    assert len({file.filename for file in PUBLISHED.values()}) == len(PUBLISHED)
    for name, file in PUBLISHED.items():
        assert name == file.name
        assert file.url.startswith("https://github.com/")
        assert file.filename.endswith(".pth")


@pytest.mark.parametrize("name", ["official", "inpainting", "colorization", "vqgan", "parsenet"])
def test_non_commercial_weights_need_acceptance(server: Server, name: str, tmp_path: Path):
    with pytest.raises(LicenseNotAccepted, match="non-commercial"):
        fetch_published(replace(PUBLISHED[name], url=server.url), directory=tmp_path)
    assert server.requests == 0


@pytest.mark.parametrize(
    "change",
    [{"kind": "network"}, {"size": 0}, {"sha256": "abc"}, {"url": "https://example.org/"}],
    ids=lambda change: next(iter(change)),
)
def test_published_file_is_checked(change: dict):
    with pytest.raises(ValueError, match="wanted"):
        replace(PUBLISHED["official"], **change)
