"""Names, quantities and expressions of a circuit as text of a Brian2 script.

Everything here is rebuilt from a syntax tree that the grammar of circuits has accepted, or escaped: no text of a circuit is
copied into the script as it stands.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable, Mapping

from .expression import CONSTANTS, FUNCTIONS, Statement, parse, render
from .units import DIMENSIONLESS, Dimension, coherent_name, is_unit, parse_unit

# What Brian2 keeps for itself: special variables, functions, attributes of groups, which a variable would shadow.
_BRIAN2 = """
N N_incoming N_outgoing N_pre N_post active add_attribute add_dependency add_to_magic_network after_run assign_id before_run
boolean check_variable_write clip clock code_objects codeobj_class connect contained_objects custom_operation default_event
delay dt equations event_codes event_driven events get_states i id indices integer invalidates_magic_network j lastspike
lastupdate method_choice multisynaptic_index name namespace not_refractory order poisson pre post rand randn refractory
refractory_until register_variable resetter resolve_all run run_on_event run_regularly runner self set_event_schedule set_states
source spikes start state state_updater stop subexpression_updater summed summed_updaters t t_in_timesteps target thresholder
timestep unless unregister_variable updaters user_equations variables verify_dependencies when xi
"""
# What the script calls its own things, and words of C, for those who run it with a compiled target.
_OURS = "Path script synapses data delivered dt duration expm late monitors network np numpy place set_propagators simulate timed value w where written_out"
_C = """
asm auto bool case catch char class const continue default delete do double else enum explicit export extern false float
float32 float64 for friend goto if inline int int8 int16 int32 int64 long main mutable namespace new NULL operator private
protected public register return short signed size_t sizeof static struct switch template this throw true try typedef
typeid typename union unsigned using virtual void volatile while
"""
TAKEN = frozenset(f"{_BRIAN2} {_OURS} {_C}".split()) | frozenset(FUNCTIONS)
"""Names that a variable of a circuit cannot keep in the script, beside units, builtins and those with a meaningful beginning or end."""

_BEGINNING = re.compile(r"xi_|pop_|inp_|syn_|eqs_|rows\d*_|reduce_")
_ENDING = re.compile(r".*(_pre|_post|_)")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)", re.DOTALL)

# Coherent units that Brian2 allows in equations only by the name of their base unit.
_BASE = {
    "ms": "second", "mV": "volt", "pA": "amp", "nS": "siemens", "pF": "farad", "Gohm": "ohm", "kHz": "hertz", "um": "metre",
    "fcoulomb": "coulomb", "mM": "mmolar", "amol": "mole", "kelvin": "kelvin", "candle": "candle",
}  # fmt: skip
STAR_UNITS = frozenset(["ms", "us", "mV", "pA", "nA", "uA", "mA", "pF", "nF", "uF", "nS", "uS", "um", "um2", "mm", "mm2", "cm", "cm2", "kHz", "MHz", "Hz", "mM", "uM", "nM", "Mohm", "Gohm", "kohm", "second", "metre", "volt", "amp", "siemens", "farad", "ohm", "hertz", "coulomb", "kelvin", "mole", "msiemens", "usiemens", "nsiemens", "mvolt", "msecond"])  # fmt: skip
"""Units that ``from brian2 import *`` brings; the others are imported by name."""


def brian2_names(names: Iterable[str]) -> dict[str, str]:
    """Name in the script of every variable of a population: its own, or with ``_var`` where that means something to Brian2."""
    wanted = list(dict.fromkeys(names))
    found = {name: name for name in wanted if not _is_taken(name)}
    used = {*wanted}
    for name in wanted:
        if name not in found:
            found[name] = fresh(f"{name.rstrip('_')}_var", used)
            used.add(found[name])
    return found


def fresh(name: str, used: Iterable[str]) -> str:
    """``name``, lengthened until nothing else is called so."""
    name = f"{name.rstrip('_')}_var" if _ENDING.fullmatch(name) else name
    name = f"var_{name}" if _BEGINNING.match(name) else name
    taken = {*used}
    while name in taken or _is_taken(name):
        name += "x"
    return name


def _is_taken(name: str) -> bool:
    meaningful = _BEGINNING.match(name) or _ENDING.fullmatch(name)
    return bool(meaningful) or name in TAKEN or hasattr(builtins, name) or is_unit(name)


# -- units ------------------------------------------------------------------------------------------------------------


def base_unit(dimension: Dimension) -> str:
    """``volt``, ``siemens``, ``volt/second``, ``1``: the unit that Brian2's equations take for a dimension."""
    return re.sub(r"[A-Za-z]+", lambda found: _BASE[found[0]], coherent_name(dimension))


