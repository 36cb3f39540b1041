from __future__ import annotations

import torch

from modalities.graphs.eigen import THREADS, _pool, eigh


def test_eigenvectors_rebuild_the_matrix() -> None:
    matrix = torch.randn(5, 7, 7, dtype=torch.float64)
    matrix = matrix + matrix.mT
    values, vectors = eigh(matrix)
    assert (values.diff(dim=1) >= 0).all()
    torch.testing.assert_close(vectors @ torch.diag_embed(values) @ vectors.mT, matrix)


def test_the_threads_solve_parts_in_order() -> None:
    matrix = torch.randn(19, 4, 4, dtype=torch.float64)
    matrix = matrix + matrix.mT
    solved = list(_pool().map(torch.linalg.eigh, matrix.chunk(THREADS)))
    torch.testing.assert_close(torch.cat([part[0] for part in solved]), torch.linalg.eigvalsh(matrix))
