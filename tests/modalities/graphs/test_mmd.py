"""MMD by hand, against scipy's earth mover's distance and against a plain double loop."""

import math
from itertools import product

import networkx as nx
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from modalities.graphs.mmd import (
    KERNELS,
    Family,
    GaussianKernel,
    graph_mmd,
    mmd_ratio,
    squared_mmd,
)
from modalities.graphs.statistics import GraphStatistics

FAMILIES: tuple[Family, ...] = ("gdss", "spectre")


def dense(graphs: list[nx.Graph]) -> dict[str, Tensor]:
    size = max(len(graph) for graph in graphs)
    edges = torch.zeros(len(graphs), size, size, dtype=torch.long)
    mask = torch.zeros(len(graphs), size, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        n = len(graph)
        edges[index, :n, :n] = torch.from_numpy(nx.to_numpy_array(graph)).long()
        mask[index, :n] = True
    return {"edges": edges, "mask": mask}


def sample(n_graphs: int, p: float, seed: int) -> GraphStatistics:
    graphs = [nx.gnp_random_graph(6 + i % 5, p, seed=seed + i) for i in range(n_graphs)]
    return GraphStatistics.from_batch(dense(graphs))


def test_triangle_against_path_by_hand() -> None:
    # degree pmf (0, 0, 1) and (0, 2/3, 1/3); clustering 1 and 0, in bins 99 and 0;
    # orbits (2, 0, 0, 1) and (4/3, 2/3, 1/3, 0); spectra (0, 3/2, 3/2) and (0, 1, 2).
    distances = {
        "gdss": {
            "degree": 2 / 3,
            "clustering": 0.99,
            "orbit": math.sqrt(2),
            "spectral": (50 + 49) / 3,
        },
        "spectre": {"degree": 2 / 3, "clustering": 1.0, "orbit": 4 / 3, "spectral": 2 / 3},
    }
    sigmas = {"degree": 1.0, "clustering": 0.1, "orbit": 30.0, "spectral": 1.0}
    triangle, path = dense([nx.complete_graph(3)]), dense([nx.path_graph(3)])
    for family in FAMILIES:
        found = graph_mmd(triangle, path, family)
        for name, distance in distances[family].items():
            kernel = math.exp(-(distance**2) / (2 * sigmas[name] ** 2))
            assert found[name] == pytest.approx(2 - 2 * kernel, rel=1e-9), (family, name)


def test_average_belongs_to_gdss() -> None:
    found = graph_mmd(sample(5, 0.4, 0), sample(6, 0.6, 50), "gdss")
    mean = (found["degree"] + found["clustering"] + found["orbit"]) / 3
    assert found["average"] == pytest.approx(mean)
    assert set(graph_mmd(sample(5, 0.4, 0), sample(6, 0.6, 50), "spectre")) == {
        "degree",
        "clustering",
        "orbit",
        "spectral",
    }


def test_emd_equals_scipy() -> None:
    pmfs = torch.rand(8, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pmfs = pmfs / pmfs.sum(-1, keepdim=True)
    found = GaussianKernel("emd", sigma=1.0, bins=10).distances(pmfs[:4], pmfs[4:])
    grid = range(40)
    for i, j in product(range(4), range(4)):
        expected = wasserstein_distance(grid, grid, pmfs[i].numpy(), pmfs[4 + j].numpy())
        assert float(found[i, j]) == pytest.approx(expected / 10, rel=1e-10)


def test_total_variation_of_disjoint_pmfs_is_one() -> None:
    pmfs = torch.eye(3, dtype=torch.float64)
    found = GaussianKernel("tv", sigma=1.0).distances(pmfs, pmfs)
    assert torch.equal(found, 1 - torch.eye(3, dtype=torch.float64))


def test_v_statistic_equals_a_double_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, 3, dtype=torch.float64, generator=generator)
    y = torch.rand(7, 3, dtype=torch.float64, generator=generator)

    def mean(a: Tensor, b: Tensor) -> float:
        values = [math.exp(-float((p - q).square().sum()) / 0.5) for p in a for q in b]
        return sum(values) / len(values)

    kernel = GaussianKernel("euclidean", sigma=0.5)
    expected = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert squared_mmd(x, y, kernel) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_zero_on_itself_and_symmetric(family: Family) -> None:
    one, two = sample(9, 0.3, 0), sample(7, 0.6, 100)
    assert set(graph_mmd(one, one, family).values()) == {0.0}
    forth, back = graph_mmd(one, two, family), graph_mmd(two, one, family)
    assert forth == pytest.approx(back, rel=1e-12)
    assert all(value > 0 for value in forth.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_block_size_and_batching_change_nothing(family: Family) -> None:
    graphs = [nx.gnp_random_graph(5 + i, 0.4, seed=i) for i in range(9)]
    real, generated = dense(graphs[:4]), dense(graphs[4:])
    expected = graph_mmd(real, generated, family)
    for block in (1, 3, 100):
        assert graph_mmd(real, generated, family, block=block) == pytest.approx(expected)
    assert graph_mmd(GraphStatistics.from_batch(real), generated, family) == expected


def test_kernels_are_those_of_the_protocols() -> None:
    for family in FAMILIES:
        sigmas = {name: kernel.sigma for name, kernel in KERNELS[family].items()}
        assert sigmas == {"degree": 1.0, "clustering": 0.1, "orbit": 30.0, "spectral": 1.0}


def test_ratio_of_training_graphs_is_one() -> None:
    test, train = sample(6, 0.3, 0), sample(8, 0.5, 40)
    assert mmd_ratio(train, test, train) == pytest.approx(
        {"degree": 1, "clustering": 1, "orbit": 1, "spectral": 1, "average": 1}
    )
    generated = sample(8, 0.8, 90)
    ratios = mmd_ratio(generated, test, train, "gdss")
    reference, value = graph_mmd(test, train, "gdss"), graph_mmd(test, generated, "gdss")
    assert ratios["degree"] == pytest.approx(value["degree"] / reference["degree"])
    names = ("degree", "clustering", "orbit", "spectral")
    assert ratios["average"] == pytest.approx(sum(ratios[name] for name in names) / 4)


def test_ratio_leaves_out_a_vanishing_reference() -> None:
    trees = [nx.random_labeled_tree(12, seed=i) for i in range(10)]
    test, train = dense(trees[:5]), dense(trees[5:])
    ratios = mmd_ratio(dense([nx.complete_graph(12)]), test, train)
    assert "clustering" not in ratios
    assert "degree" in ratios
    with pytest.raises(ValueError, match="report graph_mmd instead"):
        mmd_ratio(test, train, train)


def test_bad_arguments_are_refused() -> None:
    one = sample(2, 0.5, 0)
    with pytest.raises(ValueError, match="family is 'emd'; expected one of 'gdss', 'spectre'"):
        graph_mmd(one, one, "emd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x has 0 rows and y 2"):
        graph_mmd(one.subset([]), one, "gdss")
