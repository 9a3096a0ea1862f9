"""A graph of a file in ComfyUI's UI format, its nodes, slots and links, read and brought up to date."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from .workflow_graph import ALWAYS, KINDS, NEW, RETYPED, Graph, Node, NodeId, NodeKind, Wire

LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
FROM_OUTSIDE, TO_OUTSIDE = -10, -20  # ids that stand for the inputs and the outputs of a subgraph
PACK_PROPERTIES = ("cnr_id", "aux_id", "ver")  # they name the pack that a node is from
GAP = 60  # pixels between nodes, one below the other
WIDTH = 320  # of our nodes, px, at least


class UIPart:
    """The main graph of a file in the UI format, or one of its subgraphs."""

    def __init__(self, data: dict[str, Any]):
        self.data = data
        self.is_subgraph = "inputNode" in data
        self.name = str(data.get("name") or data.get("id")) if self.is_subgraph else ""
        self.links = {values[0]: values for values in map(_link_values, list_at(data, "links"))}
        self.nodes: dict[NodeId, dict[str, Any]] = {}
        for raw in objects_at(data, "nodes"):
            id, type = raw.get("id"), raw.get("type")
            if not isinstance(id, int | str) or not isinstance(type, str) or id in self.nodes:
                raise ValueError(f"is a damaged workflow: it has a node of type {type!r} with id {id!r}")
            self.nodes[id] = raw
        self.bottoms: dict[NodeId, float] = {}  # where the column of new nodes below an old one ends

    def last(self, kind: str, ids: Iterable[Any]) -> int:
        """The greatest id of a "node" or "link"."""
        declared = self.data.get(f"last_{kind}_id"), object_at(self.data, "state").get(f"last{kind.title()}Id")
        return max((id for id in (*declared, *ids) if isinstance(id, int)), default=0)

    def declare(self, kind: str, last: int) -> None:
        """Note the greatest id of a "node" or "link" where the file does so."""
        state, key = object_at(self.data, "state"), f"last{kind.title()}Id"
        if key in state:
            state[key] = last
        else:
            self.data[f"last_{kind}_id"] = last

    def read(self) -> dict[NodeId, Node]:
        """All nodes; the outputs of a subgraph count as a node that takes them."""
        nodes = {id: self._read_node(id, raw) for id, raw in self.nodes.items()}
        outside = {
            str(id): Wire(node, slot, id)
            for id, node, slot, target, _, _ in self.links.values()
            if target == TO_OUTSIDE
        }
        if outside:
            nodes[TO_OUTSIDE] = Node(TO_OUTSIDE, "", outside)
        self.before = _links_by_source(nodes.values())
        return nodes

    def _read_node(self, id: NodeId, raw: dict[str, Any]) -> Node:
        kind, values = KINDS.get(raw["type"]), raw.get("widgets_values")
        inputs: dict[str, Any] = {}
        if kind and isinstance(values, dict):
            inputs = dict(values)
        elif kind and isinstance(values, list):
            inputs = dict(zip(widget_names(kind, values), values, strict=True))
        for i, slot in enumerate(objects_at(raw, "inputs")):
            if link := self.links.get(_link_of(slot)):
                inputs[str(slot.get("name") if kind else i)] = Wire(link[1], link[2], link[0])
        return Node(id, raw["type"], inputs, raw.get("mode", ALWAYS))

    def write(self, graph: Graph, link_ids: Iterator[int]) -> None:
        """Put a graph into the data."""
        taken: set[int] = set()
        for node in graph.nodes.values():
            if node.was or node.near:
                self._write_node(node, link_ids, taken)
            elif node.edits:
                _edit(self.nodes[node.id], node)
            for wire in node.inputs.values():
                if isinstance(wire, Wire) and wire.link is not None:
                    self.links[wire.link][1:3] = wire.node, wire.slot
        self.data["nodes"] = [raw for id, raw in self.nodes.items() if id in graph.nodes]
        after = _links_by_source(graph.nodes.values())
        for source in self.before.keys() | after.keys():
            self._write_output(source, self.before.get(source, []), after.get(source, []))
        gone = set(chain.from_iterable(self.before.values())) - set(chain.from_iterable(after.values()))
        self._retype(graph.kept)
        self._write_links(gone)
        self._forget(gone)

    def _write_node(self, node: Node, link_ids: Iterator[int], taken: set[int]) -> None:
        kind = NEW[node.type]
        raw = self.nodes[node.id] if node.was else self._new_node(node)
        raw["type"] = node.type
        width, height = _pair(raw.get("size"))
        raw["size"] = [max(width, WIDTH), max(height, _height(kind))]
        slots = []
        for name in (*kind.sockets, *kind.widgets):
            wire, link, type = node.inputs.get(name), None, kind.sockets.get(name, "*")
            if isinstance(wire, Wire):
                link = next(link_ids) if wire.link is None or wire.link in taken else wire.link
                taken.add(link)
                type = self.links[link][5] if link in self.links else type
                self.links[link] = [link, wire.node, wire.slot, node.id, len(slots), type]
                node.inputs[name] = Wire(wire.node, wire.slot, link)
            if name in kind.sockets:
                slots.append({"name": name, "type": kind.sockets[name], "link": link})
            elif link is not None:
                slots.append({"name": name, "type": type, "widget": {"name": name}, "link": link})
        raw["inputs"] = slots
        old = [list_at(slot, "links") for slot in objects_at(raw, "outputs")[:1]]  # the first output stays the same
        raw["outputs"] = [
            {"name": name, "type": type, "links": old.pop() if old else []} for name, type in kind.outputs.items()
        ]
        own = {key: value for key, value in object_at(raw, "properties").items() if key not in PACK_PROPERTIES}
        raw["properties"] = {**own, "Node name for S&R": node.type}
        values = {name: node.inputs[name] for name in kind.widgets}
        raw["widgets_values"] = [kind.widgets[n] if isinstance(v, Wire) else v for n, v in values.items()]

    def _new_node(self, node: Node) -> dict[str, Any]:
        """A node below the one that it was made for, in its colours, entered into the data."""
        assert node.near
        near, kind = self.nodes[node.near.id], NEW[node.type]
        x, y = _pair(near.get("pos"))
        top = self.bottoms.get(node.near.id, y + _pair(near.get("size"))[1]) + GAP
        self.bottoms[node.near.id] = top + _height(kind)
        raw = {"id": node.id, "type": node.type, "pos": [x, top], "flags": {}}
        raw.update(order=near.get("order", 0), mode=node.mode)
        raw.update({key: near[key] for key in ("color", "bgcolor") if key in near})
        self.nodes[node.id] = raw
        return raw

    def _write_output(self, source: tuple[NodeId, int], before: list[int], after: list[int]) -> None:
        """Bring the links that an output lists from those before to those after."""
        if source[0] == FROM_OUTSIDE:
            slots, key = objects_at(self.data, "inputs"), "linkIds"
        else:
            slots, key = objects_at(self.nodes.get(source[0], {}), "outputs"), "links"
        if set(before) != set(after) and 0 <= source[1] < len(slots):
            slot = slots[source[1]]
            kept = [link for link in list_at(slot, key) if link in after or link not in before]
            slot[key] = [*kept, *(link for link in after if link not in kept)]

    def _write_links(self, gone: set[int]) -> None:
        """Bring the list of links up to date."""
        entries = list_at(self.data, "links")
        as_objects = isinstance(entries[0], dict) if entries else self.is_subgraph
        for i, entry in enumerate(entries):
            values = self.links[_link_values(entry)[0]]
            if values != _link_values(entry):
                entries[i] = {**entry, **dict(zip(LINK_FIELDS, values, strict=True))} if as_objects else values
        listed = {_link_values(entry)[0] for entry in entries}
        new = [values for id, values in self.links.items() if id not in listed]
        entries += [dict(zip(LINK_FIELDS, values, strict=True)) for values in new] if as_objects else new
        if gone or new:
            self.data["links"] = [entry for entry in entries if _link_values(entry)[0] not in gone]

    def _forget(self, gone: set[int]) -> None:
        """Take links that are gone from inputs, from the outputs of a subgraph, and from what shapes their lines."""
        for slot in chain.from_iterable(objects_at(raw, "inputs") for raw in self.nodes.values()):
            if _link_of(slot) in gone:
                slot["link"] = None
        extra = object_at(self.data, "extra")
        named = [objects_at(self.data, "outputs"), objects_at(self.data, "reroutes"), objects_at(extra, "reroutes")]
        for holder in chain.from_iterable(named):
            if any(link in list_at(holder, "linkIds") for link in gone):
                holder["linkIds"] = [link for link in holder["linkIds"] if link not in gone]
        if any(extension.get("id") in gone for extension in objects_at(extra, "linkExtensions")):
            extra["linkExtensions"] = [e for e in extra["linkExtensions"] if e.get("id") not in gone]

    def _retype(self, kept: set[tuple[NodeId, int]]) -> None:
        """Give the old packs' links, and slots that they pass through, our types, but for those of `kept` outputs."""
        links = {id for id, values in self.links.items() if (values[1], values[2]) in kept}
        places = [(id, raw) for id, raw in self.nodes.items()]
        if self.is_subgraph:
            places += [
                (FROM_OUTSIDE, {"outputs": self.data.get("inputs")}),
                (TO_OUTSIDE, {"inputs": self.data.get("outputs")}),
            ]
        for id, raw in places:
            outputs = [slot for i, slot in enumerate(objects_at(raw, "outputs")) if (id, i) not in kept]
            for slot in (*outputs, *(slot for slot in objects_at(raw, "inputs") if _link_of(slot) not in links)):
                if isinstance(slot.get("type"), str) and slot["type"] in RETYPED:  # a list of choices in old files
                    slot["type"] = RETYPED[slot["type"]]
        for values in self.links.values():
            if isinstance(values[5], str) and values[0] not in links:
                values[5] = RETYPED.get(values[5], values[5])


