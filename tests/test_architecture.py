"""Who may import whom: a table of the rooms, and that the code keeps to it."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import codeformer_core

CORE = Path(codeformer_core.__file__).parent
ROOT = CORE.parent
# What each room, or module beside the rooms, may import of its own package. Each row names only rows below it.
ROOMS = {
    "codeformer_core": {
        "__main__": {"command_line"},
        "command_line": {
            *(
                "film",
                "crowd",
                "filling",
                "colouring",
                "restorer",
                "restoration",
                "models",
                "fidelity",
                "detection",
                "pasting",
                "weights",
                "pictures",
                "migration",
                "networks",
            ),
            *("overlap", "whole_files"),
        },
        "film": {
            *("restorer", "restoration", "detection", "pasting", "pictures", "networks"),
            *("batches", "overlap", "whole_files"),
        },
        "crowd": {"restorer", "restoration", "detection", "pasting"},
        "filling": {"restorer", "restoration", "models", "detection", "pasting", "pictures"},
        "colouring": {"restorer", "restoration", "models", "detection", "pasting", "pictures"},
        "restorer": {"restoration", "fidelity", "detection", "pasting", "pictures", "batches", "networks"},
        "inspection": {"pictures", "networks"},
        "restoration": {"fidelity", "detection", "pasting", "networks"},
        "models": {"fidelity", "pasting", "weights", "networks"},
        "fidelity": {"pasting", "networks", "whole_files"},
        "detection": {"weights", "pictures", "facexlib_nets", "networks"},
        "pasting": {"weights", "pictures", "facexlib_nets", "networks"},
        "weights": {"networks", "forking", "whole_files"},
        "pictures": {"whole_files"},
        "migration": {"whole_files"},
        "batches": set(),
        "facexlib_nets": set(),
        "networks": set(),
        "forking": set(),
        "overlap": set(),
        "whole_files": set(),
    },
    "training": {
        "evaluate_variant": {"evaluation", "faces"},
        "refine": {"train", "commands", "export", "stages", "checkpoints", "precision", "presets", "faces"},
        "gate": {"train", "commands", "export", "stages", "checkpoints", "precision", "presets", "faces"},
        "variant": {"train", "commands", "export", "stages", "checkpoints", "precision", "presets", "faces"},
        "tables": {
            *("train", "commands", "evaluate", "evaluation", "export", "checkpoints", "precision", "presets", "faces"),
        },
        "train": {
            *("validation", "export", "curves", "stages", "checkpoints", "averaging", "presets", "faces"),
            *("precision", "watch", "estimate", "commands"),
        },
        "estimate": {"stages", "averaging", "presets"},
        "validation": {"evaluation", "stages", "presets", "faces"},
        "evaluate": {"evaluation", "faces"},
        "calibrate": {"evaluation", "stages", "faces"},
        "prepare": {"faces"},
        "export": {"stages", "checkpoints", "presets"},
        "curves": {"averaging"},
        "evaluation": {"stages", "faces"},
        "stages": {"averaging", "precision", "presets", "draws"},
        "checkpoints": {"presets"},
        "commands": set(),
        "averaging": set(),
        "precision": set(),
        "watch": set(),
        "draws": set(),
        "presets": {"faces"},
        "faces": set(),
    },
    "nodes": {
        "extension": {
            *("load", "find", "crops", "restore", "video", "weights", "inspect", "sweep", "regions", "degrade"),
            *("repair", "replacements", "run"),
        },
        "load": {"widgets", "types", "run"},
        "find": {"widgets", "types", "run"},
        "crops": {"widgets", "types", "run"},
        "restore": {"widgets", "types", "run"},
        "video": {"widgets", "run"},
        "weights": {"widgets", "types", "run"},
        "inspect": {"widgets", "run"},
        "sweep": {"widgets", "types", "run"},
        "regions": {"widgets", "types", "run"},
        "degrade": {"widgets", "types", "run"},
        "repair": {"widgets", "types", "run"},
        "replacements": set(),
        "widgets": {"types", "run"},
        "types": set(),
        "run": set(),
    },
}
NEIGHBOURS = {"codeformer_core": set(), "training": {"codeformer_core"}, "nodes": {"codeformer_core"}}  # packages
MODULES = [path for package in ROOMS for path in sorted((ROOT / package).rglob("*.py"))]

IMPORT_ALL = """
import json, pkgutil, sys
from importlib import import_module
import codeformer_core
first = sorted(sys.modules)
for module in pkgutil.walk_packages(codeformer_core.__path__, "codeformer_core."):
    if not module.name.endswith("__main__"):
        import_module(module.name)
