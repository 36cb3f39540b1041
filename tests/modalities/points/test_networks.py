"""Symmetries, sizes and contracts of both autoencoders of points."""

from __future__ import annotations

import pytest
import torch

import latentgen
from latentgen.latents import LatentSpec
from modalities.points import Points
from modalities.points.attention import CrossAttention, InducedBlock
from modalities.points.hierarchical import (
    LaplacePoints,
    LatentPointAutoencoder,
    PointArchitecture,
    PointTransformer,
)
from modalities.points.networks import TokenAutoencoder

SMALL = {"points": 24, "train_size": 12, "test_size": 6, "width": 16, "depth": 1, "heads": 2, "tokens": 4}


def cloud(n: int = 10, batch: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {"x": torch.randn(batch, n, 3), "mask": torch.ones(batch, n, dtype=torch.bool)}


def padded(batch: dict[str, torch.Tensor], more: int) -> dict[str, torch.Tensor]:
    x = torch.nn.functional.pad(batch["x"], (0, 0, 0, more), value=9.0)
    return {"x": x, "mask": torch.nn.functional.pad(batch["mask"], (0, more))}


def test_the_token_encoder_sees_neither_order_nor_padding() -> None:
    batch, autoencoder = cloud(), TokenAutoencoder(10, tokens=4, width=16, depth=2, heads=2).eval()
    q, order = autoencoder.encode(batch), torch.randperm(10)
    for other in ({"x": batch["x"][:, order], "mask": batch["mask"]}, padded(batch, 5)):
        found = autoencoder.encode(other)
        torch.testing.assert_close(found.mean, q.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.std, q.std, rtol=1e-4, atol=1e-5)


def test_latents_decode_to_any_number_of_points() -> None:
    autoencoder = TokenAutoencoder(10, tokens=4, width=16, depth=1, heads=2).eval()
    z = torch.randn(2, 4, 8)
    few, many = autoencoder.decode_to(z, 3).mode()["x"], autoencoder.decode_to(z, 500).mode()["x"]
    assert few.shape == (2, 3, 3) and many.shape == (2, 500, 3)
    assert autoencoder.decode(z).mode()["x"].shape == (2, 10, 3)


def test_the_point_encoder_follows_the_points_and_does_not_see_padding() -> None:
    batch = cloud()
    autoencoder = LatentPointAutoencoder(20, tokens=2, channels=4, width=16, depth=2, heads=2).eval()
    for parameter in autoencoder.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    q, order = autoencoder.encode(batch), torch.randperm(10)
    moved = autoencoder.encode({"x": batch["x"][:, order], "mask": batch["mask"]})
    torch.testing.assert_close(moved.mean[:, :2], q.mean[:, :2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.mean[:, 2:], q.mean[:, 2:][:, order], rtol=1e-4, atol=1e-5)
    wide = autoencoder.encode(padded(batch, 4))
    torch.testing.assert_close(wide.mean[:, :12], q.mean, rtol=1e-4, atol=1e-5)
    assert wide.mask is not None and wide.mask.sum(dim=1).tolist() == [12] * 3
    rebuilt = autoencoder.decode(wide.mean, wide.mask).mode()["x"]
    torch.testing.assert_close(rebuilt[:, :10], autoencoder.decode(q.mean, q.mask).mode()["x"], rtol=1e-4, atol=1e-5)


def test_the_point_autoencoder_starts_as_the_identity() -> None:
    batch, autoencoder = cloud(), LatentPointAutoencoder(10, tokens=2, channels=4, width=16, depth=1, heads=2).eval()
    q = autoencoder.encode(batch)
    torch.testing.assert_close(autoencoder.decode(q.mean, q.mask).mode()["x"], batch["x"])
    assert q.std[:, 2:].max() < 0.1


def test_a_latent_smaller_than_a_point_is_refused() -> None:
    with pytest.raises(ValueError, match="channels is 3 for points of 4 numbers"):
        LatentPointAutoencoder(10, features=1, channels=3)


def test_the_laplace_likelihood_in_closed_form() -> None:
    torch.manual_seed(0)
    mean, scale = torch.randn(2, 5, 3), torch.tensor([0.1, 0.5, 2.0])
    mask = torch.arange(5).expand(2, -1) < torch.tensor([[3], [5]])
    x = torch.randn(2, 5, 3)
    nats = torch.distributions.Laplace(mean, scale).log_prob(x).sum(-1)
    torch.testing.assert_close(LaplacePoints(mean, scale, mask).log_prob({"x": x}), (nats * mask).sum(1))


def test_cross_attention_is_attention() -> None:
    torch.manual_seed(0)
    layer = CrossAttention(8, 1)
    queries, keys, mask = torch.randn(1, 3, 8), torch.randn(1, 6, 8), torch.tensor([[True] * 4 + [False] * 2])
    key, value = layer.pair(layer.norm_keys(keys[:, :4])).chunk(2, dim=-1)
    weights = (layer.query(layer.norm_queries(queries)) @ key.mT / 8**0.5).softmax(-1)
    torch.testing.assert_close(layer(queries, keys, mask), layer.out(weights @ value))
    with pytest.raises(ValueError, match="width is 8 and heads is 3"):
        CrossAttention(8, 3)


def test_induced_attention_mixes_points_and_follows_them() -> None:
    torch.manual_seed(0)
    block, points, order = InducedBlock(16, 2, 4), torch.randn(2, 9, 16), torch.randperm(9)
    out = block(points)
    torch.testing.assert_close(block(points[:, order]), out[:, order], rtol=1e-4, atol=1e-5)
    changed = points.clone()
    changed[:, 0] = torch.randn(2, 16)
    assert (block(changed)[:, 1:] - out[:, 1:]).abs().amax() > 1e-4


def test_the_priors_network_tells_global_tokens_from_points() -> None:
    torch.manual_seed(0)
    network = PointArchitecture(tokens=2, width=16, depth=2, heads=2).network(LatentSpec((8, 4), "set", masked=True))
    assert isinstance(network, PointTransformer)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    z, log_snr, mask = torch.randn(3, 8, 4), torch.zeros(3), torch.ones(3, 8, dtype=torch.bool)
    out, order = network(z, log_snr, mask), torch.tensor([0, 1, 5, 3, 2, 7, 6, 4])
    torch.testing.assert_close(network(z[:, order], log_snr, mask), out[:, order], rtol=1e-4, atol=1e-5)
    swapped = torch.tensor([1, 0, 2, 3, 4, 5, 6, 7])
    assert (network(z[:, swapped], log_snr, mask) - out[:, swapped]).abs().amax() > 1e-3
    with pytest.raises(ValueError, match="layout is 'vector'"):
        PointArchitecture().network(LatentSpec((4,)))


@pytest.mark.parametrize("encoder", ["tokens", "points"])
def test_models_of_points_train_sample_and_load(encoder: str, tmp_path) -> None:
    torch.manual_seed(0)
    shapes = Points(kinds=("chair", "lamp"), encoder=encoder, least=16, condition="label", latent=4, **SMALL)
    assert shapes.condition_dim == 2
    network = PointArchitecture(4, 16, 1, 2) if encoder == "points" else None
    prepared = latentgen.LSGM(network=network, width=16, depth=1, heads=2).prepare(shapes)
    options = latentgen.TrainingOptions(steps=3, batch_size=4, checkpoint_every=0)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    batch = model.sample(5, steps=2, seed=0)
    assert batch["x"].isfinite().all() and batch["mask"].any(dim=1).all()
    assert (batch["x"][~batch["mask"]] == 0).all()
    again = latentgen.load(tmp_path)
    torch.testing.assert_close(again.sample(5, steps=2, seed=0)["x"], batch["x"])
    shapes.render(batch, tmp_path / "shapes.png")
    assert (tmp_path / "shapes.png").stat().st_size > 1000
    figures = shapes.evaluate(batch, batch, batch)
    assert set(figures) <= set(shapes.better())


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="encoder is 'voxels'"):
        Points(encoder="voxels")
    with pytest.raises(ValueError, match="condition is 'colour'"):
        Points(condition="colour")
    with pytest.raises(ValueError, match="data is None"):
        Points(data=None).shapes("train")
