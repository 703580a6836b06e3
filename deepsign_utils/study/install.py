"""pip, told where packages come from by the user's settings, and nothing else by them.

A user's pip.conf and PIP_* variables may name the index that a company lets through, and may also
send packages elsewhere (user, target), bend what is chosen (constraint, pre, no-binary), or refuse
to work at all. Make installs through this file; it needs nothing but Python and pip.
"""

import ast
import os
import subprocess
import sys
import sysconfig

KEPT = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host"),
    *("proxy", "cert", "client-cert", "keyring-provider", "timeout"),
    *("default-timeout", "retries"),
    *("cache-dir", "no-cache-dir"),
)
"""Settings that say where packages come from, and how they are reached."""


def settings_kept(listed: str) -> dict[str, str]:
    """Variables for pip that hold the kept ones of the user's settings.

    Parameters
    ----------
    listed : str
        As `pip config list` prints them: ``global.index-url='https://…'``, a line each, those of
        lesser weight first once they are sorted by where they stand.
    """
    weight = {"global": 0, "install": 1, ":env:": 2}
    found = {}
    for line in listed.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        if name in KEPT and section in weight:
            found[weight[section], name] = str(ast.literal_eval(value))
    return {
        f"PIP_{name.upper().replace('-', '_')}": found[key, name] for key, name in sorted(found)
    }


def install(arguments: list[str]) -> int:
    """Run `pip install` with these arguments; return its exit status."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    if listed.returncode:
        reason = listed.stderr.strip().splitlines()[-1:]
        print("Your pip settings cannot be read, and are left aside:", *reason, file=sys.stderr)
    kept = settings_kept(listed.stdout)
    environment = {name: of for name, of in os.environ.items() if not name.startswith("PIP_")}
    environment |= kept | {"PIP_CONFIG_FILE": os.devnull}
    command = [*pip, "install", "--quiet", "--no-compile", *arguments]
    status = subprocess.run(command, env=environment, check=False)
    if status.returncode:
        said = ", ".join(sorted(kept)) or "none"
        print(
            "The packages were not installed; why stands above. Of your own pip settings these "
            f"were used: {said}.",
            file=sys.stderr,
        )
    else:
        # On all cores, where pip takes one. What cannot be compiled is for another Python.
        every = [
            sys.executable,
            "-m",
            "compileall",
            "-qq",
            "-j",
            "0",
            sysconfig.get_path("purelib"),
        ]
        # Its workers would each tell of a Ctrl-C.
        subprocess.run(every, check=False, stderr=subprocess.DEVNULL)
    return status.returncode


if __name__ == "__main__":
    try:
        sys.exit(install(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted: the same command installs what is missing.")
