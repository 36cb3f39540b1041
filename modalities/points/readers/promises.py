"""What a mesh file promises: that all of it is there, and that it does not grow into far more than the file holds."""

from __future__ import annotations

import json
import re
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

FACES_LIMIT = 2**22
"""Faces or points of a scene whose file does not hold them one by one."""
COPIES_LIMIT = 4
"""How often a .glb file may be copied into its buffers; one beyond ``BUFFERS`` bytes is refused."""
BUFFERS = 2**26
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
STRIP_MODES = (5, 6)
STL_WORDS = re.compile(rb"[\r\n][ \t]*(endsolid|endfacet|facet)\b")
PLURALS = {"vertex": "vertices", "face": "faces"}


def check_off(data: bytes) -> None:
    """Refuse an .off file with fewer vertices and faces than it promises.

    Raises:
        ValueError: if it is one.
    """
    lines = [line.partition("#")[0].strip() for line in data.decode("latin-1").partition("OFF")[2].splitlines()]
    lines = [line for line in lines if line]
    vertices, faces = (int(word) for word in lines[0].split()[:2])
    _compare("vertices", vertices, len(lines) - 1)
    _compare("faces", faces, len(lines) - 1 - vertices)
    if faces:
        words = lines[vertices + faces].split()
        _compare("corners of the last face", int(words[0]), len(words) - 1)


def check_ply(data: bytes) -> int:
    """Refuse a .ply file in text with fewer vertices, faces and so on than it promises; others say so by their size.

    Returns:
        The number of faces that it promises.

    Raises:
        ValueError: if it is one.
    """
    head, end, body = data.partition(b"end_header")
    lines = [line.split() for line in head.decode("latin-1").splitlines()]
    elements = [(words[1], int(words[2])) for words in lines if len(words) == 3 and words[0] == "element"]
    if end and any([word.lower() for word in words[:2]] == ["format", "ascii"] for words in lines):
        rows = body.decode("latin-1").split("\n", 1)[-1].splitlines()
        while rows and not rows[-1].strip():
            rows.pop()
        start = 0
        for name, count in elements:
            _compare(PLURALS.get(name, name), count, len(rows) - start)
            start += count
        if elements and start:
            _check_row(rows[start - 1].split(), lines)
    return dict(elements).get("face", 0)


def check_stl(data: bytes) -> None:
    """Refuse an .stl file in text that ends within a solid; others say so by their size.

    Raises:
        ValueError: if it is one.
    """
    text = data.strip().lower() if b"\0" not in data[:1000] else b""
    last = deque(STL_WORDS.finditer(text), maxlen=1)
    if text.startswith(b"solid") and last and last[0][1] != b"endsolid":
        raise ValueError("it ends within a solid")


def check_glb(data: bytes) -> None:
    """Refuse a .glb file whose parts use its few numbers again and again.

    Raises:
        ValueError: if it is one.
    """
    (length,) = struct.unpack("<I", data[12:16])
    found = json.loads(data[20 : 20 + length])
    accessors = found.get("accessors", [])
    if any(one["count"] < 0 for one in accessors):
        raise ValueError("it has an accessor of a negative length")
    views = sum(view["byteLength"] for view in found.get("bufferViews", []))
    taken = sum(one["count"] * COMPONENTS[one["type"]] * COMPONENT_BYTES[one["componentType"]] for one in accessors)
    most = max(BUFFERS, COPIES_LIMIT * len(data))
    if max(views, taken) > most:
        raise ValueError(f"its buffers take {max(views, taken):,} bytes, more than {most:,} for a file of its size")
    sizes = [sum(_size(part, accessors) for part in mesh["primitives"]) for mesh in found.get("meshes", [])]
    nodes, roots = found.get("nodes", []), [scene.get("nodes", []) for scene in found.get("scenes", [])]
    places = {(-1 - number, child) for number, scene in enumerate(roots) for child in scene}
    places |= {(number, child) for number, node in enumerate(nodes) for child in node.get("children", [])}
    shown = sum(sizes[nodes[child]["mesh"]] for _, child in places if "mesh" in nodes[child])
    size, most = max(shown, sum(sizes)), max(FACES_LIMIT, len(data) // 3)
    if size > most:
        raise ValueError(f"its parts repeat to {size:,} faces or points, more than {most:,} for a file of its size")


def _size(part: dict[str, Any], accessors: Sequence[dict[str, Any]]) -> int:
    """Faces or points of a part of a mesh, whichever are more."""
    points = int(accessors[part["attributes"]["POSITION"]]["count"])
    corners = int(accessors[part["indices"]]["count"]) if "indices" in part else points
    return max(points, corners if part.get("mode") in STRIP_MODES else corners // 3)


def _check_row(words: Sequence[str], head: Sequence[Sequence[str]]) -> None:
    """Whether the last row of a .ply file has an entry for each property of its element."""
    kinds: list[bool] = []
    empty = False
    for line in head:
        if line[:1] == ["element"]:
            empty = line[2:] == ["0"]
            kinds = kinds if empty else []
        if line[:1] == ["property"] and not empty:
            kinds.append(line[1] == "list")
    needed = 0
    for is_list in kinds:
        needed += 1 + (int(words[needed]) if is_list and needed < len(words) else 0)
    _compare("entries of the last row", needed, len(words))


def _compare(what: str, promised: int, found: int) -> None:
    if promised > max(found, 0):
        raise ValueError(f"it promises {promised} {what} and has {max(found, 0)}")
