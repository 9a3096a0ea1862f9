"""What stays in a workflow although it has to do with faces: by name, and why."""

import re
from collections.abc import Collection, Iterator, Mapping

from .workflow_graph import NEW, OLD, Graph, Node, Wire

PASSING = {"Reroute", "Reroute (rgthree)", "SetNode", "GetNode"}  # these take the type of what they pass on
# What a type's name says, and why such a node is left; the first that fits.
OTHERS = (
    (r"^ReActor.*Swap", "swaps faces, which our nodes do not do, and is left as it is"),
    (r"^ReActor", "has no equivalent and is left as it is"),
    (r"(Face|MaskDetailer|DetailerForEach).*Detailer|^(FaceDetailer|DetailerForEach)",
     "draws faces anew by diffusion, which is no restoration, and is left as it is"),
    (r"face.?swap|(^|[^a-z])roop|face.?fusion|inswapper|face.?shifter",
     "swaps faces, which our nodes do not do, and is left as it is; restore its result with CodeFormer Restore Faces"),
    (r"face.?restor|codeformer|gfpgan|gpen|restoreformer|face.?enhanc",
     "is of a pack that is not known here, and is left as it is; CodeFormer Restore Faces may do the same"),
)  # fmt: skip


def left(graph: Graph, passing: set[str], done: Collection[Node], kept: Mapping[Node, str]) -> Iterator[str]:
    """A line for each node that stays and restores or makes faces, or that takes what is ours now.

    `done` are the nodes that were migrated, `kept` those that restore with another network, and its name.
    """
    loaders = {node.id for node in graph.nodes.values() if node.was == "FaceRestoreModelLoader"}
    for node in graph.nodes.values():
        if node.was or node.near or not node.type or node in done:
            continue
        if node in kept:
            why = f"restores with {kept[node]!r}, which is no CodeFormer, and is left as it is"
            yield line(graph, node, f"{why}; --replace-gfpgan uses the bundled CodeFormer instead")
        elif node.type not in passing and (why := reason_to_stay(node.type)):
            yield line(graph, node, why)
        sources = {wire.node for wire in node.inputs.values() if isinstance(wire, Wire)}
        for loader in sorted(sources & loaders, key=str) if node.type not in passing else ():
            yield line(graph, node, f"takes the model of node {loader}, which is one for our nodes now")


def reason_to_stay(type: str) -> str | None:
    """Why a node that has to do with faces is not migrated; None for ours, and for those that have not."""
    if type in NEW or type.startswith("CodeFormer") or (type in OLD and not type.startswith("ReActor")):
        return None
    return next((why for pattern, why in OTHERS if re.search(pattern, type, re.IGNORECASE)), None)


def line(graph: Graph, node: Node, text: str) -> str:
    """One thing to say about a node."""
    where = f"subgraph {graph.name!r}, " if graph.name else ""
    return f"{where}node {node.id} ({node.was or node.type}): {text}"
