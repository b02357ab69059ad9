"""Hydra configurations, found as ``pkg://cortexsnn.configs``."""
