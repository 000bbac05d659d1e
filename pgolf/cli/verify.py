"""`pgolf verify`: check the claims of a submission folder."""

from pathlib import Path
from typing import Annotated

import typer

from pgolf.audit.rescoring import recompute_scores
from pgolf.audit.verify import Submission, check_claims, read_submission
from pgolf.cli import options
from pgolf.cli.confinement import levels_for, say_confinement
from pgolf.cli.display.console import answer_console, findings_table, print_json, say
from pgolf.errors import CheckFailed
from pgolf.findings import failures
from pgolf.rulesets.ruleset import DEFAULT_RULESET, Ruleset, load_ruleset


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
    rules: Annotated[
        str | None,
        typer.Option(
            "--ruleset", help="Ruleset whose limit of bytes counts. Default: the limit that submission.json states."
        ),
    ] = None,
    is_unconfined: options.Unconfined = False,
    is_json: options.Json = False,
) -> None:
    """Check claims and bytes of a submission folder, and recompute its score. Exit code 3 if a check fails."""
    submission, findings = read_submission(folder)
    confinement = None
    if submission is not None:
        findings += check_claims(folder, submission, ruleset_of(submission, rules))
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


def ruleset_of(submission: Submission, rules: str | None) -> Ruleset:
    """Return a ruleset by name; without one Parameter Golf's, with the limit of bytes that pgolf has written there."""
    ruleset, own = load_ruleset(rules or DEFAULT_RULESET), submission.own
    if rules is not None or own is None or "limit_bytes" not in own.pgolf.model_fields_set:
        return ruleset
    limits = ruleset.limits.model_copy(update={"bytes": own.pgolf.limit_bytes})
    return ruleset.model_copy(update={"limits": limits})
