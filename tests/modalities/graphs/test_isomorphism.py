"""Colour refinement and isomorphism classes of typed graphs."""

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from modalities.graphs.isomorphism import GraphSet, graph_hashes, refine_colours


def dense(graphs: list[nx.Graph], size: int | None = None) -> dict[str, Tensor]:
    """Batch of graphs; the attributes `type` of nodes and `kind` of edges are optional."""
    size = size or max(len(graph) for graph in graphs)
    nodes = torch.zeros(len(graphs), size, dtype=torch.long)
    edges = torch.zeros(len(graphs), size, size, dtype=torch.long)
    mask = torch.zeros(len(graphs), size, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        place = {node: position for position, node in enumerate(graph)}
        for node, kind in graph.nodes(data="type", default=0):
            nodes[index, place[node]] = kind
        for start, end, kind in graph.edges(data="kind", default=1):
            edges[index, place[start], place[end]] = edges[index, place[end], place[start]] = kind
        mask[index, : len(graph)] = True
    return {"nodes": nodes, "edges": edges, "mask": mask}


def shuffled(graph: nx.Graph, seed: int) -> nx.Graph:
    order = np.random.default_rng(seed).permutation(list(graph)).tolist()
    result = nx.Graph()
    result.add_nodes_from((node, graph.nodes[node]) for node in order)
    result.add_edges_from(graph.edges(data=True))
    return result


def typed_graph(seed: int) -> nx.Graph:
    rng = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(12, 0.3, seed=seed)
    nx.set_node_attributes(graph, {node: int(rng.integers(3)) for node in graph}, "type")
    nx.set_edge_attributes(graph, {edge: int(rng.integers(1, 4)) for edge in graph.edges}, "kind")
    return graph


def two_triangles() -> nx.Graph:
    return nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))


def test_renamed_and_padded_copies_are_found() -> None:
    graphs = [typed_graph(seed) for seed in range(20)]
    copies = [shuffled(graph, 100 + seed) for seed, graph in enumerate(graphs)]
    both = GraphSet(dense(graphs + copies, size=17))
    assert both.classes().tolist() == list(range(20)) * 2
    originals, others = GraphSet(dense(graphs)), GraphSet(dense(copies, size=15))
    assert all(originals.contains(others, index) for index in range(20))
    assert torch.equal(graph_hashes(dense(graphs)), graph_hashes(dense(copies, size=15)))


def test_equal_hashes_do_not_decide() -> None:
    graphs = [nx.cycle_graph(6), two_triangles(), shuffled(nx.cycle_graph(6), 1)]
    batch = dense(graphs)
    assert len(set(graph_hashes(batch).tolist())) == 1
    found = GraphSet(batch)
    assert found.classes().tolist() == [0, 1, 0]
    assert not GraphSet(dense([two_triangles()])).contains(found, 0)


def test_regular_graphs_of_equal_size_are_told_apart() -> None:
    prism = nx.circular_ladder_graph(3)
    bipartite = nx.complete_bipartite_graph(3, 3)
    copies = [shuffled(prism, 3), shuffled(bipartite, 4)]
    assert GraphSet(dense([prism, bipartite, *copies])).classes().tolist() == [0, 1, 0, 1]


def test_edge_kinds_and_node_types_matter() -> None:
    plain, bond, atom = nx.path_graph(4), nx.path_graph(4), nx.path_graph(4)
    bond.edges[0, 1]["kind"] = 2
    atom.nodes[0]["type"] = 1
    found = GraphSet(dense([plain, bond, atom, shuffled(bond, 0), shuffled(atom, 1)]))
    assert found.classes().tolist() == [0, 1, 2, 1, 2]
    assert len(set(graph_hashes(dense([plain, bond, atom])).tolist())) == 3


def test_kinds_on_equal_hashes_are_compared() -> None:
    # Two complete graphs; the edges of kind 2 form a hexagon in one, two triangles in the other.
    graphs = []
    for marked in (nx.cycle_graph(6), two_triangles()):
        graph = nx.complete_graph(6)
        nx.set_edge_attributes(graph, dict.fromkeys(marked.edges, 2), "kind")
        graphs += [graph, shuffled(graph, 1)]
    batch = dense(graphs)
    assert len(set(graph_hashes(batch).tolist())) == 1
    assert GraphSet(batch).classes().tolist() == [0, 0, 2, 2]


def test_types_on_equal_hashes_are_compared() -> None:
    # The same with a node on every edge, of type 2 on the marked edges and of type 1 elsewhere.
    graphs = []
    for marked in (nx.cycle_graph(6), two_triangles()):
        graph = nx.Graph()
        for start, end in nx.complete_graph(6).edges:
            graph.add_node((start, end), type=2 if marked.has_edge(start, end) else 1)
            nx.add_path(graph, [start, (start, end), end])
        graph = nx.convert_node_labels_to_integers(graph)
        graphs += [graph, shuffled(graph, 1)]
    batch = dense(graphs)
    assert len(set(graph_hashes(batch).tolist())) == 1
    assert GraphSet(batch).classes().tolist() == [0, 0, 2, 2]


def test_number_of_nodes_matters() -> None:
    sparse = [nx.empty_graph(n) for n in (1, 2, 3)]
    assert GraphSet(dense(sparse)).classes().tolist() == [0, 1, 2]


def test_classes_of_all_small_graphs() -> None:
    # 34 graphs on five nodes (OEIS A000088).
    pairs = [(i, j) for i in range(5) for j in range(i)]
    graphs = []
    for code in range(2 ** len(pairs)):
        graph = nx.empty_graph(5)
        graph.add_edges_from(pair for bit, pair in enumerate(pairs) if code >> bit & 1)
        graphs.append(graph)
    assert len(set(GraphSet(dense(graphs)).classes().tolist())) == 34


def test_colours_reach_as_far_as_the_rounds() -> None:
    path = dense([nx.path_graph(9)], size=11)
    colours = refine_colours(path, rounds=2)[0]
    assert len(set(colours[:9].tolist())) == 3
    assert len(set(refine_colours(path, rounds=16)[0, :9].tolist())) == 5
    assert colours[9:].tolist() == [0, 0]


def test_types_may_be_left_out_and_padding_holds_anything() -> None:
    batch = dense([nx.path_graph(3)], size=5)
    dirty = {name: value.clone() for name, value in batch.items()}
    dirty["nodes"][0, 3:] = 7
    dirty["edges"][0, 4, 3] = dirty["edges"][0, 3, 4] = 2
    bare = {name: batch[name] for name in ("edges", "mask")}
    assert graph_hashes(batch) == graph_hashes(dirty) == graph_hashes(bare)
    assert GraphSet(batch).contains(GraphSet(dirty), 0)
