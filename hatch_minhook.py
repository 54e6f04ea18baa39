"""Fetches the sources of MinHook, by which the agent hooks functions on Windows.

No package index has MinHook itself; the source archive of `cyminhook` carries it whole, in its folder `minhook`. It is
fetched by version and checksum into the user's cache folder and compiled into the agent; its licence goes into the
wheel.
Environment:

    GGML_VIZ_MINHOOK  a folder with MinHook's sources (`include`, `src`, `LICENSE.txt`): nothing is fetched
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NAME, VERSION = "cyminhook", "0.1.6"
CHECKSUM = "f2256f7700a6876fc3a823dca7022900ce8e2577daabbe42263d5f73e2f5da5b"

# pip hands an archive out once the package's own build system has named what it depends on. This one stands in for it.
BUILD_SYSTEM = f'''
from pathlib import Path

def prepare_metadata_for_build_wheel(directory, settings=None):
    folder = Path(directory, "{NAME}-{VERSION}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: {NAME}\\nVersion: {VERSION}\\n")
    return folder.name
'''


def sources() -> Path:
    """The folder with MinHook's sources, fetched if they are not there yet."""
    given = os.environ.get("GGML_VIZ_MINHOOK")
    if given:
        return Path(given).absolute()
    folder = _cache_folder() / f"{NAME}-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _unpack(_download(Path(temporary)), Path(temporary, "minhook"))
            Path(temporary, "minhook").replace(folder)
    return folder


def files(folder: Path) -> list[Path]:
    """What of it is compiled for x86-64."""
    return [*sorted((folder / "src").glob("*.c")), folder / "src" / "hde" / "hde64.c"]


def licence(folder: Path) -> Path:
    """Its licence, which whoever passes the agent on has to pass on, too."""
    return folder / "LICENSE.txt"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ggml-viz" / "build"


def _download(temporary: Path) -> Path:
    stand_in = temporary / "scikit_build_core"
    stand_in.mkdir()
    (stand_in / "__init__.py").touch()
    (stand_in / "build.py").write_text(BUILD_SYSTEM)
    requirement = temporary / "requirements.txt"
    requirement.write_text(f"{NAME}=={VERSION} --hash=sha256:{CHECKSUM}\n")
    downloads = temporary / "downloads"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", NAME, "--no-build-isolation", "--require-hashes"]
    command += ["--requirement", str(requirement), "--dest", str(downloads)]
    environment = {**os.environ, "PYTHONPATH": str(temporary)}
    # What a front end reads from this process's output is not pip's business.
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode != 0:
        raise SystemExit("The sources of MinHook cannot be fetched; GGML_VIZ_MINHOOK may name a folder that has them.")
    (archive,) = downloads.iterdir()
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    wanted = f"{NAME}-{VERSION}/minhook/"
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.startswith(wanted) and ".." not in member.name:
                content = tar.extractfile(member)
                assert content is not None
                target = folder / member.name[len(wanted) :]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
