"""The probability flow carries exact densities: Gaussians in closed form, mixtures by their own formula."""

import math

import pytest
import torch
from problems import PROCESSES, ExactDenoiser, GaussianMixture, gaussian, unequal_mixture

from latentgen.flow import flow_field, flow_log_prob, integrate
from latentgen.process import Process

# Exact answers assume solutions to about this tolerance; accumulated errors stay within some hundred times it.
TOLERANCE = 1e-6
CLOSE = 1e-3


@pytest.fixture(params=["vp", "ve", "sub-vp", "geometric", "cosine", "linear"])
def process(request):
    return PROCESSES[request.param]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def correlated() -> GaussianMixture:
    """N(0, S) with a full covariance."""
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixture(one, torch.zeros(1, 2).double(), torch.tensor([[[0.5, 0.3], [0.3, 0.8]]]).double())


def gaussian_flow_log_prob(mixture: GaussianMixture, process: Process, z: torch.Tensor) -> torch.Tensor:
    """Exact: the flow scales every eigendirection by the ratio of standard deviations, then N(z_1; 0, std^2 I)."""
    spread, axes = torch.linalg.eigh(mixture.covariances[0])
    first, last = process.ends(z)
    before, after = (process.alpha(t) ** 2 * spread + process.sigma2(t) for t in (first, last))
    ratio = (after / before).sqrt()
    z_1 = (z @ axes) * ratio
    terminal = torch.distributions.Normal(torch.zeros(()).double(), process.terminal_std)
    return (terminal.log_prob(z_1) + ratio.log()).sum(-1)


def test_field_is_the_probability_flow(process):
    """f z - g^2 / 2 score, with the score of the noised mixture by autograd."""
    mixture, t = unequal_mixture(), torch.tensor(0.4, dtype=torch.float64)
    z = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    times = t.expand(5)
    (score,) = torch.autograd.grad(mixture.log_prob(z, process, times).sum(), z)
    expected = process.drift(times)[:, None] * z - process.diffusion2(times)[:, None] / 2 * score
    assert torch.allclose(flow_field(ExactDenoiser(mixture, process))(t, z), expected)


