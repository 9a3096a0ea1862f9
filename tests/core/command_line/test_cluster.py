"""`--ray` with two workers on this machine: the same bytes as without, and nothing done twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codeformer_core.command_line import cluster
from codeformer_core.command_line.cli import main
from codeformer_core.command_line.jobs import Job
from codeformer_core.weights.checkpoint import save_checkpoint


def jobs(*names: str) -> list[Job]:
    return [Job(source=Path("in") / n, relative=Path(n), report=Path("out") / f"{n}.json") for n in names]


def test_parts_keep_results_of_one_name_together_and_films_alone():
    names = [f"{i:03}.{suffix}" for i in range(20) for suffix in ("jpg", "png")] + ["a.mp4", "b.mp4", "b.mov"]
    parts = cluster.share_out(jobs(*names))
    assert sorted(job.source.name for part in parts for job in part) == sorted(names)
    for part in parts:
        films = {job.source.suffix in (".mp4", ".mov") for job in part}
        assert len(films) == 1
        assert len({job.relative.stem for job in part}) == 1 or len(part) <= cluster.PART + 1
    stems = [stem for part in parts for stem in {(job.relative.stem, job.source.suffix[:2]) for job in part}]
    assert len({s for s, _ in stems}) == sum(len({job.relative.stem for job in part}) for part in parts)
    assert cluster.share_out([]) == []


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    assert (
        main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--model", "mini", "-q", "--ray"]) == 2
    )
    assert capsys.readouterr().err == 'codeformer: --ray needs Ray: pip install "comfyui-codeformer[ray]"\n'


@pytest.fixture
def two_workers(monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")  # on a busy machine
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def test_two_workers_give_the_same_bytes_and_go_on(tmp_path, tiny_net, tiny_config, two_workers, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "PART", 1)
    save_checkpoint(tmp_path / "net.safetensors", tiny_net.state_dict(), tiny_config)
    rng = np.random.default_rng(0)
    Path("in").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(60, 200, (64, 64, 3), dtype=np.uint8)).save(f"in/{i}.png")
    Path("in/3.png").write_bytes(b"no picture")
    arguments = ["restore", "in", "--model", "net.safetensors", "--aligned", "--dtype", "float32", "-o"]
    torch.set_num_threads(1)
    assert main([*arguments, "alone", "-q"]) == 2
    assert main([*arguments, "shared", "-q", "--ray"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "in/3.png" in said[0] == said[1]
    for name in ("0.png", "1.png", "2.png", "0.png.json"):
        assert Path("shared", name).read_bytes() == Path("alone", name).read_bytes()
    Path("shared/1.png").unlink()
    Path("in/3.png").unlink()
    times = {name: Path("shared", name).stat().st_mtime_ns for name in ("0.png", "2.png")}
    assert main([*arguments, "shared", "-q", "--ray"]) == 0
    assert Path("shared/1.png").read_bytes() == Path("alone/1.png").read_bytes()
    assert times == {name: Path("shared", name).stat().st_mtime_ns for name in times}
