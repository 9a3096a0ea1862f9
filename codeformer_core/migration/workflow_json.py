"""The files of ComfyUI workflows, read as graphs and written back: the UI format with its subgraphs, the API format."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

from .workflow_graph import Graph, Node, NodeId, Wire
from .workflow_part import FROM_OUTSIDE, UIPart, object_at, objects_at


def read_workflow(data: Any) -> "UIWorkflow | APIWorkflow":
    """A workflow from parsed JSON, which is edited in place. ValueError if it is none."""
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        return UIWorkflow(data)
    if isinstance(data, dict) and any(map(_is_api_node, data.values())):
        return APIWorkflow(data)
    raise ValueError("is no ComfyUI workflow; save one in ComfyUI with Save, Export or Export (API)")


class APIWorkflow:
    """The API format: an object of nodes, each with its class_type and inputs."""

    def __init__(self, data: dict[str, Any]):
        self.data = data
        self.subgraph_types: set[str] = set()
        self.group_nodes: dict[str, list[str]] = {}
        nodes: dict[NodeId, Node] = {
            id: Node(id, entry["class_type"], _api_inputs(entry)) for id, entry in data.items() if _is_api_node(entry)
        }
        numbers = (int(number) for id in data if (number := id.partition(":")[0]).isdecimal())
        self.graphs = [Graph(nodes, map(str, count(max(numbers, default=0) + 1)))]

    def origin(self, graph: Graph, wire: Wire) -> Node | None:
        """The node that a wire comes from, past reroutes; None if there is none."""
        return _trace(graph, wire)

    def promoted(self) -> Iterator[tuple[Graph, list]]:
        """Nothing: this format has no widgets outside their nodes."""
        return iter(())

    def write(self) -> dict[str, Any]:
        """The file as it is now; what has not changed in it is as it was."""
        nodes = self.graphs[0].nodes
        for id in [id for id, entry in self.data.items() if _is_api_node(entry) and id not in nodes]:
            del self.data[id]
        for id, node in nodes.items():
            entry = self.data.setdefault(str(id), {"inputs": {}})
            entry["class_type"] = node.type
            if node.inputs != _api_inputs(entry):
                written = {n: [v.node, v.slot] if isinstance(v, Wire) else v for n, v in node.inputs.items()}
                entry["inputs"] = written
        return self.data


def _trace(graph: Graph, wire: Wire) -> Node | None:
    for _ in range(len(graph.nodes)):
        node = graph.nodes.get(wire.node)
        through = [value for value in node.inputs.values() if isinstance(value, Wire)] if node else []
        if node is None or not node.type.startswith("Reroute") or not through:
            return node
        wire = through[0]
    return None


def _is_api_node(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("class_type"), str)


def _api_inputs(entry: dict[str, Any]) -> dict[str, Any]:
    inputs = {}
    for name, value in object_at(entry, "inputs").items():
        linked = isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)
        inputs[name] = Wire(str(value[0]), value[1]) if linked else value
    return inputs


class UIWorkflow:
    """The UI format: nodes with places and colours, links with ids, subgraphs."""

    def __init__(self, data: dict[str, Any]):
        self.data = data
        self.parts = [UIPart(part) for part in (data, *objects_at(object_at(data, "definitions"), "subgraphs"))]
        self.last_node = max(part.last("node", part.nodes) for part in self.parts)
        self.last_link = max(part.last("link", part.links) for part in self.parts)
        node_ids = count(self.last_node + 1)  # new ones are new in the whole file
        self.graphs = [Graph(part.read(), node_ids, part.name) for part in self.parts]
        self.subgraph_types = {str(part.data.get("id")) for part in self.parts[1:]}
        groups = object_at(object_at(data, "extra"), "groupNodes")
        self.group_nodes = {  # name to types
            name: [str(node.get("type")) for node in objects_at(object_at(groups, name), "nodes")] for name in groups
        }

    def origin(self, graph: Graph, wire: Wire) -> Node | None:
        """The node that a wire comes from, past reroutes and out of subgraphs; None if it cannot be told."""
        for _ in range(len(self.parts)):
            if wire.node != FROM_OUTSIDE:
                return _trace(graph, wire)
            own = str(self.parts[self.graphs.index(graph)].data.get("id"))
            uses = [(outer, node) for outer in self.graphs for node in outer.nodes.values() if node.type == own]
            outside = uses[0][1].inputs.get(str(wire.slot)) if len(uses) == 1 else None
            if not isinstance(outside, Wire):
                return None
            graph, wire = uses[0][0], outside
        return None

    def promoted(self) -> Iterator[tuple[Graph, list]]:
        """[node id, widget, ...] wherever a widget is shown outside its node, and the graph that holds the node."""
        inside = {str(part.data.get("id")): graph for part, graph in zip(self.parts, self.graphs, strict=True)}
        places = [(self.graphs[0], object_at(object_at(self.data, "extra"), "linearData"), "inputs")]
        for raw in chain.from_iterable(part.nodes.values() for part in self.parts):
            if raw["type"] in inside:
                places.append((inside[raw["type"]], object_at(raw, "properties"), "proxyWidgets"))
        for graph, holder, key in places:
            pairs = holder.get(key)
            for pair in pairs if isinstance(pairs, list) else []:
                if isinstance(pair, list) and len(pair) >= 2:
                    yield graph, pair

    def write(self) -> dict[str, Any]:
        """The file as it is now; what has not changed in it is as it was."""
        link_ids = count(self.last_link + 1)
        for part, graph in zip(self.parts, self.graphs, strict=True):
            part.write(graph, link_ids)
            for kind, ids, last in (("node", part.nodes, self.last_node), ("link", part.links, self.last_link)):
                new = [id for id in ids if isinstance(id, int) and id > last]
                for counting in (part, self.parts[0]) if new else ():
                    counting.declare(kind, max(new))
        return self.data
