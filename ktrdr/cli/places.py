"""Where operations run, on the screen: the places of a machine, the machines of a cluster, and emptying them."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]
SIZES = ("cpus", "cpus_free", "gpus", "gpus_free")


def table(found: JSON) -> tuple[list[str], list[list[object]]]:
    """Headings and rows of where operations run: on a cluster by machine, else by place."""
    if found["engine"] == "local":
        gpu = ["gpu"] if any(row.get("gpu") for row in found["workers"]) else []
        names = ["worker", "profile", "status", *gpu, "operation_id"]
        return [name.removesuffix("_id").upper() for name in names], [[row.get(name) for name in names] for row in found["workers"]]
    busy = [row for row in found["workers"] if row["operation_id"]]
    names = [node["name"] for node in found["nodes"]]
    rows: list[list[object]] = []
    for node in found["nodes"]:
        state = "draining" if node["draining"] else "ready"
        head = [node["name"], node["address"], state, *(node[what] for what in SIZES)]
        here = [row for row in busy if row["node"] == node["name"]]
        rows += [[*head, row["gpu"], row["operation_id"]] for row in here] or [[*head, None, None]]
    elsewhere = [row for row in busy if row["node"] not in names]
    rows += [
        [row["node"], None, "silent" if row["node"] else "starting", *[None] * len(SIZES), row["gpu"], row["operation_id"]]
        for row in elsewhere
    ]
    return ["NODE", "ADDRESS", "STATUS", *(what.replace("_", " ").upper() for what in SIZES), "GPU", "OPERATION"], rows


def engine_line(found: JSON) -> str:
    """Where operations run, in a line."""
    if found["engine"] == "local":
        return "local, draining: ktrdr drain --undo ends that" if found["draining"] else "local"
    nodes = found["nodes"]
    shut = ", ".join(node["name"] for node in nodes if node["draining"])
    draining = ["all draining"] if found["draining"] else [f"draining: {shut}"] if shut else []
    return ", ".join([found["engine"], f"dispatcher {found['dispatcher']}", f"{len(nodes)} node{'s' * (len(nodes) != 1)}", *draining])


def drained(found: JSON) -> list[str]:
    """What a drain, or its end, met."""
    nodes = [f"  Nodes: {', '.join(found['nodes'])}"] if found["nodes"] else []
    if not found["draining"]:
        return ["Operations are taken again", *nodes]
    late = [each for each in found["told"] if each not in found["left"]]
    lines = [f"  Back in the queue: {each}" for each in found["left"]] + [f"  Asked to leave:    {each}" for each in late]
    return ["Nothing new is taken", *nodes, *lines, *(["ktrdr workers shows when they have left"] if late else [])]
