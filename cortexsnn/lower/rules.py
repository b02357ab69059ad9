"""The plasticity of a projection to the statements of one step."""

from __future__ import annotations

from ..expression import Statement, names, substitute
from ..model import Ode
from ..program import WEIGHT, Propagator, RuleStep, propagator_names
from ..rule import Block, Rule
from ..units import coherent_name, is_unit, parse_unit
from .dynamics import Dynamics
from .hoist import Hoister


def lower_rule(rule: Rule) -> RuleStep:
    """One step of a rule.

    Raises
    ------
    LoweringError
        Equations that the stated method cannot integrate.
    """
    return _RuleLowering(rule).step()


class _RuleLowering:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.fixed = {*rule.parameters, "dt"}
        self.hoister = Hoister(lambda name: name in self.fixed, lambda name: name in rule.dimensions)

    def step(self) -> RuleStep:
        rule = self.rule
        update: tuple[Statement, ...] = ()
        propagators: tuple[Propagator, ...] = ()
        if rule.odes:
            self.fixed |= propagator_names(len(rule.odes))
            odes = [Ode(o.name, self._plain(o.expression), False) for o in rule.odes]
            lowered = Dynamics(odes, self.hoister, lambda name: name in self.fixed, False).lower(rule.method)
            update, propagators = lowered.statements, lowered.propagators
        on_pre, on_post = self._held(rule.on_pre), self._held(rule.on_post)
        sums = self._written(rule.sums)
        every = tuple((steps, self._held(block)) for steps, block in rule.every)
        return RuleStep(
            states=rule.states,
            units=tuple((name, coherent_name(rule.dimensions[name])) for name in (WEIGHT, *rule.states)),
            parameters=tuple(rule.parameters),
            propagators=propagators,
            hoisted=self.hoister.statements,
            update=update,
            on_pre=on_pre,
            on_post=on_post,
            sums=sums,
            every=every,
            signals=rule.signals,
        )

    def _plain(self, text: str) -> str:
        """Unit names replaced by their size in coherent units; the rule's own names win."""
        ends = ("_pre", "_post")
        table = {
            n: repr(parse_unit(n).value)
            for n in names(text)
            if n not in self.rule.dimensions and n not in ("t", "dt") and not n.endswith(ends) and is_unit(n)
        }
        return substitute(text, table)

    def _written(self, block: Block) -> Block:
        return tuple(Statement(s.target, self.hoister.as_written(self._plain(s.expression))) for s in block)

    def _held(self, block: Block) -> Block:
        """A block and, where it moves the weight, the weight put back into its bounds."""
        written = self._written(block)
        if self.rule.bounds is None or all(s.target != WEIGHT for s in written):
            return written
        low, high = (repr(b) for b in self.rule.bounds)
        return (*written, Statement(WEIGHT, f"clip({WEIGHT}, {low}, {high})"))
