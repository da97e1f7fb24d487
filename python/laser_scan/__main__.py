"""`python -m laser_scan` is `laser-scan`."""

import os
import subprocess
import sys

from laser_scan import LaserScanError, program


def main() -> int:
    try:
        command = [str(program()), *sys.argv[1:]]
    except LaserScanError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if os.name == "nt":
        # What is called `exec` there starts another process, and the shell goes on without waiting for it.
        return subprocess.run(command, check=False).returncode
    # The program takes this process's place, so that signals and exit statuses are its own.
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
