"""Names of classes, which are in the descriptions of trained weights alone."""

_IMAGENET_CATEGORIES = []
