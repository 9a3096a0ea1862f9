"""The inputs of other packs' nodes, taken one by one, and what is said about those that do not fit."""

from collections.abc import Iterator
from typing import Any

from .workflow_graph import BUNDLED_MODEL, OLD, Node, Wire

OTHER_NETWORKS = ("gfpgan", "gpen", "restoreformer")  # in the names of files


def is_other_network(model_name: Any) -> bool:
    """Whether a file's name is that of a face restorer other than CodeFormer."""
    return isinstance(model_name, str) and any(other in model_name.lower() for other in OTHER_NETWORKS)


class OldInputs:
    """The inputs of an old node, to be taken one by one, and notes on those that do not fit."""

    def __init__(self, node: Node):
        self._defaults, self._left, self.notes = OLD[node.type].widgets, dict(node.inputs), []

    def wire(self, name: str) -> Wire | None:
        """What a socket is linked to."""
        return self._left.pop(name) if isinstance(self._left.get(name), Wire) else None

    def peek(self, name: str) -> Any:
        """The value or wire of an input, which is not taken; the default where there is none."""
        return self._left.get(name, self._defaults.get(name))

    def rename(self, name: str, to: str) -> None:
        """Take an input under another name, if that one has none of its own."""
        if name in self._left and to not in self._left:
            self._left[to] = self._left.pop(name)

    def value(self, name: str, *choices: Any) -> Any:
        """The value of a widget; the default where it is linked, or none of the choices if some are given."""
        default = self._defaults.get(name)
        found = self._left.pop(name, default)
        if isinstance(found, Wire):
            self.notes.append(f"the link to {name} has no equivalent and is left out; {name} counts as {default!r}")
        elif choices and found not in choices:
            self.notes.append(f"{name} {found!r} is unknown and counts as {default!r}")
        return default if isinstance(found, Wire) or (choices and found not in choices) else found

    def number(self, name: str, least: float, most: float) -> Any:
        """The value of a widget, or its link."""
        found = self._left.pop(name, self._defaults[name])
        if isinstance(found, Wire) or (isinstance(found, int | float) and least <= found <= most):
            return found
        self.notes.append(f"{name} {found!r} is not between {least} and {most} and counts as {self._defaults[name]!r}")
        return self._defaults[name]

    def switch(self, name: str) -> Any:
        """The value of a widget that is on or off, or its link."""
        return self.wire(name) or self.value(name, False, True)

    def model_name(self, name: str) -> Any:
        """The name of a file for CodeFormerLoadModel, or its link."""
        found = self._left.pop(name, None)
        if isinstance(found, Wire):
            self.notes.append(f"{name} is linked: see to it that it names a CodeFormer checkpoint")
            return found
        known = str(found).lower()
        if not isinstance(found, str) or known.endswith(".onnx") or is_other_network(found):
            self.notes.append(f"{name} {found!r} is no CodeFormer checkpoint; the bundled model is used")
            return BUNDLED_MODEL
        if "codeformer" not in known:
            self.notes.append(f"{name} {found!r} is kept: see to it that it is a CodeFormer checkpoint")
        return found

    def all_notes(self) -> Iterator[str]:
        """The notes, and one on each input that has not been taken."""
        yield from self.notes
        for name, found in self._left.items():
            if isinstance(found, Wire):
                yield f"the link to {name} has no equivalent and is left out"
            elif found != self._defaults.get(name):
                yield f"{name} = {found!r} has no equivalent"

    def ignore(self) -> None:
        """Take all that is left."""
        self._left.clear()
