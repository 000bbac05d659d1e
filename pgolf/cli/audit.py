"""`pgolf audit`: check a submission folder, a run or a spec against the rules of a contest."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pgolf.audit.probes import adapter_answerer
from pgolf.audit.subjects import audit_subject, with_probes
from pgolf.audit.verdicts import Verdict, overall_severity
from pgolf.cli import options
from pgolf.cli.completion import complete_spec_or_run
from pgolf.cli.confinement import levels_for, say_confinement
from pgolf.cli.display.console import answer_console, findings_table, print_json, printable, say
from pgolf.confinement.run import Confinement
from pgolf.errors import CheckFailed, UsageError
from pgolf.findings import Finding, failures
from pgolf.rulesets.ruleset import Ruleset


def audit(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|RUN|SPEC",
            help="A submission folder, a finished run, or a spec.",
            autocompletion=complete_spec_or_run,
        ),
    ],
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="Probe a submission on tampered tokens: run score() and distributions() of this Python file, "
            "confined. Needs --data, for example --adapter score.py --data data/mine (docs/audit.md).",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of shards whose validation tokens the adapter is probed on.")
    ] = None,
    reads: Annotated[
        list[Path] | None,
        typer.Option(
            "--read",
            help="A further file or folder that the adapter may read, for example --read weights.pt. It can read "
            "itself, the submission's folder and the installed packages. Repeat for more.",
        ),
    ] = None,
    is_unconfined: options.Unconfined = False,
    is_metadata_only: Annotated[
        bool,
        typer.Option("--metadata-only", help="Check only the numbers in logs and claims: read no code, run nothing."),
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            "--ruleset",
            help="Ruleset to check against. Default: that of the run or spec; parameter_golf for a submission folder.",
        ),
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Check every rule that a program can check. Exit code 3 if one is certainly broken.

    A verdict from code alone is a hypothesis with the line to read; a rule that cannot be checked is unknown. Nothing
    in a submission folder is executed, except the file that --adapter names.
    """
    check_adapter(adapter, data, reads or [])
    found = audit_subject(subject, rules, runs_dir=runs_dir, is_metadata_only=is_metadata_only, on_progress=say)
    verdicts = found.verdicts
    confinement = None
    if adapter is not None and data is not None:
        subject_reads = [Path(subject)] if found.kind == "record" else []
        answerer = adapter_answerer(adapter, [*subject_reads, *(reads or ())], levels_for(is_unconfined))
        verdicts, confinement = with_probes(verdicts, answerer, data)
    if is_json:
        print_json(audit_json(subject, found.kind, verdicts, found.ruleset, confinement))
    else:
        say_confinement(confinement)
        print_verdicts(subject, found.kind, verdicts)
    if failed := [verdict.rule for verdict in failures(verdicts)]:
        raise CheckFailed(f"audit failed: {', '.join(dict.fromkeys(failed))}")


def check_adapter(adapter: Path | None, data: Path | None, reads: list[Path]) -> None:
    """Check the options that name files for an adapter.

    Raises:
        UsageError: one is missing, or names nothing.
    """
    if adapter is not None and (data is None or not adapter.is_file()):
        raise UsageError(
            "--adapter takes a Python file with score(tokens) and distributions(tokens, positions), and needs --data: "
            "a folder of shards whose validation text is tampered with"
        )
    for path in reads:
        if not path.exists():
            raise UsageError(f"--read {path}: no such file or folder")


def audit_json(
    subject: str, kind: str, verdicts: list[Verdict], ruleset: Ruleset, confinement: Confinement | None
) -> dict[str, Any]:
    """Return the object of --json."""
    return {
        "subject": subject,
        "kind": kind,
        "ruleset": ruleset.label,
        "verdict": overall_severity(verdicts),
        "confinement": None if confinement is None else confinement.as_json(),
        "findings": [verdict.as_json() for verdict in verdicts],
    }


def print_verdicts(subject: str, kind: str, verdicts: list[Verdict]) -> None:
    """Print the verdicts as a table, then the unknown ones by their reason."""
    unknown: dict[str, list[str]] = {}
    shown: list[Finding] = []
    for verdict in verdicts:
        if verdict.severity == "unknown":
            unknown.setdefault(verdict.message, []).append(verdict.rule)
        else:
            shown.append(Finding(verdict.severity, f"{verdict.rule} ({verdict.basis})", verdict.message, verdict.fix))
    console = answer_console()
    console.print(findings_table(shown))
    for reason, of_reason in unknown.items():
        console.print(f"[dim]unknown[/dim]  {', '.join(of_reason)}: ", end="")
        console.print(printable(reason), markup=False)
    counts = {word: sum(v.severity == word for v in verdicts) for word in ("fail", "warn", "unknown", "pass")}
    words = ", ".join(f"{count} {word}" for word, count in counts.items())
    console.print(printable(f"{subject} ({kind}): {words}"), markup=False)
