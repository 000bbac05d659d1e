"""Suspicion: a line of a program that a reviewer should read, and the reason."""

import ast
from dataclasses import dataclass
from typing import Any

from pgolf.audit.code.program import Program, Reach, Scope


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A line that breaks a rule if it does what its pattern suggests."""

    rule: str
    message: str
    place: str
    reach: Reach
    is_mild: bool = False
    """Whether reviewers disagree about the pattern."""

    def as_json(self) -> dict[str, Any]:
        """Return the form that the reading process passes to the audit."""
        return {
            "rule": self.rule,
            "message": self.message,
            "place": self.place,
            "state": self.reach.state,
            "why": self.reach.why,
            "mild": self.is_mild,
        }


def suspect(
    program: Program, scope: Scope, node: ast.AST, rule: str, message: str, *, is_mild: bool = False
) -> Suspicion:
    """Return a suspicion about a node of a function."""
    return Suspicion(rule, message, scope.file.place(node), program.reach(node), is_mild)
