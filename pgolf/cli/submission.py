"""`pgolf submission` and `pgolf verify`: a records folder from finished runs, and the check of any such folder."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_cache_path

from pgolf.audit.verify import Claims, check_claims, check_scores, find_data, is_built_here, read_claims
from pgolf.bundle.submission import Author, collect_seeds, write_submission
from pgolf.cli import options
from pgolf.cli.console import answer_console, findings_table, print_json, say
from pgolf.errors import CheckFailed
from pgolf.findings import Finding, failures
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import find_run
from pgolf.specs.loading import load_spec_of_run

RULESET = "parameter_golf"


def submission(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Finished runs of one experiment, a seed each.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder.")],
    author: Annotated[str, typer.Option("--author", help="Your name.")] = "",
    github_id: Annotated[str, typer.Option("--github-id", help="Your name on GitHub.")] = "",
    name: Annotated[str | None, typer.Option("--name", help="Title; the experiment's name if left out.")] = None,
    blurb: Annotated[str, typer.Option("--blurb", help="What is new, in a sentence.")] = "",
    track: Annotated[str, typer.Option("--track", help="10min_16mb or non-record-16mb.")] = "non-record-16mb",
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
) -> None:
    """Write a records folder: README, submission.json, logs, train_gpt.py and the artifacts."""
    rows = collect_seeds([find_run(run, runs_dir) for run in runs])
    spec = load_spec_of_run(rows[0].run.files.spec, [], []).spec
    title = name or rows[0].result["name"]
    who = Author(author=author, github_id=github_id, name=title, blurb=blurb, track=track, day=date.today())
    write_submission(rows, spec, load_ruleset(spec.ruleset), who, out)
    console = answer_console()
    for path in sorted(out.iterdir()):
        console.print(f"{path.stat().st_size:>12,}  {path}", highlight=False)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A submission folder.")],
    data: Annotated[Path | None, typer.Option("--data", help="Shards; found by their hash if left out.")] = None,
    runs_code: Annotated[
        bool, typer.Option("--run-code", help="Run the folder's train_gpt.py even if it was not built here.")
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Check a submission folder: claims, bytes, and the score, taken anew. Exit code 3 if a check fails."""
    claims, findings = read_claims(folder)
    if claims is not None:
        findings += check_claims(folder, claims, load_ruleset(RULESET))
        findings += score_findings(folder, claims, data, runs_code)
    if is_json:
        print_json({"folder": str(folder), "checks": [finding.as_json() for finding in findings]})
    else:
        answer_console().print(findings_table(findings))
    if failed := [finding.rule for finding in failures(findings)]:
        raise CheckFailed(f"verify says no: {', '.join(dict.fromkeys(failed))}")


def score_findings(folder: Path, claims: Claims, data: Path | None, runs_code: bool) -> list[Finding]:
    """The artifacts scored anew, or why they are not."""
    facts = claims.pgolf
    if facts is None:
        return [Finding("warn", "score", "not a folder of pgolf: its score is not taken anew")]
    if not runs_code and not is_built_here(folder, facts):
        fix = "read train_gpt.py, then --run-code"
        return [Finding("fail", "score", "train_gpt.py is not what this installation builds, and was not run", fix)]
    found = data or find_data(facts.data_sha256, (Path("data"), Path(), user_cache_path("pgolf")))
    if found is None:
        return [Finding("fail", "score", f"no data with manifest {facts.data_sha256[:12]}", "--data FOLDER")]
    say(f"scoring on {found}")
    return list(check_scores(folder, claims, found))