def test_flow_moves_the_marginals():
    """Continuity: d/dt ln q_t along the flow is minus the divergence of its field, at a random point."""
    mixture, process = unequal_mixture(), PROCESSES["vp"]
    field = flow_field(ExactDenoiser(mixture, process))
    z, t = torch.randn(2, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    velocity = field(t, z[None])[0]
    jacobian = torch.autograd.functional.jacobian(lambda point: field(t, point[None])[0], z)
    h = 1e-5
    after, before = (mixture.log_prob((z + step * velocity)[None], process, (t + step)[None]) for step in (h, -h))
    assert ((after - before) / (2 * h)).item() == pytest.approx(-jacobian.trace().item(), rel=1e-6)


@pytest.mark.parametrize("ends", [(0.1, 0.9), (0.9, 0.1)])
def test_integrate_solves_a_linear_equation(ends):
    z = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    solution = integrate(lambda t, z: -3 * t * z, z, torch.tensor(ends, dtype=torch.float64), 1e-9)
    factor = math.exp(-1.5 * (ends[1] ** 2 - ends[0] ** 2))
    assert torch.allclose(solution[0], z)
    assert torch.allclose(solution[-1], factor * z, rtol=1e-7)


@pytest.mark.parametrize("ends", [(0.01, 1.0), (1.0, 0.01)])
def test_integrate_never_leaves_the_interval(ends):
    """Beyond t_min and 1 a process may have no meaning: sigma^2 < 0, alpha < 0."""
    seen = []

    def field(t, z):
        seen.append(float(t))
        return -z

    integrate(field, torch.ones(1, 1, dtype=torch.float64), torch.tensor(ends, dtype=torch.float64), 1e-3)
    assert min(seen) >= 0.01 - 1e-12
    assert max(seen) <= 1 + 1e-12


@pytest.mark.parametrize("mixture", [gaussian(0.3, 1.7), correlated()], ids=["diagonal", "correlated"])
def test_density_of_a_gaussian_is_exact(process, mixture):
    z = torch.randn(6, 2, dtype=torch.float64)
    value = flow_log_prob(ExactDenoiser(mixture, process), z, tolerance=TOLERANCE, exact=True)
    assert torch.allclose(value, gaussian_flow_log_prob(mixture, process, z), atol=CLOSE)


@pytest.mark.parametrize("name", ["vp", "ve", "sub-vp", "cosine"])
def test_density_of_a_mixture(name):
    """ln q(z_tmin) itself; the terminal law N(0, std^2 I) is that of z_1 up to alpha_1^2, below 5e-3 here."""
    process, mixture = PROCESSES[name], unequal_mixture()
    z = mixture.sample(8)
    t = torch.full((8,), process.t_min, dtype=torch.float64)
    value = flow_log_prob(ExactDenoiser(mixture, process), z, tolerance=TOLERANCE, exact=True)
    assert torch.allclose(value, mixture.log_prob(z, process, t), atol=5e-3)


def test_density_of_the_mixture_integrates_to_one():
    """No formula of the mixture: a grid of flow densities sums to 1."""
    process, mixture = PROCESSES["vp"], unequal_mixture()
    x, y = torch.linspace(-2.6, 3.0, 45).double(), torch.linspace(-2.4, 2.2, 45).double()
    z = torch.cartesian_prod(x, y)
    density = flow_log_prob(ExactDenoiser(mixture, process), z, tolerance=1e-4, exact=True).exp()
    assert (density.sum() * (x[1] - x[0]) * (y[1] - y[0])).item() == pytest.approx(1, abs=5e-3)


def test_one_probe_is_exact_where_the_jacobian_is_diagonal(process):
    mixture, z = gaussian(0.3, 1.7), torch.randn(6, 2, dtype=torch.float64)
    value = flow_log_prob(ExactDenoiser(mixture, process), z, tolerance=TOLERANCE)
    assert torch.allclose(value, gaussian_flow_log_prob(mixture, process, z), atol=CLOSE)


class Probes:
    """Stands for a noise stream: gives the numbers that it was made with."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    def normal_like(self, z: torch.Tensor) -> torch.Tensor:
        return self.value


def test_hutchinsons_estimate_is_unbiased():
    """Its mean over all four sign patterns of two dimensions is the exact trace; each alone is not."""
    mixture, process = correlated(), PROCESSES["vp"]
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    z = torch.tensor([[0.4, -0.9]], dtype=torch.float64).expand(4, 2)
    value = flow_log_prob(ExactDenoiser(mixture, process), z, tolerance=TOLERANCE, noise=Probes(signs))
    exact = gaussian_flow_log_prob(mixture, process, z)[0]
    assert value.mean().item() == pytest.approx(exact.item(), abs=CLOSE)
    assert (value - exact).abs().min() > 0.05


@pytest.mark.parametrize("exact", [True, False])
def test_masked_items_count_nothing_and_influence_nothing(exact):
    """Items are independent here, so that the density of a set is the product over its real items."""
    mixture, process = gaussian(0.3, 1.7), PROCESSES["vp"]
    denoiser = ExactDenoiser(mixture, process)
    z = torch.randn(3, 4, 2, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    value = flow_log_prob(denoiser, z, mask, tolerance=TOLERANCE, exact=exact)
    items = gaussian_flow_log_prob(mixture, process, z.reshape(-1, 2)).reshape(3, 4)
    assert torch.allclose(value, (items * mask).sum(1), atol=CLOSE)
    other = torch.where(mask[..., None], z, torch.randn_like(z))
    assert torch.allclose(flow_log_prob(denoiser, other, mask, tolerance=TOLERANCE, exact=exact), value, atol=CLOSE)


def test_density_can_be_asked_for_without_gradients_and_leaves_none():
    denoiser = ExactDenoiser(gaussian(0.3, 1.7), PROCESSES["vp"])
    z = torch.randn(2, 2, requires_grad=True)
    with torch.no_grad():
        value = flow_log_prob(denoiser, z.detach(), tolerance=1e-3)
    assert not value.requires_grad
    assert value.isfinite().all()