def units_to_import(script: str) -> list[str]:
    """Units outside of strings that the star import does not bring, sorted."""
    found = {node.id for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Name)}
    return sorted(name for name in found - STAR_UNITS if is_unit(name))


def times_unit(text: str, dimension: Dimension) -> str:
    """``text`` in Python times the coherent unit of a dimension: ``data['x']*mV``."""
    return text if dimension == DIMENSIONLESS else f"{text}*{coherent_name(dimension)}"


def quantity(value: float | str, dimension: Dimension) -> str:
    """A written value in Python, as in the YAML: ``20*ms`` for "20 ms". A bare 0 gets the unit it stands for."""
    if not isinstance(value, str):
        return times_unit(number(value), dimension)
    found = _NUMBER.fullmatch(value)
    if found is None:
        raise ValueError(f"no quantity: {value!r:.60}")
    unit = found[2].strip()
    if unit in ("", "1"):
        return times_unit(number(float(found[1])), dimension)
    parse_unit(unit)  # refuses all that is no product of powers of units
    shown = ast.unparse(ast.parse(unit, mode="eval")).replace(" ", "")
    return f"{number(float(found[1]))}*{shown}"


def number(value: float) -> str:
    """The shortest text of a number that reads back as the same."""
    return repr(float(value)).removesuffix(".0")


# -- code ---------------------------------------------------------------------------------------------------------------


class _Rename(ast.NodeTransformer):
    def __init__(self, table: Mapping[str, str]) -> None:
        self.table = table

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in CONSTANTS:
            return node
        return ast.parse(self.table.get(node.id, node.id), mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id == "straight_through":
            return self.visit(node.args[0])  # type: ignore[no-any-return]  # only gradients see its second argument
        return ast.Call(node.func, [self.visit(a) for a in node.args], [])


def code(text: str, table: Mapping[str, str]) -> str:
    """An expression in Brian2's syntax, its names replaced by ``table``; units and functions stay."""
    tree = ast.parse(render(parse(text)), mode="eval").body
    return render(_Rename(table).visit(tree))


def value_of(text: str, table: Mapping[str, str], dimension: Dimension) -> str:
    """Right side of an assignment or equation; a bare 0, which fits every dimension, gets a unit."""
    tree = parse(text)
    if isinstance(tree, ast.Constant) and tree.value == 0 and dimension != DIMENSIONLESS:
        return f"0 * {coherent_name(dimension)}"
    return code(text, table)


_AUGMENTED: dict[type, str] = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*=", ast.Div: "/="}


def assignment(statement: Statement, table: Mapping[str, str], dimension: Dimension) -> str:
    """``x += y`` where a statement says ``x = x + y``, else ``x = y``."""
    target = table.get(statement.target, statement.target)
    match parse(statement.expression):
        case ast.BinOp(left=ast.Name(id=name), op=op, right=right) if (
            name == statement.target and type(op) in _AUGMENTED
        ):
            return f"{target} {_AUGMENTED[type(op)]} {code(render(right), table)}"
    return f"{target} = {value_of(statement.expression, table, dimension)}"


# -- free text ----------------------------------------------------------------------------------------------------------


def free_text(text: str, first: str = "", then: str = "", width: int = 112) -> list[str]:
    """Wrapped lines of an author's text that cannot end the docstring they stand in."""
    plain = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    wrapped = textwrap.wrap(" ".join(plain.split()), width, initial_indent=first, subsequent_indent=then)
    return [
        line.replace("\\", "\\\\").replace('"', '\\"') if '"""' in line or "\\" in line else line for line in wrapped
    ]
