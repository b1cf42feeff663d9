"""Programs that only record how they are called, for scripts that would otherwise need a cloud."""

import shutil
import subprocess
from pathlib import Path

STUB = Path(__file__).with_name("stub_command.sh")
# What the scripts may use of the machine itself; anything else is not on their PATH.
REAL = (
    *("awk", "bash", "base64", "basename", "cat", "cp", "cut", "date", "dirname", "grep", "head", "mkdir", "mktemp"),
    *("mv", "printf", "pwd", "realpath", "rm", "sed", "sha256sum", "sleep", "sort", "tr"),
)


class Stubs:
    """A PATH of stubs, the answers they give, and what they saw."""

    def __init__(self, *, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self._answers: list[tuple[str, int, str]] = []
        for name in REAL:
            found = shutil.which(name)
            if found is not None:
                (self.bin / name).symlink_to(found)
        for name in names:
            (self.bin / name).symlink_to(STUB)

    def answer(self, pattern: str, output: str = "", *, status: int = 0) -> None:
        """Let calls that fit the shell pattern print this; a later answer goes before an earlier one."""
        self._answers.insert(0, (pattern, status, output.replace("\\", "\\\\").replace("\n", "\\n")))

    def remove(self, name: str) -> None:
        """Take a program off the PATH."""
        (self.bin / name).unlink()

    def run(self, *command: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script with nothing but the stubs, from a clean record."""
        for name in ("calls", "stdin"):
            (self.folder / name).write_text("")
        lines = [f"{pattern}\t{status}\t{output}\n" for pattern, status, output in self._answers]
        (self.folder / "answers").write_text("".join(lines))
        base = {"PATH": str(self.bin), "HOME": str(self.folder), "LC_ALL": "C", "WAIT_INTERVAL_S": "0"}
        return subprocess.run(
            [str(part) for part in command],
            env=base | {"STUB_FOLDER": str(self.folder)} | environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self, *starts: str) -> list[str]:
        """Give the calls in order; only those that start with one of the given words, when any are."""
        seen = (self.folder / "calls").read_text().splitlines()
        return [call for call in seen if not starts or call.startswith(starts)]

    def read(self) -> str:
        """Give what was piped into the stubs."""
        return (self.folder / "stdin").read_text()
