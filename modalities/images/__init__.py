"""Images: data, networks, likelihoods, figures."""
