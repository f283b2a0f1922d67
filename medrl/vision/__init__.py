"""Models that see: how the families of vision-language models take pictures."""

from medrl.vision.families import FAMILIES, Family, family_of
from medrl.vision.sight import Sight, load_sight

__all__ = ["FAMILIES", "Family", "Sight", "family_of", "load_sight"]