def widget_names(kind: NodeKind, values: list[Any]) -> list[str]:
    """Which widget each of a node's values is of: all in order, or of fewer those whose type fits."""
    names = list(kind.widgets)
    if len(values) < len(names):  # of an older version, or written by hand
        fitting: list[str] = []
        rest = iter(names)
        for value in values:
            name = next((name for name in rest if _fits(value, kind.widgets[name])), None)
            if name is None:
                break
            fitting.append(name)
        if len(fitting) == len(values):
            return fitting
    return [*names[: len(values)], *(f"widget {i}" for i in range(len(names), len(values)))]


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the type that a widget takes: text, a switch or a number."""
    if isinstance(default, str | bool | None) or isinstance(value, bool):
        return isinstance(value, bool if isinstance(default, bool) else str)
    return isinstance(value, int | float)


def _edit(raw: dict[str, Any], node: Node) -> None:
    """Enter a node's edits among its widgets' values."""
    values = raw.get("widgets_values")
    if isinstance(values, dict):
        values.update(node.edits)
    elif isinstance(values, list):
        names = widget_names(KINDS[node.type], values)
        raw["widgets_values"] = [node.edits.get(name, value) for name, value in zip(names, values, strict=True)]


def _height(kind: NodeKind) -> int:
    """About what a node takes on the page, px."""
    return 20 + 24 * (max(len(kind.sockets), len(kind.outputs)) + len(kind.widgets))


def _links_by_source(nodes: Iterable[Node]) -> dict[tuple[NodeId, int], list[int]]:
    """The ids of the links that start at each output."""
    found = defaultdict(list)
    for wire in chain.from_iterable(node.inputs.values() for node in nodes):
        if isinstance(wire, Wire) and wire.link is not None:
            found[wire.node, wire.slot].append(wire.link)
    return dict(found)


def _link_values(entry: Any) -> list[Any]:
    """A link's id, origin, its slot, target, its slot, and type."""
    values = [entry.get(name) for name in LINK_FIELDS] if isinstance(entry, dict) else entry
    if isinstance(values, list) and len(values) == len(LINK_FIELDS):
        link, node, slot, target, *_ = values
        if isinstance(link, int) and isinstance(slot, int) and all(isinstance(id, int | str) for id in (node, target)):
            return list(values)
    raise ValueError(f"is a damaged workflow: {entry!r} is no link")


def _link_of(slot: dict[str, Any]) -> int | None:
    link = slot.get("link")
    return link if isinstance(link, int) else None


def _pair(value: Any) -> tuple[float, float]:
    """A place or size: two numbers in a list, or under "0" and "1"."""
    both: Any = [value.get("0"), value.get("1")] if isinstance(value, dict) else value
    if isinstance(both, list) and len(both) == 2 and all(isinstance(number, int | float) for number in both):
        return both[0], both[1]
    return 0, 0


def object_at(data: dict[str, Any], key: str) -> dict[str, Any]:
    """The object that `key` holds, if any."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def list_at(data: dict[str, Any], key: str) -> list[Any]:
    """The list that `key` holds, if any."""
    found = data.get(key)
    return found if isinstance(found, list) else []


def objects_at(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list that `key` holds."""
    return [item for item in list_at(data, key) if isinstance(item, dict)]
