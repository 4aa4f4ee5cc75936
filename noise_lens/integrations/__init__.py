"""NoiseLens as a callback of a training framework, one framework a module.

Nothing is imported here: ``from noise_lens.integrations.lightning import NoiseLensCallback``, or
``from noise_lens.integrations.transformers import NoiseLensCallback``.
"""
