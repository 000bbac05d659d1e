"""`pgolf verify`: check the claims of a submission folder."""

from pathlib import Path
from typing import Annotated

import typer

from pgolf.audit.rescoring import recompute_scores
from pgolf.audit.verify import check_claims, read_submission
from pgolf.cli import options
from pgolf.cli.confinement import levels_for, say_confinement
from pgolf.cli.display.console import answer_console, findings_table, print_json, say
from pgolf.errors import CheckFailed
from pgolf.findings import failures
from pgolf.rulesets.ruleset import load_ruleset

RULESET = "parameter_golf"


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A submission folder.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder of shards. Default: found by hash in ./data, the working folder or the cache."
        ),
    ] = None,
    is_code_allowed: Annotated[
        bool,
        typer.Option(
            "--run-code",
            help="Run the folder's train_gpt.py, confined, even if this installation did not build it.",
        ),
    ] = False,
    is_unconfined: options.Unconfined = False,
    is_json: options.Json = False,
) -> None:
    """Check claims and bytes of a submission folder, and recompute its score. Exit code 3 if a check fails."""
    submission, findings = read_submission(folder)
    confinement = None
    if submission is not None:
        findings += check_claims(folder, submission, load_ruleset(RULESET))
        levels = levels_for(is_unconfined)
        scores, confinement = recompute_scores(folder, submission, data, is_code_allowed, levels, say)
        findings += scores
    if is_json:
        print_json(
            {
                "folder": str(folder),
                "checks": [finding.as_json() for finding in findings],
                "confinement": None if confinement is None else confinement.as_json(),
            }
        )
    else:
        say_confinement(confinement)
        answer_console().print(findings_table(findings))
    if failed := [finding.rule for finding in failures(findings)]:
        raise CheckFailed(f"verify failed: {', '.join(dict.fromkeys(failed))}")
