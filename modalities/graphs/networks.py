"""Encoder and pairwise decoder of graphs with one latent vector a node, permutation-equivariant in law."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import DenseGraphConv

from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian
from latentgen.nn.mlp import MLP
from latentgen.nn.transformer import Attention, attention_mask
from latentgen.tensors import Batch

from .corruption import corrupted
from .eigen import eigh
from .likelihood import GraphLikelihood

WALK_LENGTH = 8
NOISE_FEATURES = 4
SPECTRAL_FEATURES = 8
JITTER = 1e-4


def walk_features(adjacency: Tensor, steps: int = WALK_LENGTH) -> Tensor:
    """Random-walk probabilities (P, P^2, ..., P^steps)_ij with P = D^-1 A, shape [B, N, N, steps].

    Args:
        adjacency: 0 or 1, shape [B, N, N].
        steps: longest walk.
    """
    walk = adjacency / adjacency.sum(-1, keepdim=True).clamp_min(1)
    powers = [walk]
    for _ in range(steps - 1):
        powers.append(powers[-1] @ walk)
    return torch.stack(powers, dim=-1)


@torch.no_grad()
def spectral_features(adjacency: Tensor, mask: Tensor, size: int) -> Tensor:
    """Eigenvectors of D^-1/2 A D^-1/2 with the largest absolute eigenvalues, and these eigenvalues.

    An eigenvector u has the sign that makes sum u_i^3 positive, which does not depend on the order of nodes; where that
    sum vanishes, the sign is random. Shape [B, N, 2 size]; missing ones are zero.

    Args:
        adjacency: 0 or 1, shape [B, N, N].
        mask: True where a node is real, shape [B, N].
        size: number of eigenvectors.
    """
    scale = adjacency.sum(-1).clamp_min(1).rsqrt()
    real = (mask.unsqueeze(1) & mask.unsqueeze(2)).to(adjacency.dtype)
    jitter = torch.randn_like(adjacency) * real
    # repeated eigenvalues leave their eigenvectors open; a tiny random matrix chooses them, whatever the padding
    matrix = adjacency * scale.unsqueeze(1) * scale.unsqueeze(2) + JITTER * (jitter + jitter.transpose(1, 2))
    values, vectors = eigh(matrix)
    order = values.abs().argsort(dim=1, descending=True)[:, :size]
    values = values.gather(1, order)
    vectors = vectors.gather(2, order.unsqueeze(1).expand(-1, vectors.shape[1], -1))
    skew = (vectors**3).sum(1, keepdim=True)
    skew = torch.where(skew.abs() < 1e-4, torch.rand_like(skew) - 0.5, skew)
    signs = torch.where(skew < 0, -1.0, 1.0)
    vectors = vectors * signs * mask.sum(1).sqrt()[:, None, None] * mask.unsqueeze(-1)
    missing = (0, size - values.shape[1])
    pieces = (vectors, values.unsqueeze(1).expand_as(vectors))
    return torch.cat([nn.functional.pad(piece, missing) for piece in pieces], dim=-1)


class EncoderLayer(nn.Module):
    """Messages along each kind of edge, then attention over all nodes biased by pair features."""

    def __init__(self, width: int, kinds: int, heads: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(DenseGraphConv(width, width, aggr="mean") for _ in range(kinds))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.bias = nn.Linear(WALK_LENGTH + kinds, heads)
        self.attention = Attention(width, heads)
        self.mlp = MLP(width, 2 * width, width)

    def forward(self, h: Tensor, adjacencies: list[Tensor], pairs: Tensor, attend: Tensor) -> Tensor:
        """Update node features [B, N, width]."""
        normed = self.norms[0](h)
        for convolution, adjacency in zip(self.convolutions, adjacencies, strict=True):
            h = h + convolution(normed, adjacency)
        bias = self.bias(pairs).permute(0, 3, 1, 2) + attend
        h = h + self.attention(self.norms[1](h), bias)
        return h + torch.as_tensor(self.mlp(self.norms[2](h)))


class DecoderBlock(nn.Module):
    """Attention over all nodes and an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.mlp = MLP(width, 2 * width, width)

    def forward(self, h: Tensor, attend: Tensor | None) -> Tensor:
        """Update node features [B, N, width]."""
        h = h + self.attention(self.norms[0](h), attend)
        return h + torch.as_tensor(self.mlp(self.norms[1](h)))


class PairHead(nn.Module):
    """Symmetric logits for every pair of nodes: MLP on u_i + u_j and v_i * v_j."""

    def __init__(self, width: int, kinds: int, hidden: int) -> None:
        super().__init__()
        self.sum = nn.Linear(width, hidden)
        self.product = nn.Linear(width, hidden)
        self.mix = nn.Parameter(torch.ones(hidden))
        self.out = nn.Linear(hidden, kinds)

    def forward(self, h: Tensor) -> Tensor:
        """Node features [B, N, width] to logits [B, N, N, kinds]."""
        u, v = self.sum(h), self.product(h)
        hidden = torch.addcmul(u.unsqueeze(1) + u.unsqueeze(2), v.unsqueeze(1) * self.mix, v.unsqueeze(2))
        return torch.as_tensor(self.out(nn.functional.silu(hidden)))


