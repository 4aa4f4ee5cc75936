"""What in a sample would fool a reader: named warnings with numbers."""

from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.artefacts.collect import row_warnings, sample_warnings
from noise_lens.inference.artefacts.estimates import disagreement, unused_columns

__all__ = ["Artefact", "disagreement", "row_warnings", "sample_warnings", "unused_columns"]
