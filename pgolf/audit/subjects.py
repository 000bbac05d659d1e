"""What `pgolf audit` is pointed at, and the audit of each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgolf.audit.probes import Answerer, make_questions, probe_tokens, run_probes
from pgolf.audit.verdicts import Verdict, sort_verdicts
from pgolf.confinement.run import Confinement
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import DEFAULT_RULESET, Ruleset, load_ruleset
from pgolf.run_limits import read_rules
from pgolf.rundir import RunDirectory, find_run, matching_runs
from pgolf.specs.loading import load_spec

Kind = Literal["run", "record", "spec"]


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of a run, a submission folder or a spec."""

    kind: Kind
    ruleset: Ruleset
    verdicts: list[Verdict]


def audit_subject(
    subject: str, rules: str | None, *, runs_dir: Path, is_metadata_only: bool, on_progress: Callable[[str], None]
) -> Audit:
    """Return the audit of a run, a submission folder or a spec.

    Args:
        subject: A path, or the name of a run or a spec.
        rules: The ruleset to judge by; None for that of the run or spec, and Parameter Golf's for a submission folder.
        runs_dir: Where runs are looked for by name.
        is_metadata_only: Whether to read no code and to probe nothing.
        on_progress: Is told what takes time.

    Raises:
        UsageError: the subject cannot be audited.
        SpecError: the spec or the ruleset is wrong.
    """
    path = Path(subject)
    if (path / "run.json").is_file() or (not path.exists() and len(matching_runs(subject, runs_dir)) == 1):
        run = require_finished(find_run(subject, runs_dir))
        ruleset = ruleset_of_run(run) if rules is None else load_ruleset(rules)
        if "script" in run.read_run():
            from pgolf.audit.script_runs import audit_script_run

            return Audit("run", ruleset, audit_script_run(run, ruleset, is_code_read=not is_metadata_only))
        from pgolf.audit.runs import audit_run

        on_progress(f"auditing {run.run_id}, including probes of its protocol on tampered text")
        return Audit("run", ruleset, audit_run(run, ruleset, is_executed=not is_metadata_only))
    if any(path.glob("seed-*/run.json")):
        raise UsageError(
            f"{path} holds the runs of several seeds; audit one of them, for example {next(path.glob('seed-*'))}"
        )
    if path.is_dir():
        from pgolf.audit.folder import audit_folder, holds_submission

        if not holds_submission(path):
            raise UsageError(f"{path}: neither claims, logs nor code; expected a submission folder, a run or a spec")
        ruleset = load_ruleset(rules or DEFAULT_RULESET)
        return Audit("record", ruleset, audit_folder(path, ruleset, is_code_read=not is_metadata_only))
    from pgolf.audit.specs import audit_spec
    from pgolf.preflight.examine import examine

    spec = load_spec(subject).require_recipe().spec
    if rules is not None:
        spec = spec.model_copy(update={"ruleset": rules})
    found = examine(spec, runs_dir=runs_dir, on_progress=on_progress)
    return Audit("spec", found.ruleset, audit_spec(found))


def ruleset_of_run(run: RunDirectory) -> Ruleset:
    """Return the ruleset under which a run began; of a run of a release that kept none, the one that its spec names.

    Raises:
        SpecError: there is no such ruleset.
    """
    return read_rules(run.files.run) or load_ruleset(run.read_spec().get("ruleset", DEFAULT_RULESET))


def require_finished(run: RunDirectory) -> RunDirectory:
    """Return the run.

    Raises:
        UsageError: it is not finished.
    """
    if not run.is_finished:
        raise UsageError(f"{run.run_id} is {run.state}; only a finished run can be audited")
    return run


def with_probes(verdicts: list[Verdict], answerer: Answerer, data: Path) -> tuple[list[Verdict], Confinement]:
    """Return the verdicts, with those of an adapter's probes in place of unknown and passing ones; and its confinement.

    Raises:
        MachineError: this machine cannot confine the adapter.
    """
    tokens, begin = probe_tokens(data)
    found = run_probes(make_questions(tokens, begin, []), answerer)
    settled = {verdict.rule for verdict in found.verdicts}
    others = [v for v in verdicts if v.rule not in settled or v.severity in ("fail", "warn")]
    return sort_verdicts([*others, *found.verdicts]), found.confinement
