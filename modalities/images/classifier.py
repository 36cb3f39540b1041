"""A small classifier of images: the feature map where no published network's weights are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from latentgen.tensors import Batch

from .likelihood import places
from .readers import ImageSet

FEATURES = 64
"""Size of the layer that features are read from."""
POOLED = 4
SHIFT = 2
"""Most rows and columns by which training images are moved."""


class Classifier(nn.Module):
    """Three convolutions, means over 4 x 4 regions, a hidden layer of 64 (the features), classes.

    Args:
        channels: of the images.
        classes: number of classes.
        width: of the first convolution.
    """

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.channels, self.classes, self.width = channels, classes, width
        self.accuracy = float("nan")
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.GroupNorm(4, 2 * width), nn.SiLU(),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.GroupNorm(4, 2 * width), nn.SiLU(),
        )
        self.hidden = nn.Linear(2 * width * POOLED**2, FEATURES)
        self.out = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer, shape [B, 64], of ``x`` uint8 [B, C, H, W]."""
        pooled = nn.functional.adaptive_avg_pool2d(self.body(places(x)), POOLED)
        return nn.functional.silu(self.hidden(pooled.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes, shape [B, classes], of ``x`` uint8 [B, C, H, W]."""
        logits: Tensor = self.out(self.features(x))
        return logits

    @torch.no_grad()
    def predict(self, x: Tensor, batch: int = 1024) -> Tensor:
        """The likeliest classes, int64 [B], of ``x`` uint8 [B, C, H, W]."""
        device = self.out.weight.device
        return torch.cat([self(part.to(device)).argmax(1) for part in torch.split(x, batch)])

    @property
    def label(self) -> str:
        """What tables call it: what it is, and its accuracy on test images."""
        return f"classifier trained on the data, {100 * self.accuracy:.2f} % accurate"


def train_classifier(
    train: ImageSet, test: ImageSet, seed: int = 0, steps: int = 600, device: str | torch.device = "cpu"
) -> Classifier:
    """Train a classifier of labelled images, and measure it on test images.

    Batches of 128 images, moved by up to two pixels; AdamW with a one-cycle schedule. A function of its arguments.

    Args:
        train: images with labels.
        test: images with labels, of the same classes.
        seed: of weights and order.
        steps: optimizer steps.
        device: where to train.

    Returns:
        The classifier on that device, with ``accuracy`` set.

    Raises:
        ValueError: if labels are missing.
    """
    if train.labels is None or test.labels is None:
        raise ValueError("train or test has no labels; a classifier needs them, use the low-resolution features.")
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(train.pixels.shape[1], max(classes, len(train.classes)))
    model.to(device).train()
    generator = torch.Generator().manual_seed(seed)
    pixels, labels = train.pixels.to(device), train.labels.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(pixels), (128,), generator=generator)
        moved = _moved(pixels[chosen.to(device)], generator)
        loss = nn.functional.cross_entropy(model(moved), labels[chosen.to(device)])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    model.eval()
    model.accuracy = float((model.predict(test.pixels).cpu() == test.labels).double().mean())
    return model


def _moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images moved together by a few rows and columns; what leaves at one side is lost."""
    most = min(SHIFT, (min(x.shape[2:]) - 1) // 8)
    down, right = (torch.randint(2 * most + 1, (2,), generator=generator)).tolist()
    padded = nn.functional.pad(x, (most, most, most, most))
    return padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]


def save_classifier(model: Classifier, path: str | Path) -> None:
    """Write weights, sizes and accuracy as one safetensors file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {"channels": model.channels, "classes": model.classes, "width": model.width, "accuracy": model.accuracy}
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, {"classifier": json.dumps(sizes)})


def load_classifier(path: str | Path) -> Classifier:
    """Read what :func:`save_classifier` wrote.

    Raises:
        ValueError: if there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"features is {str(path)!r}, which is no file; train a classifier and save it there.")
    try:
        with safe_open(path, "pt") as file:
            sizes = json.loads((file.metadata() or {})["classifier"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = Classifier(int(sizes["channels"]), int(sizes["classes"]), int(sizes["width"]))
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"features is {path.name}, which holds no classifier of images ({error}).") from error
    model.accuracy = float(sizes["accuracy"])
    return model.eval()


class ClassifierFeatures(nn.Module):
    """The classifier's hidden layer as a function of a batch, a part at a time.

    Args:
        classifier: a trained one.
        batch: images seen at a time.
    """

    def __init__(self, classifier: Classifier, batch: int = 512) -> None:
        super().__init__()
        self.classifier, self.batch = classifier, batch

    def forward(self, batch: Batch) -> Tensor:
        """Shape [B, 64] for ``x`` uint8 [B, C, H, W]; for more channels than the classifier's, side by side."""
        x, own = batch["x"], self.classifier.channels
        self.classifier.to(x.device)
        layers = x.reshape(-1, own, *x.shape[2:])
        found = torch.cat([self.classifier.features(part) for part in torch.split(layers, self.batch)])
        return found.reshape(len(x), -1)

