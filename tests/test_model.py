"""The model that a user holds: sampling, editing, likelihood, saving."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
import yaml
from toy import Toy, ToyAutoencoder

import latentgen
from latentgen.evaluation import sample_without_prior
from latentgen.interpolation import from_noise, to_noise
from latentgen.joining import join
from latentgen.noise import NoiseStream
from latentgen.storage import export_safetensors, read_safetensors
from modalities.graphs import Graphs
from modalities.graphs.likelihood import GraphLikelihood


@pytest.fixture(scope="module")
def model() -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    return shaken(latentgen.LSGM(width=16, depth=1, heads=2).prepare(Toy()).model)


@pytest.fixture(scope="module")
def graph_model() -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    graphs = Graphs(train_size=30, test_size=10)
    return shaken(latentgen.LSGM(width=16, depth=1, heads=2).prepare(graphs).model)


def shaken(model: latentgen.LatentGenerativeModel) -> latentgen.LatentGenerativeModel:
    """Weights away from their zero starts, so that samples depend on every input."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("sampler", ["dpm", "ancestral", "euler", "pc"])
def test_sample_i_does_not_depend_on_batch_size_or_count(graph_model, sampler: str) -> None:
    whole = graph_model.sample(10, sampler, steps=4, seed=3, batch_size=10)
    parts = graph_model.sample(7, sampler, steps=4, seed=3, batch_size=3)
    tail = graph_model.sample(3, sampler, steps=4, seed=3, start=7)
    both = join([parts, tail])
    n = min(whole["mask"].shape[1], both["mask"].shape[1])
    assert torch.equal(whole["mask"][:, :n], both["mask"][:, :n])
    assert torch.equal(whole["edges"][:, :n, :n], both["edges"][:, :n, :n])


def test_draws_depend_on_the_seed_and_the_number_alone(graph_model) -> None:
    """A likelihood draws from a generator that neighbours share; a sample's draw must not know its neighbours."""
    outside = torch.random.get_rng_state()
    whole = graph_model.sample(10, steps=2, seed=3, batch_size=10, mode=False)
    assert torch.equal(outside, torch.random.get_rng_state())
    parts = graph_model.sample(7, steps=2, seed=3, batch_size=3, mode=False)
    assert graphs_of(parts) == graphs_of(whole)[:7]
    tail = graph_model.sample(3, steps=2, seed=3, start=7, mode=False)
    assert graphs_of(tail) == graphs_of(whole)[7:]
    assert graphs_of(graph_model.sample(10, steps=2, seed=3)) != graphs_of(whole)
    # common latents, other streams
    z, mask = torch.zeros(2, 5, graph_model.prior.latents.channels), torch.ones(2, 5, dtype=torch.bool)
    one, other = (graph_model.read(z, mask, NoiseStream(seed, range(2)), mode=False) for seed in (0, 1))
    assert graphs_of(one) != graphs_of(other)


def test_a_modality_that_draws_is_drawn_from_everywhere(graph_model) -> None:
    """Graphs whose every edge has probability .3: the most probable graph is empty, and none should be."""
    drawing = latentgen.LatentGenerativeModel(
        Graphs(data="communities", train_size=12, test_size=4, draws=True), RandomEdges(graph_model.autoencoder),
        graph_model.prior,
    )
    test = drawing.modality.dataset("test").__getitems__([0, 1])
    assert drawing.sample(2, steps=2)["edges"].sum() > 0
    assert drawing.reconstruct(test)["edges"].sum() > 0
    assert drawing.edit(test, 0.5, steps=2)["edges"].sum() > 0
    assert all(state["edges"].sum() > 0 for state in drawing.trajectory(2, steps=2))
    assert all(state["edges"].sum() > 0 for state in drawing.interpolate(test, test, 2, tolerance=1e-2))
    assert sample_without_prior(drawing, test, 2, seed=0)["edges"].sum() > 0
    assert drawing.sample(2, steps=2, mode=True)["edges"].sum() == 0


class RandomEdges(latentgen.Autoencoder):
    """Another autoencoder's latents, and edges that know nothing of them."""

    def __init__(self, inner: latentgen.Autoencoder) -> None:
        super().__init__()
        self.inner = inner

    def encode(self, batch):
        return self.inner.encode(batch)

    def decode(self, z, mask=None):
        n = z.shape[1]
        logits = torch.tensor([0.7, 0.3]).log().expand(len(z), n, n, 2)
        return GraphLikelihood(torch.zeros(len(z), n, 1), logits, mask)


