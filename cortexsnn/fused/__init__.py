"""Fused kernels: the steps of a component of the circuit graph as one compiled function, forward and in reverse.

statements -> tape (operations and their adjoints) -> phases of a step -> source text -> compiled function -> autograd Function.
"""
