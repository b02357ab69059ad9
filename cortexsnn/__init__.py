"""cortexsnn: one circuit, the same time step in Brian2 and, trainable, in PyTorch."""

from importlib import metadata as _metadata

from .bridge import from_torch as from_torch
from .bridge import initialise as initialise
from .bridge import to_torch as to_torch
from .compare import Comparison as Comparison
from .compare import Difference as Difference
from .compare import compare as compare
from .errors import CheckpointError as CheckpointError
from .errors import CortexError as CortexError
from .errors import EngineError as EngineError
from .errors import InputError as InputError
from .errors import NumericalError as NumericalError
from .errors import SpecError as SpecError
from .export import to_brian2_script as to_brian2_script
from .learned import learned as learned
from .learned import with_rules as with_rules
from .library import load as load
from .lower import lower as _lower
from .program import StepProgram as StepProgram
from .realise import Realisation as Realisation
from .realise import realise as realise
from .recording import load_recording as load_recording
from .recording import save_recording as save_recording
from .run import simulate as simulate
from .spec import Array as Array
from .spec import Circuit as Circuit
from .spec import Neuron as Neuron
from .spec import Population as Population
from .spec import Projection as Projection
from .specfile import save as save
from .validate import validate as validate
from .verify import Verification as Verification
from .verify import verify as verify

__version__ = _metadata.version("cortexsnn")


def lower(circuit: Circuit) -> StepProgram:
    """The StepProgram of a circuit; print it to read what happens in one step.

    Raises
    ------
    SpecError
        The circuit is not valid, or a method does not fit its equations.
    """
    return _lower(validate(circuit))
