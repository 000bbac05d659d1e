"""`python -P -m trainer RUN_DIR`: a run directory in, a run directory out, be it of a recipe or of a script."""

import os
import sys


def start() -> int:
    """Run the job that the command line names and return its exit code."""
    # Imported here: a script's run does not need torch.
    from trainer.script.job import is_script_run

    if is_script_run(sys.argv[1:]):
        from trainer.script.command import script_main

        return script_main()
    # Threads that wait by spinning take the cores from those that compute; OpenMP reads this when torch is imported.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    from trainer.command import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
