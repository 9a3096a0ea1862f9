import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import codeformer_core

CORE = Path(codeformer_core.__file__).parent
MODULES = sorted(CORE.glob("*.py"))

IMPORT_ALL = """
import json, pkgutil, sys
from importlib import import_module
import codeformer_core
first = sorted(sys.modules)
for module in pkgutil.iter_modules(codeformer_core.__path__):
    if module.name != "__main__":
        import_module(f"codeformer_core.{module.name}")
print(json.dumps([first, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def imported() -> list[set[str]]:
    """What a fresh Python has loaded after `import codeformer_core`, and after all its modules."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, cwd=CORE.parent
    )
    return [{name.split(".")[0] for name in names} for names in json.loads(run.stdout)]  # so nothing else was printed


def test_the_package_itself_loads_nothing_heavy(imported):
    assert not imported[0] & {"torch", "cv2", "numpy", "facexlib", "torchvision", "PIL", "pooch"}


def test_the_core_never_loads_comfy_nodes_or_training(imported):
    assert "torch" in imported[1]
    assert not imported[1] & {"comfy", "comfy_api", "folder_paths", "nodes", "training"}


def test_facexlib_and_torchvision_are_loaded_only_when_needed(imported):
    assert not imported[1] & {"facexlib", "torchvision"}


def imports(path: Path) -> set[str]:
    """The top-level packages that a module names in imports, also in `import_module("...")` and its like."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return {name.split(".")[0] for name in found}


def test_one_module_names_facexlib_and_torchvision():
    naming = {path.name for path in MODULES if imports(path) & {"facexlib", "torchvision"}}
    assert naming == {"facexlib_nets.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_import_downwards_only_and_do_not_print(path):
    assert not imports(path) & {"comfy", "comfy_api", "folder_paths", "nodes", "training"}
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("name", codeformer_core.__all__)
def test_public_names_are_there(name):
    assert getattr(codeformer_core, name).__name__ == name


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        codeformer_core.nonsense  # noqa: B018
