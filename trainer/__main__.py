"""`python -P -m trainer RUN_DIR`: run the recipe or the script of a run directory."""

import sys


def start() -> int:
    """Run the run directory on the command line, and return the exit code."""
    # Imported here: the run of a script does not need torch, that of a recipe no dialects.
    from trainer.script.job import is_script_run

    if is_script_run(sys.argv[1:]):
        from trainer.script.command import script_main

        return script_main()
    from trainer.command import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
