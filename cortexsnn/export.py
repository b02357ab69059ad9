"""to_brian2_script: a circuit as a Brian2 script with units, for colleagues who do not have this package."""

from __future__ import annotations

import ast
import io
import os
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, Problem
from .export_language import free_text, number, units_to_import
from .export_neurons import WIDTH, Cells, filled, indented
from .export_plan import Plan
from .export_regular import Regular, rows_name
from .export_synapses import input_section, projection_section
from .lower import lower
from .realise import realise
from .run import prepare
from .spec import Circuit
from .specfile import write_files
from .validate import validate


def to_brian2_script(
    circuit: Circuit,
    path: str | os.PathLike[str] | None = None,
    duration: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> str:
    """Write a circuit as a plain Brian2 script that gives the spikes of ``simulate(circuit, inputs, duration, seed=seed)``.

    The script holds the equations in their own syntax and units and needs Brian2 alone. What was drawn (connections, weights,
    delays, initial values, parameters that differ between cells, input) lies in ``NAME.npz`` beside it. States are equal up to
    the last digits: Brian2 adds jumps one by one, and works in SI units. A voltage that meets its threshold exactly may
    therefore spike in one and not in the other.

    Parameters
    ----------
    circuit : Circuit
    path : path of the script, optional
        Ends in ``.py``; the numbers go to the same name with ``.npz``. Both files are complete before they take their names.
        Without a path nothing is written, and the text alone does not run.
    duration : str, optional
        For example "500 ms", as in :func:`simulate`.
    inputs : mapping, optional
        Input name -> array (step, channel) or (step, 1, channel): one trial.
    seed : int, >= 0

    Returns
    -------
    str
        The script.

    Raises
    ------
    InputError
        The circuit holds something that a plain Brian2 script cannot say: lists all of it, each with its path; or inputs,
        duration, seed or path that do not fit.
    SpecError
        The circuit is not valid.
    CheckpointError
        The place cannot be written; no file has changed then.
    """
    target = None if path is None else _checked_path(path)
    program = lower(validate(circuit))
    realisation = realise(circuit, seed)
    plan = Plan(circuit, program, realisation, prepare(circuit, program, realisation, inputs, duration, trials=1))
    body = _body(plan)
    if plan.problems:
        raise InputError(_listed(plan.problems))
    lines = [*_docstring(plan, target), *_imports(plan, body), *_helpers(plan), *body, *_ending(plan)]
    script = "\n".join([*lines, ""])
    ast.parse(script)  # a last check on what was put together
    if target is not None:
        write_files({target.with_suffix(".npz"): _archive(plan.data), target: script.encode("utf-8")})
    return script


def _checked_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: expected the name of a script, got {type(path).__name__}")
    target = Path(path)
    if target.suffix != ".py":
        raise InputError(f"path: expected a name that ends in .py, got '{target}'; rename it")
    return target


def _archive(data: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **data)  # type: ignore[arg-type]
    return stream.getvalue()


def _listed(problems: list[Problem]) -> str:
    found = list(dict.fromkeys(map(str, problems)))
    if len(found) == 1:
        return f"no plain Brian2 script can say this: {found[0]}"
    return "\n".join([f"no plain Brian2 script can say these {len(found)} things:", *(f"  - {line}" for line in found)])


# -- sections -----------------------------------------------------------------------------------------------------------

_CONVENTIONS = """
Step k covers the time from k*dt to (k + 1)*dt: inputs, arrivals, update, threshold, reset. Arrivals come before the update here
(Brian2's default schedule has them after the threshold), so that a reset cannot wipe them out. Either way, what a neuron sends
in step k finds its synapses in step k + 1 at the earliest, so its delays are one dt shorter for Brian2 than they are in the
circuit. Inputs send at the beginning of a step and keep their delays. A pulse lasts one step: what arrives is added up, read by
one update, and cleared at the end of the step.
"""
_STAGES = """
Some projections have no delay at all. For their sake the groups run one after the other, in stages, and such synapses deliver
after the thresholds of one stage and before the update of the next.
"""


def _docstring(plan: Plan, target: Path | None) -> list[str]:
    circuit, dt = plan.circuit, number(plan.program.dt)
    name = target.stem if target else "NAME"
    head = free_text(f"{circuit.name}: {circuit.description}" if circuit.description else f"{circuit.name}.")
    head[0] = f'"""{head[0]}'
    sources = [line for s in circuit.sources for line in free_text(s, "  - ", "    ")]
    exported = (
        f"Exported by cortexsnn {metadata.version('cortexsnn')}: circuit {circuit.hash}, seed {plan.realisation.seed}, "
        f"{plan.job.n_steps} steps of {dt} ms."
    )
    run = (
        f"Needs Brian2 and {name}.npz, which holds what was drawn. Executed, it simulates, prints the number of spikes of each "
        f"population and saves {name}_spikes.npz with the arrays POPULATION.step and POPULATION.neuron. Imported, it offers "
        "simulate(), once, with the same result."
    )
    conventions = [_CONVENTIONS, *([_STAGES] if len(plan.program.stages) > 1 else [])]
    paragraphs = [free_text(exported), free_text(run), *map(free_text, conventions)]
    listed = [["Sources:", *sources]] if sources else []
    lines = head
    for paragraph in [*listed, *paragraphs]:
        lines += ["", *paragraph]
    return [*lines, '"""', ""]


def _imports(plan: Plan, body: list[str]) -> list[str]:
    units = units_to_import("\n".join(body))
    extra = [f"from brian2.units.allunits import {', '.join(units)}"] if units else []
    scipy = ["from scipy.linalg import expm"] if "set_propagators" in plan.helpers else []
    return ["from pathlib import Path", "", "import numpy as np", "from brian2 import *", *extra, *scipy, ""]


def _body(plan: Plan) -> list[str]:
    inputs = [line for name in plan.circuit.inputs for line in input_section(plan, name)]
    populations = _populations(plan)  # before the synapses, which read variables that these declare
    synapses = [line for route in plan.routes.values() for line in projection_section(plan, route)]
    titled = ["", f"{'# -- projections ':-<{WIDTH}}", *synapses] if synapses else []
    return [*inputs, *populations, *titled, *_network(plan)]


def _populations(plan: Plan) -> list[str]:
    """All groups; equations that several of them have stand in front."""
    found = [Regular(Cells(plan, name)) for name in plan.circuit.populations]
    for regular in found:
        regular.declare()
        regular.cells.compose()
    counted = Counter(regular.cells.equations for regular in found)
    names: dict[tuple[str, ...], str] = {}
    lines: list[str] = []
    for regular in found:
        cells = regular.cells
        if counted[cells.equations] > 1 and cells.equations not in names:
            wish = f"eqs_{'_'.join(plan.circuit.populations[cells.name].pieces)}"
            while wish in names.values():
                wish += "x"
            names[cells.equations] = wish
            lines += ["", f"{names[cells.equations]} = '''", *indented(cells.equations), "'''"]
        lines += [*cells.section(names.get(cells.equations)), *regular.section()]
    return lines


def _settings(plan: Plan) -> list[str]:
    target = "starts at once; 'cython' is faster in long runs"
    if "where" in plan.helpers:
        target = "starts at once; other targets lack 'where'"
    elif plan.divides:
        target += ", but stops at the 0/0 below unless the next line is removed"
    return [
        "data = np.load(Path(__file__).with_suffix('.npz'), allow_pickle=False)",
        f"prefs.codegen.target = 'numpy'  # {target}",
        "prefs.codegen.loop_invariant_optimisations = False  # keeps the order of operations",
        f"defaultclock.dt = {number(plan.program.dt)}*ms",
        "dt = defaultclock.dt",
    ]


def _network(plan: Plan) -> list[str]:
    spiking = [n for n, model in plan.models.items() if model.threshold]
    synapses = [n for n, route in plan.routes.items() if route.way != "rows"]
    pathways = [n for n in synapses if plan.routes[n].way == "spikes"]
    heard = {r.pathway.pre for r in plan.routes.values() if r.way != "rows"}
    objects = [f"inp_{n}" for n in plan.circuit.inputs if n in heard]
    objects += [f"pop_{n}" for n in plan.circuit.populations] + [f"syn_{n}" for n in synapses]
    lines = ["", f"{'# -- network ':-<{WIDTH}}"]
    if len(pathways) > 1:
        ordered = filled([f"syn_{n}," for n in pathways])
        lines += ["for order, synapses in enumerate([  # sums in the order of the circuit", *indented(ordered), "]):"]
        lines += ["    synapses.pre.order = order"]
    monitors = [f"'{n}': SpikeMonitor(pop_{n})," for n in spiking]
    lines += ["monitors = {", *indented(filled(monitors)), "}"]
    lines += [
        "network = Network(",
        *indented(filled([f"{o}," for o in [*objects, *plan.reductions, "monitors"]])),
        ")",
    ]
    lines += ["network.schedule = [", *indented(filled([f"'{slot}'," for slot in _schedule(plan)])), "]"]
    return lines


def _schedule(plan: Plan) -> list[str]:
    n = len(plan.program.stages)
    if n == 1:
        return ["start", "synapses", "groups", "thresholds", "resets", "end"]
    stages = [f"{slot}_{k}" for k in range(1, n + 1) for slot in ("groups", "thresholds", "same_step", "resets")]
    return ["start", "synapses", "groups", *stages, "end"]


_HELPERS = {
    "timed": '''
def timed(rows, unit=1, late=0):
    """Rows (step, channel) as a function of time and channel, some steps late; 0 before and after."""
    zeros = np.zeros((late, rows.shape[1])), np.zeros((1, rows.shape[1]))
    return TimedArray(np.vstack([zeros[0], rows, zeros[1]])*unit, dt=dt)
''',
    "where": """
# where(condition, a, b) in equations: a where the condition holds, else b. For the numpy target.
where = Function(
    np.where, arg_names=['condition', 'a', 'b'], arg_units=[bool, None, 'a'], return_unit=lambda condition, a, b: a,
)
""",
    "written_out": '''
def written_out(step):
    """Integration method that executes the lines of ``step``, whatever the equations say: change both together."""
    return lambda equations, variables, method_options=None: step
''',
    "set_propagators": '''
def set_propagators(group, units, A, suffix=''):
    """Numbers P and Q of a step x = P x + Q b of dx/dt = A x + b, from [[P, Q], [0, 1]] = expm([[A, 1], [0, 0]] dt).

    Entries of A are numbers or one per neuron, with units. The exponential is taken with x in ``units``, where numbers are
    of similar size; P and Q are set in SI units.
    """
    n, scale = len(A), np.array([float(unit) for unit in units])
    entries = np.broadcast_arrays(*[np.atleast_1d(np.asarray(a, dtype=float)) for row in A for a in row])
    block = np.zeros((entries[0].size, 2*n, 2*n))
    block[:, :n, :n] = np.stack(entries, axis=-1).reshape(-1, n, n)*scale/scale[:, None]*float(ms)
    block[:, :n, n:] = np.eye(n)
    step = expm(block*float(dt/ms))
    for kind, first, unit in (('P', 0, 1), ('Q', n, float(ms))):
        for i in range(n):
            for j in range(n):
                name, values = f'{kind}_{i + 1}_{j + 1}{suffix}', step[:, i, first + j]*scale[i]/scale[j]*unit
                if name in group.variables:
                    setattr(group, name, values if values.size > 1 else values[0])
''',
    "place": '''
def place(group, stage):
    """Let a group run in the slots of its stage."""
    group.state_updater.when = f'groups_{stage}'
    for thresholder in group.thresholder.values():
        thresholder.when = f'thresholds_{stage}'
    for resetter in group.resetter.values():
        resetter.when = f'resets_{stage}'
''',
}


def _helpers(plan: Plan) -> list[str]:
    needed = plan.helpers | ({"place"} if len(plan.program.stages) > 1 else set())
    texts = [text.rstrip("\n").splitlines() for name, text in _HELPERS.items() if name in needed]
    return [*_settings(plan), *(line for text in texts for line in ["", *text]), *([""] if texts else [])]


def _ending(plan: Plan) -> list[str]:
    rows = dict.fromkeys(rows_name(r) for r in plan.routes.values() if r.pathway.emits == "values" and r.from_input)
    called = ", ".join(f"'{name}': {name}" for name in [*rows, *(["where"] if "where" in plan.helpers else [])])
    run = f"network.run({plan.job.n_steps}*dt, namespace={{{called}}})"
    if plan.divides:
        run = f"with np.errstate(invalid='ignore'):  # 0/0 for refractory neurons, whose result Brian2 discards\n        {run}"
    return f'''

def simulate():
    """Run once; population -> (steps, neurons) of its spikes, sorted."""
    {run}
    spikes = {{}}
    for name, monitor in monitors.items():
        steps, neurons = np.rint(np.asarray(monitor.t/dt)).astype(int), np.asarray(monitor.i)
        order = np.lexsort((neurons, steps))
        spikes[name] = steps[order], neurons[order]
    return spikes


if __name__ == '__main__':
    spikes = simulate()
    for name, (steps, neurons) in spikes.items():
        print(f'{{name}}: {{len(steps)}} spikes')
    script = Path(__file__)
    np.savez(
        script.with_name(f'{{script.stem}}_spikes.npz'),
        **{{f'{{name}}.step': steps for name, (steps, neurons) in spikes.items()}},
        **{{f'{{name}}.neuron': neurons for name, (steps, neurons) in spikes.items()}},
    )'''.splitlines()
