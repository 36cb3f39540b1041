"""A joint model whose generator is as it was before its game: what the game itself has brought."""

from __future__ import annotations

import latentgen
from latentgen.stream import shuffled


def before_the_game(
    model: latentgen.LatentGenerativeModel, recipe: latentgen.Recipe
) -> latentgen.LatentGenerativeModel:
    """A model with the autoencoder and the score prior of a trained one, and a new generator.

    A new generator's network gives zero, whatever its seed: it draws E[z_0 | z_t] and a share of the posterior's noise.
    The moments of its chain are matched like those of a trained one.

    Args:
        model: trained by the recipe, with its modality's data.
        recipe: gives the new generator.
    """
    prepared = recipe.prepare(model.modality)
    fresh = prepared.model.to(model.device)
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("prior.gan.")}
    missing, unexpected = fresh.load_state_dict(kept, strict=False)
    strangers = [name for name in missing if not name.startswith("prior.gan.")]
    if strangers or unexpected:
        raise ValueError(f"model lacks {strangers} and has {unexpected}; give the recipe that it was trained by.")
    examples = shuffled(model.modality, model.modality.dataset("train"), 64, seed=0)
    fresh.eval()
    prepared.objectives[-1].finish({k: v.to(model.device) for k, v in batch.items()} for batch in examples)
    return fresh
