"""Functions that Brian2 lacks, or whose meaning there depends on the code generation target; all of them yield floats.

Brian2 has no ``where``, and wraps its ``exprel`` in a check of units that takes longer than the rest of a step. Its ``int`` and
``sign`` are whole numbers in C++: a ratio of two of them is computed in single precision or cut off. Its ``clip`` with bounds in
the wrong order gives the lower one in C++ and the upper one in numpy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ..lower import NUMPY
from .to_brian2_names import OWN

_ARGUMENTS = {"where": (("boolean", "c"), ("float", "a"), ("float", "b")), "int": (("any", "x"),)}
_ARGUMENTS |= {"clip": (("float", "x"), ("float", "low"), ("float", "high"))}
_ANY_FLOAT = (("float", "x"),)
_CPP = {
    "where": "c ? a : b",
    "exprel": "x == 0.0 ? 1.0 : std::expm1(x == 0.0 ? 1.0 : x)/x",
    "int": "std::trunc(x)",
    "sign": "x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0",
    "clip": "x > high || low > high ? high : x < low ? low : x",
}
_CYTHON = {
    "where": "a if c else b",
    "exprel": "1.0 if fabs(x) < 1e-16 else expm1(x)/x",
    "int": "trunc(x)",
    "sign": "1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)",
    "clip": "high if x > high or low > high else (low if x < low else x)",
}


@cache
def functions() -> dict[str, Any]:
    """Brian2 functions by the names that translated expressions call."""
    return {brian_name: _function(name, f"cortex_{brian_name}") for name, brian_name in OWN.items()}


def _function(name: str, code_name: str) -> Any:
    import brian2 as b2

    arguments = _ARGUMENTS.get(name, _ANY_FLOAT)
    in_numpy = NUMPY.functions[name]
    function = b2.Function(
        lambda *values: in_numpy(*values),
        arg_units=[None] * len(arguments),
        arg_types=[kind for kind, _ in arguments],
        return_unit=1,
        return_type="float",
    )
    function.implementations.add_implementation("numpy", in_numpy)  # without a wrapper
    for language, boolean, form in (
        ("cpp", "bool", "static inline double {head} {{ return {body}; }}"),
        ("cuda", "bool", "__host__ __device__ static inline double {head} {{ return {body}; }}"),
        ("cython", "bint", "from libc.math cimport expm1, fabs, trunc\ncdef double {head}:\n    return {body}\n"),
    ):
        listed = ", ".join(f"{boolean if kind == 'boolean' else 'double'} {argument}" for kind, argument in arguments)
        body = (_CYTHON if language == "cython" else _CPP)[name]
        code = form.format(head=f"{code_name}({listed})", body=body)
        function.implementations.add_implementation(language, code, name=code_name)
    return function
