"""The autoencoders of images."""

from __future__ import annotations

import pytest
import torch

from latentgen.autoencoder import Autoencoder
from modalities.images.hierarchical import HierarchicalAutoencoder
from modalities.images.networks import Enlarge, ImageAutoencoder, PixelAutoencoder, halved

SHAPES = [(1, 8, 8), (3, 28, 28), (1, 7, 13), (3, 105, 30)]


def pixels(shape: tuple[int, int, int], count: int = 2) -> dict[str, torch.Tensor]:
    return {"x": torch.randint(256, (count, *shape), dtype=torch.uint8)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("halvings", [0, 1, 3])
@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic_mixture", "normal", "laplace"])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int, int], halvings: int, likelihood: str) -> None:
    if shape[1] > 28 and halvings == 0:
        shape = (3, 40, 30)
    batch, autoencoder = pixels(shape), ImageAutoencoder(shape, 4, "grid", halvings, 8, likelihood=likelihood)
    q = autoencoder.encode(batch)
    assert q.mean.shape == (2, 4, *halved(shape[1:], halvings)[-1]) and q.mean.shape == q.std.shape
    like = autoencoder.decode(q.rsample())
    for made in (like.mode(), like.sample()):
        assert made["x"].shape == batch["x"].shape and made["x"].dtype == torch.uint8
    assert like.log_prob(batch).shape == (2,)


@pytest.mark.parametrize(
    "model",
    [ImageAutoencoder((3, 9, 6), width=8), HierarchicalAutoencoder((3, 9, 6), width=8), PixelAutoencoder()],
    ids=["small", "nvae", "pixels"],
)
def test_what_is_no_image_of_the_model_is_refused(model: Autoencoder) -> None:
    x = torch.randint(256, (2, 3, 9, 6), dtype=torch.uint8)
    wrong = [x.float() / 255, x.long(), x[0]]
    wrong += [] if isinstance(model, PixelAutoencoder) else [x[:, :1], x[..., :5]]
    for given in wrong:
        with pytest.raises(ValueError, match=r"x is torch\..* of shape \[.*\]; give bytes \(uint8\) of shape \[B, "):
            model.encode({"x": given})
    assert model.encode({"x": x}).mean.shape[0] == 2


def test_vectors() -> None:
    autoencoder = ImageAutoencoder((1, 9, 6), 5, "vector", 2, 8)
    q = autoencoder.encode(pixels((1, 9, 6)))
    assert q.mean.shape == (2, 5)
    assert autoencoder.decode(q.mean).mode()["x"].shape == (2, 1, 9, 6)


def test_sizes_are_halved_upwards() -> None:
    assert halved((28, 105), 3) == [(28, 105), (14, 53), (7, 27), (4, 14)]


def test_enlarging_repeats_cells() -> None:
    enlarge = Enlarge(1, 1, (3, 4))
    with torch.no_grad():
        enlarge.conv.weight.zero_()
        enlarge.conv.weight[0, 0, 1, 1] = 1.0
        enlarge.conv.bias.zero_()
    out = enlarge(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert out[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]]


def test_posteriors_stay_within_their_limits() -> None:
    autoencoder = ImageAutoencoder((1, 8, 8), 4, min_std=0.1)
    with torch.no_grad():
        autoencoder.to_latent.weight.mul_(1e4)
    q = autoencoder.encode(pixels((1, 8, 8), 16))
    assert q.mean.abs().max() <= 5 and q.std.min() >= 0.1 and q.std.max() <= 1
    assert q.mean.abs().max() > 4.9, "the limits were tried"


def test_a_few_steps_learn_the_training_images() -> None:
    """Two kinds of images: each is rebuilt much better than by their mean."""
    torch.manual_seed(0)
    x = torch.zeros(32, 1, 8, 8, dtype=torch.uint8)
    x[::2, :, :, :4], x[1::2, :, 4:] = 255, 255
    autoencoder = ImageAutoencoder((1, 8, 8), 4, halvings=1, width=8, likelihood="bernoulli", binary=True)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 1e-2)
    for _ in range(60):
        q = autoencoder.encode({"x": x})
        loss = (q.kl_to_normal() - autoencoder.decode(q.rsample()).log_prob({"x": x})).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(autoencoder.decode(autoencoder.encode({"x": x}).mean).mode()["x"], x)
    assert float(loss.detach()) < 32 * 0.69, "half of the pixels at random"


def test_pixels_as_latents() -> None:
    batch, autoencoder = pixels((3, 4, 5)), PixelAutoencoder()
    q = autoencoder.encode(batch)
    assert q.mean.min() >= -1 and q.mean.max() <= 1
    like = autoencoder.decode(q.mean)
    assert torch.equal(like.mode()["x"], batch["x"])
    every = {"x": torch.arange(256).reshape(-1, 1, 1, 1)}
    one = autoencoder.decode(q.mean[:1, :1, :1, :1].expand(256, -1, -1, -1))
    assert float(one.log_prob(every).logsumexp(0)) == pytest.approx(0.0, abs=1e-4)