def graphs_of(batch: latentgen.Batch) -> list[list[list[int]]]:
    """Adjacency lists without padding."""
    return [edges[mask][:, mask].tolist() for edges, mask in zip(batch["edges"], batch["mask"], strict=True)]


def test_reading_again_repeats_reconstructions_from_a_seed(graph_model) -> None:
    batch = graph_model.modality.dataset("test").__getitems__([0, 1, 2])
    outside = torch.random.get_rng_state()
    found = graph_model.reread(batch, 2, seed=5)
    assert torch.equal(outside, torch.random.get_rng_state())
    assert graphs_of(graph_model.reread(batch, 2, seed=5)) == graphs_of(found)
    assert graphs_of(graph_model.reread(batch, 2, seed=6)) != graphs_of(found)
    torch.manual_seed(5)
    assert graphs_of(graph_model.reconstruct(graph_model.reconstruct(batch))) == graphs_of(found)
    with pytest.raises(ValueError, match="passes is 0"):
        graph_model.reread(batch, 0)


def test_seeds_matter_and_repeat(model) -> None:
    a, b, c = (model.sample(5, steps=3, seed=seed)["x"] for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_calls_are_counted(model) -> None:
    for sampler, steps, calls in (("dpm", 5, 5), ("heun", 5, 9), ("pc", 5, 9), ("ddim", 1, 1)):
        model.sample(2, sampler, steps=steps)
        assert model.calls == calls, sampler
    model.sample(2, "ode", tolerance=1e-2)
    assert model.calls > 5


def test_unknown_sampler_lists_the_known_ones(model) -> None:
    with pytest.raises(ValueError, match="sampler is 'magic'; the known ones are ancestral, ddim, dpm, euler, gan"):
        model.sample(1, "magic")
    with pytest.raises(ValueError, match=r"tolerance is 0\.1 for sampler 'dpm', which takes steps and spacing"):
        model.sample(1, "dpm", tolerance=0.1)
    with pytest.raises(ValueError, match="n is 0; ask for at least 1 sample"):
        model.sample(0)


def test_sampling_leaves_the_mode_of_the_model_alone(model) -> None:
    model.train()
    model.sample(2, steps=2)
    assert model.training
    model.eval()


def test_interpolation_ends_at_its_ends(model) -> None:
    a, b = {"x": torch.tensor([[1.0, 0.0]])}, {"x": torch.tensor([[0.0, -1.0]])}
    path = model.interpolate(a, b, 5, tolerance=1e-6)
    assert len(path) == 5
    for end, given in ((path[0], a), (path[-1], b)):
        q = model.encode(given)
        there = to_noise(model.prior, q, 1e-6)
        back = model.decode(from_noise(model.prior, there, None, 1e-6)).mode()["x"]
        torch.testing.assert_close(end["x"], back, atol=1e-3, rtol=0)


def test_the_flow_is_a_one_to_one_code(model) -> None:
    q = model.encode({"x": torch.randn(6, 2)})
    back = from_noise(model.prior, to_noise(model.prior, q, 1e-7), None, 1e-7)
    # the flow is left and entered at t_min, where the last call removes noise of standard deviation sigma(t_min)
    assert float((back - q.mean).abs().max().detach()) < 0.2


def test_interpolation_between_graphs_of_different_size(graph_model) -> None:
    test = graph_model.modality.dataset("test")
    order = test.sizes.long().argsort()
    a, b = (test.__getitems__([int(number)]) for number in (order[0], order[-1]))
    path = graph_model.interpolate(a, b, 4)
    assert [int(step["mask"].sum()) for step in path] == [
        int(a["mask"].sum()), int(a["mask"].sum()), int(b["mask"].sum()), int(b["mask"].sum())
    ]


def test_numbers_of_items_may_be_asked_for(graph_model, model) -> None:
    most = graph_model.prior.latents.shape[0]
    numbers = torch.tensor([3, most, 1, 2, 3])
    mask = torch.arange(most) < numbers[:, None]
    made = graph_model.sample(5, steps=2, mask=mask)
    assert made["mask"].sum(1).tolist() == numbers.tolist()
    parts = graph_model.sample(5, steps=2, mask=mask, batch_size=2)
    assert torch.equal(parts["edges"], made["edges"])
    assert graph_model.sample(2, steps=2, mask=mask[:1])["mask"].sum(1).tolist() == [3, 3]
    for bad, message in (
        (mask.long(), "mask is torch.int64 of shape"),
        (mask[:, :-1], rf"expected bool \[5, {most}\]"),
        (mask.flip(1), "with gaps"),
        (mask & False, "without items"),
    ):
        with pytest.raises(ValueError, match=message):
            graph_model.sample(5, steps=2, mask=bad)
    with pytest.raises(ValueError, match="whose samples all have as many items"):
        model.sample(5, mask=mask)


def test_a_plain_vae_interpolates_in_its_latents() -> None:
    made = latentgen.VAE().prepare(Toy()).model
    a, b = {"x": torch.randn(5, 2)}, {"x": torch.randn(5, 2)}
    first, middle, last = made.interpolate(a, b, 3)
    ends = [made.encode(end).mean for end in (a, b)]
    for found, z in ((first, ends[0]), (last, ends[1])):
        torch.testing.assert_close(found["x"], made.decode(z).mode()["x"], atol=1e-4, rtol=0)
    half = torch.acos(torch.cosine_similarity(*ends, dim=1))[:, None] / 2
    torch.testing.assert_close(middle["x"], made.decode(sum(ends) / (2 * half.cos())).mode()["x"], atol=1e-3, rtol=1e-3)


def test_a_plain_vae_interpolates_between_graphs_of_different_size() -> None:
    graphs = Graphs(data="trees", train_size=8, test_size=2, options={"nodes": 5}, max_nodes=9)
    made = latentgen.VAE().prepare(graphs).model
    a = graphs.dataset("test").__getitems__([0])
    b = {"nodes": a["nodes"][:, :3], "edges": a["edges"][:, :3, :3], "mask": a["mask"][:, :3]}
    assert [int(point["mask"].sum()) for point in made.interpolate(a, b, 4)] == [5, 5, 3, 3]
    with pytest.raises(ValueError, match=r"edit needs a score prior; .* NormalPrior: train one on its latents"):
        made.edit(a)


def test_trajectory_has_one_picture_a_call_and_ends_at_the_sample(model) -> None:
    states = model.trajectory(3, steps=4, seed=5)
    assert len(states) == 4
    torch.testing.assert_close(states[-1]["x"], model.sample(3, steps=4, seed=5)["x"])


def test_editing_forgets_more_with_strength(model) -> None:
    batch = {"x": torch.randn(40, 2)}
    q = model.encode(batch).mean
    near = model.decode(q).mode()["x"]
    edited = [model.edit(batch, strength, seed=1)["x"] for strength in (0.02, 0.3, 1)]
    changes = [float((x - near).norm(dim=1).mean()) for x in edited]
    assert changes[0] < changes[1] < changes[2]
    with pytest.raises(ValueError, match=r"strength is 1\.5; give a time between"):
        model.edit(batch, 1.5)


def test_log_prob_of_an_exact_linear_model() -> None:
    """q = p = the true posterior of x = z + 0.1 noise with z ~ N(0, 1): the bound is ln N(x; 0, 1.01), exactly."""

    class Linear(ToyAutoencoder):
        def encode(self, batch):
            x = batch["x"]
            return latentgen.DiagonalGaussian(x / 1.01, torch.full_like(x, math.sqrt(0.01 / 1.01)))

        def decode(self, z, mask=None):
            return latentgen.NormalLikelihood(z, std=0.1)

    spec = latentgen.LatentSpec((2,))
    normal = latentgen.NormalPrior(spec)
    process = latentgen.VPSDE(t_min=1e-3)
    score = latentgen.ScorePrior(spec, latentgen.VelocityDenoiser(latentgen.Transformer(spec, 16, 1, 2), process))
    torch.manual_seed(0)
    x = torch.randn(4000, 2) * math.sqrt(1.01)
    exact = -0.5 * (x**2 / 1.01 + math.log(2 * math.pi * 1.01)).sum(1)
    for prior, method in ((normal, "bound"), (score, "bound"), (score, "ode")):
        model = latentgen.LatentGenerativeModel(Toy(), Linear(), prior)
        found = model.log_prob({"x": x}, method)
        error = (found - exact).double()
        tolerance = 5 * float(error.std()) / math.sqrt(len(x)) + (0.01 if method == "ode" else 0.0)
        assert abs(float(error.mean())) < tolerance + 1e-4, (type(prior).__name__, method)
    estimate = model.nelbo([{"x": x[:50]}, {"x": x[50:100]}], "bound")
    assert estimate.count == 100
    assert estimate.standard_error > 0


def test_save_load_sample(model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path)
    assert torch.equal(model.sample(4, steps=3)["x"], loaded.sample(4, steps=3)["x"])
    assert not loaded.training
    assert "latentgen.load" in (tmp_path / "README.md").read_text()


def test_a_model_of_foreign_classes_needs_trust(model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors, config = model.tensors(), model.config()
    config["modality"] = {"class_path": "this.Poem", "init_args": {}}
    export_safetensors(path, tensors, config)
    with pytest.raises(ValueError, match=r"class_path is 'this\.Poem', whose package is not one of"):
        latentgen.load(path)
    assert "this" not in sys.modules
    export_safetensors(path, tensors, {**config, "modality": {"class_path": "os.PathLike", "init_args": {}}})
    with pytest.raises(ValueError, match="not a latentgen component"):
        latentgen.load(path, trust_remote_code=True)


def test_weights_that_do_not_fit_change_nothing(model, tmp_path: Path) -> None:
    tensors = model.tensors()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    name = next(iter(before))
    with pytest.raises(ValueError, match="missing"):
        model.load_tensors({key: value for key, value in tensors.items() if key != name})
    with pytest.raises(ValueError, match="another shape"):
        model.load_tensors({**tensors, name: torch.zeros(1, 1, 1)})
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_loading_explains_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has neither model.safetensors nor export/model.safetensors"):
        latentgen.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        latentgen.load(tmp_path / "nothing")


def test_a_newer_format_is_refused(model, tmp_path: Path) -> None:
    export_safetensors(tmp_path / "model.safetensors", model.tensors(), {**model.config(), "format": 99})
    with pytest.raises(ValueError, match="has model format 99 and this version reads 1"):
        latentgen.load(tmp_path)


def test_the_header_is_json(model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    _, config = read_safetensors(tmp_path / "model.safetensors")
    assert json.loads(json.dumps(config))["prior"]["class_path"] == "latentgen.ScorePrior"


def test_push_to_hub_uploads_the_saved_folder(model, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    seen = {}

    class Api:
        def __init__(self, token=None) -> None:
            seen["token"] = token

        def create_repo(self, name, private, exist_ok) -> None:
            seen["private"] = private

        def upload_folder(self, repo_id, folder_path):
            seen["files"] = sorted(path.name for path in Path(folder_path).iterdir())
            return type("Commit", (), {"commit_url": f"https://hub/{repo_id}"})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert model.push_to_hub("me/toy", token="secret") == "https://hub/me/toy"
    assert seen == {"token": "secret", "private": True, "files": ["README.md", "model.safetensors"]}


def test_a_hub_that_cannot_be_reached_is_one_sentence(model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> None:
        def create(self, name, private, exist_ok) -> None:
            raise error

        monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create)

    class ConnectError(Exception):
        """As the hub's client raises one: no OSError."""

    fails(ConnectError("[Errno -2] Name or service not known\n\nmore"))
    with pytest.raises(ConnectionError, match=r"not uploaded to me/toy \(ConnectError: .* not known\); check the conn"):
        model.push_to_hub("me/toy")
    fails(ValueError("Repo id must be"))
    with pytest.raises(ValueError, match=r"^Repo id must be"):
        model.push_to_hub("a/b/c")


def test_the_model_card_says_what_the_model_is_and_how_it_is_loaded(model, graph_model, tmp_path: Path) -> None:
    cards = [made.save_pretrained(tmp_path / name) / "README.md" for name, made in (("a", model), ("b", graph_model))]
    toy, graphs = (card.read_text() for card in cards)
    assert 'latentgen.load("path or hub name", trust_remote_code=True)' in toy and "runs code of toy, which" in toy
    assert 'latentgen.load("path or hub name")' in graphs and "runs code" not in graphs
    count = sum(parameter.numel() for parameter in graph_model.parameters())
    assert f"| parameters | {count:,} |" in graphs and "| latents | set [" in graphs and "torch 2." in graphs
    secret = latentgen.LatentGenerativeModel(Graphs(data="https://me:key@host/graphs"), model.autoencoder, model.prior)
    assert "key" not in secret._card() and "(hidden)host" in secret._card()
    described = graphs.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(described) == graph_model.config()["modality"]
