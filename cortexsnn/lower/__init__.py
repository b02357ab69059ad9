"""Lowering: a circuit's equations and wiring to the statements of one step, and its constants to numbers."""

from .constants import NUMPY, Constants, constants, effective_weight, rule_numbers
from .lowering import lower

__all__ = ["NUMPY", "Constants", "constants", "effective_weight", "lower", "rule_numbers"]