print(json.dumps([first, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def imported() -> list[set[str]]:
    """What a fresh Python has loaded after `import codeformer_core`, and after all its modules."""
    run = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, cwd=ROOT)
    return [{name.split(".")[0] for name in names} for names in json.loads(run.stdout)]  # so nothing else was printed


def test_the_package_itself_loads_nothing_heavy(imported):
    assert not imported[0] & {"torch", "cv2", "numpy", "facexlib", "torchvision", "PIL", "pooch"}


def test_the_core_never_loads_comfy_nodes_or_training(imported):
    assert "torch" in imported[1]
    assert not imported[1] & {"comfy", "comfy_api", "folder_paths", "nodes", "training"}


def test_facexlib_and_torchvision_are_loaded_only_when_needed(imported):
    assert not imported[1] & {"facexlib", "torchvision"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The absolute names of what a module imports, late imports and `import_module("...")` included."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")]
            yield from found or [base]
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def climbs(path: Path) -> list[str]:
    """The imports that go where the tables do not let them, a line each."""
    package, *rest = module_name(path).split(".")
    if not rest:  # the package itself names what lives in the rooms
        return []
    allowed, wrong = ROOMS[package][rest[0]], []
    for name in imports(path):
        top, *inside = name.split(".")
        if top == package:
            if inside and inside[0] != rest[0] and inside[0] not in allowed:
                wrong.append(f"{module_name(path)} imports {name}: {rest[0]} may import {sorted(allowed) or 'nothing'}")
        elif top in ROOMS and top not in NEIGHBOURS[package]:
            wrong.append(f"{module_name(path)} imports {name}: no arrow leads from {package} to {top}")
        elif top in ("comfy", "comfy_api", "folder_paths") and package != "nodes":
            wrong.append(f"{module_name(path)} imports {name}: only nodes may know ComfyUI")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_downwards_only(path):
    assert not (wrong := climbs(path)), "\n".join(wrong)


@pytest.mark.parametrize("package", ROOMS)
def test_the_table_of_rooms_is_whole_and_has_no_circles(package):
    there = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" and path.stem != "__init__"}
    there |= {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert set(ROOMS[package]) == there
    below: set[str] = set()
    for room, allowed in reversed(ROOMS[package].items()):
        assert allowed <= below, f"{room} may import {sorted(allowed - below)}, which stand above it"
        below.add(room)


@pytest.mark.parametrize("package", ROOMS)
def test_modules_of_a_room_import_each_other_without_circles(package):
    graph = {module_name(path): set(imports(path)) for path in MODULES if module_name(path).startswith(f"{package}.")}
    waiting = {name: wanted & graph.keys() - {name} for name, wanted in graph.items()}
    while free := [name for name, wanted in waiting.items() if not wanted & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting, f"these import each other in a circle: {sorted(waiting)}"


def test_an_arrow_upwards_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    room = tmp_path / "codeformer_core" / "pictures"
    room.mkdir(parents=True)
    (room / "wrong.py").write_text("def late():\n    from ..restorer import FaceRestorer\n    import comfy.utils\n")
    assert [line.partition(":")[0] for line in climbs(room / "wrong.py")] == [
        "codeformer_core.pictures.wrong imports codeformer_core.restorer",
        "codeformer_core.pictures.wrong imports comfy.utils",
    ]


def test_one_module_names_facexlib_and_torchvision():
    core = [path for path in MODULES if path.is_relative_to(CORE)]
    naming = {path.name for path in core if {n.split(".")[0] for n in imports(path)} & {"facexlib", "torchvision"}}
    assert naming == {"facexlib_nets.py"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[-2] != "training"], ids=module_name)
def test_modules_do_not_print(path):
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("name", codeformer_core.__all__)
def test_public_names_are_there(name):
    assert getattr(codeformer_core, name).__name__ == name


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        codeformer_core.nonsense  # noqa: B018
