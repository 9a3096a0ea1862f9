import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_both_packages_with_their_rooms_and_nothing_else(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    # From a copy, since the build writes beside what it reads.
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "nodes", "codeformer_core", "training"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for package in ("codeformer_core", "training") for path in (ROOT / package).rglob("*")]
    wanted = {path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".py" or "assets" in path.parts}
    assert held == wanted - {"codeformer_core/assets"}
