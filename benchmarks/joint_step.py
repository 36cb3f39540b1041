"""One training step of LSGM: one backward pass against the two of the published algorithm, side by side."""

from __future__ import annotations

import time

import torch
from harness import mean_spread
from torch import Tensor

import latentgen
from latentgen.tensors import Batch, event_sum, over
from modalities.graphs import Graphs


def two_backward_step(objective: latentgen.JointELBO, batch: Batch) -> dict[str, Tensor]:
    """The reference: encoder gradients from the likelihood-weighted loss, prior gradients from the other one.

    Both losses share one forward pass; each is differentiated on its own with respect to the parameters it trains, so
    nothing is computed for parameters whose gradient would be thrown away.
    """
    q = objective.autoencoder.encode(batch)
    z = q.rsample()
    reconstruction = -objective.autoencoder.decode(z, q.mask).log_prob(batch)
    prior, process = objective.prior, objective.prior.process
    t, density = objective.times(len(z), process)
    eps = torch.randn_like(z)
    z_t = over(process.alpha(t), z) * z + over(process.sigma(t), z) * eps
    error = event_sum((prior.denoiser(z_t, t, q.mask).eps - eps) ** 2, q.mask)
    w_q = latentgen.LikelihoodWeighting()(process, t) / density
    w_p = objective.weighting(process, t) / density
    beta, dims = 0.1, prior.latents.dims
    loss_q = (reconstruction + beta * (w_q * error + prior.fixed_terms(z, q.mask) - q.entropy())).mean() / dims
    loss_p = (w_p * error).mean() / dims
    loss_q.backward(retain_graph=True)
    for parameter in prior.parameters():
        parameter.grad = None
    loss_p.backward(inputs=list(prior.parameters()))
    return {"loss": loss_q}


def joint_step_ratio(repeats: int = 15) -> tuple[float, float]:
    """Median time of the reference over the median time of ``JointELBO``, alternating; and the spread of three runs."""
    graphs = Graphs(train_size=256, test_size=16)
    batch = graphs.dataset("train").__getitems__(list(range(64)))
    torch.manual_seed(0)
    prepared = latentgen.LSGM(kl_weight=0.1).prepare(graphs)
    objective = prepared.objectives[0]
    assert isinstance(objective, latentgen.JointELBO)

    def one() -> None:
        objective(batch)["loss"].backward()

    def two() -> None:
        two_backward_step(objective, batch)

    ratios = []
    for _ in range(3):
        times: dict[str, list[float]] = {"one": [], "two": []}
        for number in range(repeats + 2):
            for name, step in (("one", one), ("two", two)):
                start = time.perf_counter()
                step()
                if number >= 2:
                    times[name].append(time.perf_counter() - start)
                objective.zero_grad(set_to_none=True)
        ratios.append(sorted(times["two"])[repeats // 2] / sorted(times["one"])[repeats // 2])
    return mean_spread(ratios)


if __name__ == "__main__":
    torch.set_num_threads(1)
    ratio, spread = joint_step_ratio()
    print(f"two-backward / one-backward: {ratio:.3f} +- {spread:.3f}")
