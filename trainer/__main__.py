"""`python -P -m trainer RUN_DIR`: a run directory in, a run directory out, be it of a recipe or of a script."""

import sys


def start() -> int:
    """The exit code of the run that the command line names."""
    # Imported here: a script's run waits for no torch of ours, and a recipe's has nothing of the other.
    from trainer.script.job import is_script_run

    if is_script_run(sys.argv[1:]):
        from trainer.script.command import script_main

        return script_main()
    from trainer.command import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
