"""Suspicion: a line of a program that a reviewer should read, and why."""

import ast
from dataclasses import dataclass
from typing import Any

from pgolf.audit.code.program import Program, Reach, Scope


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A pattern that breaks a rule if the line does what it looks like."""

    rule: str
    message: str
    place: str
    reach: Reach
    is_mild: bool = False
    """Whether reviewers are of two minds about the pattern."""

    def as_json(self) -> dict[str, Any]:
        """What crosses from the process that reads code to the one that judges."""
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
    """A suspicion about a node of a function."""
    return Suspicion(rule, message, scope.file.place(node), program.reach(node), is_mild)
