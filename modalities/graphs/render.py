"""Pictures of graphs."""

from __future__ import annotations

from pathlib import Path

import networkx as nx

from latentgen.tensors import Batch

from .dense import to_networkx

NODE_COLOURS = ("#3b5b92", "#c8553d", "#5b8c5a", "#e0a030", "#7a5195", "#4c9f9b", "#a05d56", "#6b6b6b", "#d45087")
EDGE_COLOURS = ("#9aa5b8", "#9aa5b8", "#c8553d", "#5b8c5a", "#e0a030")


def draw_graphs(batch: Batch, path: Path, columns: int = 4, rows: int = 4) -> None:
    """Draw a grid of graphs as a PNG, nodes coloured by type and edges by kind.

    Args:
        batch: ``nodes`` [B, N], ``edges`` [B, N, N], ``mask`` [B, N]; the first ``columns * rows`` are drawn.
        path: where to write the picture; its folder is made.
        columns: graphs in a row.
        rows: rows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(columns * rows, len(batch["mask"]))
    graphs = to_networkx({key: value[:count].cpu() for key, value in batch.items()})
    rows = -(-count // columns)
    figure = Figure(figsize=(2.0 * columns, 2.0 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for number, graph in enumerate(graphs):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_axis_off()
        places = _layout(graph)
        size = max(6.0, 160.0 / max(len(graph), 1) ** 0.75)
        nodes = [NODE_COLOURS[data.get("type", 0) % len(NODE_COLOURS)] for _, data in graph.nodes(data=True)]
        edges = [EDGE_COLOURS[data.get("type", 1) % len(EDGE_COLOURS)] for *_, data in graph.edges(data=True)]
        nx.draw_networkx_edges(graph, places, ax=axes, edge_color=edges, width=0.8)
        nx.draw_networkx_nodes(graph, places, ax=axes, node_color=nodes, node_size=size, linewidths=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _layout(graph: nx.Graph) -> dict[int, tuple[float, float]]:
    if len(graph) > 2 and nx.check_planarity(graph)[0] and len(graph) <= 80:
        start = nx.planar_layout(graph)
        return dict(nx.kamada_kawai_layout(graph, pos=start) if nx.is_connected(graph) else start)
    return dict(nx.spring_layout(graph, seed=0, iterations=80))
