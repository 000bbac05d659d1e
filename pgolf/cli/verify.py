"""`pgolf verify`: check the claims of a submission folder."""

from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_cache_path

from pgolf.audit.verify import Claims, check_claims, check_scores, find_data, is_built_here, read_claims
from pgolf.cli import options
from pgolf.cli.display.console import answer_console, findings_table, print_json, say
from pgolf.errors import CheckFailed
from pgolf.findings import Finding, failures
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
    runs_code: Annotated[
        bool,
        typer.Option("--run-code", help="Run the folder's train_gpt.py even if this installation did not build it."),
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Check claims and bytes of a submission folder, and recompute its score. Exit code 3 if a check fails."""
    claims, findings = read_claims(folder)
    if claims is not None:
        findings += check_claims(folder, claims, load_ruleset(RULESET))
        findings += score_findings(folder, claims, data, runs_code)
    if is_json:
        print_json({"folder": str(folder), "checks": [finding.as_json() for finding in findings]})
    else:
        answer_console().print(findings_table(findings))
    if failed := [finding.rule for finding in failures(findings)]:
        raise CheckFailed(f"verify failed: {', '.join(dict.fromkeys(failed))}")


def score_findings(folder: Path, claims: Claims, data: Path | None, runs_code: bool) -> list[Finding]:
    """Recompute the scores of the artifacts, or return why that is not possible."""
    facts = claims.pgolf
    if facts is None:
        return [Finding("warn", "score", "the score was not recomputed: pgolf did not write this folder")]
    if not runs_code and not is_built_here(folder, facts):
        fix = "read train_gpt.py, then allow it with --run-code"
        return [
            Finding("fail", "score", "train_gpt.py differs from what this installation builds, so it was not run", fix)
        ]
    found = data or find_data(facts.data_sha256, (Path("data"), Path(), user_cache_path("pgolf")))
    if found is None:
        return [
            Finding(
                "fail",
                "score",
                f"no data with manifest {facts.data_sha256[:12]} was found",
                "give its folder with --data",
            )
        ]
    say(f"scoring on {found}")
    return list(check_scores(folder, claims, found))
