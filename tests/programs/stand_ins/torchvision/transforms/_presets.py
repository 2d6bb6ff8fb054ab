"""Names in the descriptions of trained weights."""

from enum import Enum


class InterpolationMode(Enum):
    BICUBIC = "bicubic"


class ImageClassification:
    pass
