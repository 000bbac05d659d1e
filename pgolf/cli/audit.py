"""`pgolf audit`: check a submission folder, a run or a spec against the rules of a contest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, findings_table, print_json, printable, say
from pgolf.errors import CheckFailed, UsageError
from pgolf.findings import Finding, failures
from pgolf.rulesets.ruleset import Ruleset, load_ruleset
from pgolf.rundir import RunDirectory, find_run

if TYPE_CHECKING:
    from pgolf.audit.verdicts import Verdict


def audit(
    subject: Annotated[
        str, typer.Argument(metavar="FOLDER|RUN|SPEC", help="A submission folder, a finished run, or a spec.")
    ],
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="Probe a submission on tampered tokens: run score() and distributions() of this Python file. Needs "
            "--data, for example --adapter score.py --data data/mine (docs/audit.md).",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of shards whose validation tokens the adapter is probed on.")
    ] = None,
    is_metadata_only: Annotated[
        bool,
        typer.Option("--metadata-only", help="Check only the numbers in logs and claims: read no code, run nothing."),
    ] = False,
    rules: Annotated[str, typer.Option("--ruleset", help="Ruleset to check against.")] = "parameter_golf",
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Check every rule that a program can check. Exit code 3 if one is certainly broken.

    A verdict from code alone is a hypothesis with the line to read; a rule that cannot be checked is unknown. Nothing
    in a submission folder is executed, except the file that --adapter names.
    """
    ruleset = load_ruleset(rules)
    if adapter is not None and (data is None or not adapter.is_file()):
        raise UsageError(
            "--adapter takes a Python file with score(tokens) and distributions(tokens, positions), and needs --data: "
            "a folder of shards whose validation text is tampered with"
        )
    kind, verdicts = verdicts_on(subject, ruleset, runs_dir, is_metadata_only)
    if adapter is not None and data is not None:
        verdicts = with_probes(verdicts, adapter, data)
    if is_json:
        print_json(audit_json(subject, kind, verdicts, ruleset))
    else:
        print_verdicts(subject, kind, verdicts)
    if failed := [verdict.rule for verdict in failures(verdicts)]:
        raise CheckFailed(f"audit failed: {', '.join(dict.fromkeys(failed))}")


def verdicts_on(subject: str, ruleset: Ruleset, runs_dir: Path, is_metadata_only: bool) -> "tuple[str, list[Verdict]]":
    """Return the kind of the subject and its verdicts.

    Raises:
        UsageError: the subject cannot be audited.
        SpecError: the spec is wrong.
    """
    path = Path(subject)
    if (path / "run.json").is_file() or (not path.exists() and is_run_named(subject, runs_dir)):
        run = require_finished(find_run(subject, runs_dir))
        if "script" in run.read_run():
            from pgolf.audit.script_runs import audit_script_run

            return "run", audit_script_run(run, ruleset, is_code_read=not is_metadata_only)
        from pgolf.audit.runs import audit_run

        say(f"auditing {run.run_id}, including probes of its protocol on tampered text")
        return "run", audit_run(run, ruleset, is_executed=not is_metadata_only)
    if any(path.glob("seed-*/run.json")):
        raise UsageError(
            f"{path} holds the runs of several seeds; audit one of them, for example {next(path.glob('seed-*'))}"
        )
    if path.is_dir():
        from pgolf.audit.folder import audit_folder, holds_submission

        if not holds_submission(path):
            raise UsageError(f"{path}: neither claims, logs nor code; expected a submission folder, a run or a spec")
        return "record", audit_folder(path, ruleset, is_code_read=not is_metadata_only)
    from pgolf.audit.specs import audit_spec
    from pgolf.preflight.examine import examine

    spec = options.select_spec(subject, runs_dir).require_recipe().spec
    return "spec", audit_spec(examine(spec, runs_dir=runs_dir, on_progress=say))


def is_run_named(reference: str, runs_dir: Path) -> bool:
    """Return whether exactly one run has this name."""
    try:
        find_run(reference, runs_dir)
    except UsageError:
        return False
    return True


def require_finished(run: RunDirectory) -> RunDirectory:
    """Return the run.

    Raises:
        UsageError: it is not finished.
    """
    if not run.is_finished:
        raise UsageError(f"{run.run_id} is {run.state}; only a finished run can be audited")
    return run


def with_probes(verdicts: "list[Verdict]", adapter: Path, data: Path) -> "list[Verdict]":
    """Return the verdicts, with those of the adapter's probes in place of unknown and passing ones."""
    from pgolf.audit.probes import adapter_command, make_questions, probe_tokens, run_probes
    from pgolf.audit.verdicts import sort_verdicts

    tokens, begin = probe_tokens(data)
    found = run_probes(make_questions(tokens, begin, []), adapter_command(adapter))
    settled = {verdict.rule for verdict in found}
    others = [v for v in verdicts if v.rule not in settled or v.severity in ("fail", "warn")]
    return sort_verdicts([*others, *found])


def audit_json(subject: str, kind: str, verdicts: "list[Verdict]", ruleset: Ruleset) -> dict[str, Any]:
    """Return the object of --json."""
    from pgolf.audit.verdicts import overall_severity

    return {
        "subject": subject,
        "kind": kind,
        "ruleset": ruleset.label,
        "verdict": overall_severity(verdicts),
        "findings": [verdict.as_json() for verdict in verdicts],
    }


def print_verdicts(subject: str, kind: str, verdicts: "list[Verdict]") -> None:
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
