"""Folders that look like a release of MongooseIM and like an unpacked package, for the script."""

import hashlib
import os
import pathlib
import shutil
import stat
import struct
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "package" / "event-pusher"
LINE = '-pa lib/event_pusher-%s/ebin # put here by "event-pusher install"\n'
VM_ARGS = b"## Name of the node\n-sname mongooseim@localhost\n\n-setcookie secret # \xff\n+P 10000000"
START_SCRIPT = 'RUNNER_SCRIPT_DIR=$(cd "${0%%/*}" && pwd)\nRUNNER_ETC_DIR="%s"\nRUNNER_LOG_DIR="log"\n'
X86_64, AARCH64 = 62, 183


def elf(machine=X86_64, interpreter=None, text=b""):
    """A header, at most one program header, and what strings a linker would have left in it."""
    path = (interpreter or "").encode() + b"\0"
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    notes = struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 0, 0, 1)
    interp = struct.pack("<IIQQQQQQ", 3 if interpreter else 1, 4, 64 + 2 * 56, 0, 0, len(path), len(path), 1)
    return header + notes + interp + path + b"\0" + text + b"\0"


def write(path, content, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if mode is not None:
        path.chmod(mode)
    return path


class Place:
    """A temporary folder that every user may enter, with a system's C library in it."""

    def __init__(self, glibc="2.36"):
        self.path = pathlib.Path(tempfile.mkdtemp())
        self.path.chmod(0o755)
        self.linker = write(self.path / "usr lib" / "ld-linux-x86-64.so.2", "")
        write(self.path / "usr lib" / "libc.so.6", f"GLIBC_2.2.5\0GLIBC_2.4\0GLIBC_{glibc}\0GLIBC_PRIVATE\0")

    def remove(self):
        shutil.rmtree(self.path)

    def package(self, version="0.1.0", machine=X86_64, glibc="2.31", folder=None):
        """An unpacked package; gives the path of its script."""
        package = self.path / (folder or f"event_pusher {version}")
        library = package / "lib" / f"event_pusher-{version}"
        write(library / "ebin" / "event_pusher.app", "{application, event_pusher, []}.\n", 0o600)
        write(library / "ebin" / "event_pusher.beam", f"FOR1 {version}", 0o640)
        # Symbols of older versions come after those of newer ones, and 2.9 is older than 2.31.
        text = f"GLIBC_{glibc}\0GLIBC_2.9\0".encode()
        write(library / "priv" / "libevent_pusher_nif.so", elf(machine, text=text), 0o700)
        shutil.copy(SCRIPT, package / "event-pusher")
        return package / "event-pusher"

    def release(self, name="mongooseim", version="6.8.0", erts="15.2.7", beam=None, vm_args=VM_ARGS):
        release = self.path / name
        write(release / "releases" / "start_erl.data", f"{erts} {version}")
        write(release / "releases" / version / "start_clean.boot", "")
        write(release / "lib" / f"mongooseim-{version}" / "ebin" / "mongooseim.app", "")
        write(release / f"erts-{erts}" / "bin" / "beam.smp", beam or elf(interpreter=str(self.linker)), 0o755)
        write(release / "bin" / "mongooseim", START_SCRIPT % "$RUNNER_BASE_DIR/etc", 0o755)
        write(release / "etc" / "vm.args", vm_args, 0o640)
        write(release / "etc" / "mongooseim.toml", "")
        return release


def tree(folder):
    """All that is in a folder: kinds, modes, owners and contents; vm.args has to stay the same file."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        kind = [stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid]
        if path.name == "vm.args":
            kind.append(status.st_ino)
        if path.is_symlink():
            kind.append(os.readlink(path))
        elif path.is_file() and os.access(path, os.R_OK):
            kind.append(hashlib.sha256(path.read_bytes()).hexdigest())
        found[str(path.relative_to(folder))] = kind
    return found