class GraphAutoencoder(Autoencoder):
    r"""q(z | G) = prod_i N(z_i; mean_i, std_i^2) and p(G | z) = prod_i p(x_i | z) prod_{i<j} p(e_ij | z).

    Nodes that are alike by symmetry get random features, so that the codes of two such nodes differ and the graph can
    be rebuilt; the bound stays valid, since the entropy of the mixture over those features is larger than the one
    counted.

    Args:
        node_types: number of kinds of nodes.
        edge_types: number of kinds of pairs, "no edge" among them: 2 for a plain graph.
        latent: size d of a node's latent.
        width: size of a node's features.
        encoder_depth: number of encoder layers.
        decoder_depth: number of decoder blocks.
        heads: attention heads.
        pair_width: hidden size of the pair head.
        min_std: least standard deviation of the posterior, latent units.
        corruption: in training, the encoder sees a graph whose pairs and nodes are drawn anew with a probability that
            is itself drawn for each graph from [0, corruption] (see ``corrupted``), and the decoder still has to give
            the true one: then ``model.reread`` mends what a prior got wrong. The bound stays valid, as for random
            features.

    Raises:
        ValueError: if ``corruption`` is not in [0, 1].
    """

    def __init__(
        self,
        node_types: int = 1,
        edge_types: int = 2,
        latent: int = 8,
        width: int = 64,
        encoder_depth: int = 4,
        decoder_depth: int = 3,
        heads: int = 4,
        pair_width: int = 32,
        min_std: float = 0.02,
        corruption: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= corruption <= 1:
            raise ValueError(f"corruption is {corruption}; give a largest probability, in [0, 1].")
        self.node_types, self.edge_types, self.min_std, self.corruption = node_types, edge_types, min_std, corruption
        self.embed = nn.Linear(node_types + WALK_LENGTH + 1 + NOISE_FEATURES + 2 * SPECTRAL_FEATURES, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, edge_types - 1, heads) for _ in range(encoder_depth))
        self.to_latent = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * latent))
        self.from_latent = nn.Linear(latent, width)
        self.decoder = nn.ModuleList(DecoderBlock(width, heads) for _ in range(decoder_depth))
        self.norm = nn.LayerNorm(width)
        self.pairs = PairHead(width, edge_types, pair_width)
        self.nodes = nn.Linear(width, node_types)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | G), mean and std [B, N, d].

        Args:
            batch: ``nodes`` [B, N], ``edges`` [B, N, N], ``mask`` [B, N] and optionally ``noise`` [B, N, 4], the
                random features, drawn when absent.
        """
        seen = corrupted(batch, self.corruption) if self.training and self.corruption else batch
        nodes, edges, mask = seen["nodes"], seen["edges"], batch["mask"]
        dtype = self.embed.weight.dtype
        adjacencies = [(edges == kind).to(dtype) for kind in range(1, self.edge_types)]
        adjacency = (edges > 0).to(dtype)
        walks = walk_features(adjacency)
        noise = batch["noise"] if "noise" in batch else torch.randn(*nodes.shape, NOISE_FEATURES, device=nodes.device)
        features = [
            nn.functional.one_hot(nodes, self.node_types).to(dtype),
            walks.diagonal(dim1=1, dim2=2).transpose(1, 2),
            adjacency.sum(-1, keepdim=True).log1p(),
            noise.to(dtype),
            spectral_features(adjacency, mask, SPECTRAL_FEATURES),
        ]
        h = self.embed(torch.cat(features, dim=-1))
        pairs = torch.cat([walks, *(a.unsqueeze(-1) for a in adjacencies)], dim=-1)
        keys = _keys(mask)
        attend = torch.zeros_like(keys, dtype=dtype).masked_fill(~keys, torch.finfo(dtype).min)
        for layer in self.encoder:
            h = layer(h, adjacencies, pairs, attend)
        mean, raw = self.to_latent(h).chunk(2, dim=-1)
        # soft limits keep a bad batch from throwing latents far away: means in (-5, 5), std in (min_std, 1)
        std = self.min_std + (1 - self.min_std) * torch.sigmoid(raw)
        keep = mask.unsqueeze(-1)
        return DiagonalGaussian(5 * torch.tanh(mean / 5) * keep, torch.where(keep, std, 1.0), mask)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> GraphLikelihood:
        """p(G | z) for z [B, N, d]."""
        keep = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device) if mask is None else mask
        h, attend = self.from_latent(z), attention_mask(keep)
        for block in self.decoder:
            h = block(h, attend)
        h = self.norm(h)
        return GraphLikelihood(self.nodes(h), self.pairs(h), keep)


def _keys(mask: Tensor) -> Tensor:
    attend = attention_mask(mask)
    assert attend is not None
    return attend
