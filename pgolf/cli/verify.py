"""`pgolf verify`: whether a submission folder is what it claims to be."""

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
    data: Annotated[Path | None, typer.Option("--data", help="Folder of shards. Default: found by their hash.")] = None,
    runs_code: Annotated[
        bool,
        typer.Option("--run-code", help="Run the folder's train_gpt.py even if it was not built by this installation."),
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Check a submission folder: its claims, its bytes, and its score, computed anew. Exit code 3 if a check fails."""
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
    """Score the artifacts anew, or return why that is not done."""
    facts = claims.pgolf
    if facts is None:
        return [Finding("warn", "score", "not a folder that pgolf wrote: its score is not computed anew")]
    if not runs_code and not is_built_here(folder, facts):
        fix = "read train_gpt.py, then --run-code"
        return [Finding("fail", "score", "train_gpt.py is not what this installation builds, so it was not run", fix)]
    found = data or find_data(facts.data_sha256, (Path("data"), Path(), user_cache_path("pgolf")))
    if found is None:
        return [Finding("fail", "score", f"no data with manifest {facts.data_sha256[:12]}", "--data FOLDER")]
    say(f"scoring on {found}")
    return list(check_scores(folder, claims, found))
