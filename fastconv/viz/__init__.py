"""Pictures of training, of networks and of what layers do to images. Needs matplotlib: ``pip install 'fastconv[viz]'``.

Every function returns a matplotlib figure: ``viz.learning_curves(history).savefig("curves.png")``.
"""

from fastconv.viz.images import padding_modes, pooling_effects
from fastconv.viz.network import feature_maps, filters, first_convolution, outputs_by_layer
from fastconv.viz.training import confusion_matrix, decision_boundary, learning_curves, misclassified

__all__ = [
    "confusion_matrix",
    "decision_boundary",
    "feature_maps",
    "filters",
    "first_convolution",
    "learning_curves",
    "misclassified",
    "outputs_by_layer",
    "padding_modes",
    "pooling_effects",
]
