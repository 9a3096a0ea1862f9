"""Help pages and labels name exactly the nodes and inputs that the code has, which is read here, not imported."""

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
LABELS = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8"))
    for path in (ROOT / "locales").glob("*/nodeDefs.json")
}
TREES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "nodes").glob("*.py"))}
SHARED: dict[str, Any] = {part.name: part for part in TREES["widgets"].body if isinstance(part, ast.FunctionDef)}


class Socket(NamedTuple):
    name: str  # an input's id, or an output's name on the node
    label: str  # what the node shows
    tooltip: str


class Node(NamedTuple):
    display_name: str
    description: str
    inputs: list[Socket]
    outputs: list[Socket]


def text(expression: Any, names: dict[str, str]) -> str:
    return names[expression.id] if isinstance(expression, ast.Name) else ast.literal_eval(expression)


def constants(tree: ast.Module) -> dict[str, str]:
    """The texts that a module gives a name."""
    given = [part for part in tree.body if isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant)]
    return {ast.unparse(part.targets[0]): ast.literal_eval(part.value) for part in given}


def read_socket(call: Any, names: dict[str, str]) -> Socket:
    """`io.X.Input("id", tooltip=...)`, an output, or a call of a function of widgets.py that gives an input."""
    if getattr(call.func.value, "id", None) == "widgets":
        function = SHARED[call.func.attr]
        given = [*call.args, *function.args.defaults[len(call.args) :]]
        names = {argument.arg: text(value, names) for argument, value in zip(function.args.args, given, strict=True)}
        call = function.body[-1].value
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    name = text(call.args[0], names)
    label = text(keywords["display_name"], names) if "display_name" in keywords else name.replace("_", " ")
    return Socket(label if call.func.attr == "Output" else name, label, text(keywords["tooltip"], names))


def read_nodes() -> dict[str, Node]:
    nodes = {}
    for tree in TREES.values():
        names = constants(tree)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "Schema":
                schema: dict[Any, Any] = {keyword.arg: keyword.value for keyword in call.keywords}
                nodes[text(schema["node_id"], names)] = Node(
                    text(schema["display_name"], names),
                    text(schema["description"], names),
                    [read_socket(socket, names) for socket in schema["inputs"].elts],
                    [read_socket(socket, names) for socket in schema["outputs"].elts],
                )
    return nodes


NODES = read_nodes()


def test_all_nodes_were_read():
    listed = set(re.findall(r"\bCodeFormer\w+", (ROOT / "nodes" / "extension.py").read_text(encoding="utf-8")))
    assert set(NODES) == listed - {"CodeFormerExtension"}


def test_each_node_and_nothing_else_has_a_help_page():
    assert set(PAGES) == set(NODES)


@pytest.mark.parametrize("node_id", NODES)
def test_a_help_page_has_a_row_for_each_input_and_output(node_id):
    title, _, rest = PAGES[node_id].partition("\n")
    assert title == f"# {NODES[node_id].display_name}"
    inputs, outputs = (re.search(rf"## {part}\n(.*?)\n## ", rest, re.DOTALL) for part in ("Inputs", "Outputs"))
    assert inputs
    assert outputs
    rows = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
    assert rows.findall(inputs[1]) == [socket.name for socket in NODES[node_id].inputs]
    assert rows.findall(outputs[1]) == [socket.name for socket in NODES[node_id].outputs]


def test_a_help_page_names_only_workflows_that_there_are():
    there_are = {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")}
    for page in PAGES.values():
        named = re.findall(r"`([a-z]\w+)`", page.partition("## Workflow")[2])
        assert named
        assert set(named) <= there_are


@pytest.mark.parametrize("language", sorted(LABELS))
def test_labels_name_exactly_the_nodes_inputs_and_outputs(language):
    labels = LABELS[language]
    assert set(labels) == set(NODES)
    for node_id, node in NODES.items():
        assert set(labels[node_id]) == {"display_name", "description", "inputs", "outputs"}, node_id
        assert list(labels[node_id]["inputs"]) == [socket.name for socket in node.inputs], node_id
        assert list(labels[node_id]["outputs"]) == [str(i) for i in range(len(node.outputs))], node_id
        for socket in [*labels[node_id]["inputs"].values(), *labels[node_id]["outputs"].values()]:
            assert set(socket) == {"name", "tooltip"}, node_id
            assert all(socket.values()), node_id
    assert not re.search(r"[@|$%]|\{[^\"\s}]", json.dumps(labels, ensure_ascii=False))  # what vue-i18n would interpret


def test_english_labels_are_the_texts_of_the_code():
    for node_id, node in NODES.items():
        assert LABELS["en"][node_id] == {
            "display_name": node.display_name,
            "description": node.description,
            "inputs": {name: {"name": label, "tooltip": tip} for name, label, tip in node.inputs},
            "outputs": {str(i): {"name": out.label, "tooltip": out.tooltip} for i, out in enumerate(node.outputs)},
        }, node_id


def test_what_a_node_shows_can_be_told_apart():
    passed_on = {"image", "faces", "crops", "weights", "video"}  # the same thing comes in and goes out
    for node_id, node in NODES.items():
        inputs, outputs = ([socket.label for socket in some] for some in (node.inputs, node.outputs))
        assert len({*inputs}) == len(inputs), node_id
        assert len({*outputs}) == len(outputs), node_id
        assert {*inputs} & {*outputs} <= passed_on, node_id
