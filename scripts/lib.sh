# shellcheck shell=bash
# What the scripts share: messages, who runs what, and a throw-away server.
# Sourced, never run.

# The repository's root.
VX_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# The server that is built for and tested with.
if [ -z "${PG_CONFIG:-}" ]; then
  PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
fi
export PG_CONFIG

# The Python that scripts/bootstrap provides.
export VX_PYTHON=$VX_ROOT/.venv/bin/python

# Nothing is known to be wrong before so many seconds: on a busy machine a server may
# take long to start or to stop, and a test to come to where another waits for it.
export PGCTLTIMEOUT=${PGCTLTIMEOUT:-600} PG_TEST_TIMEOUT_DEFAULT=${PG_TEST_TIMEOUT_DEFAULT:-600}

# make for this server, and with the compiler CC if that is set.
VX_MAKE=(make -s -C "$VX_ROOT" "PG_CONFIG=$PG_CONFIG" ${CC:+"CC=$CC"})
unset MAKEFLAGS MFLAGS MAKELEVEL

# Set by server_start: the server's folder, which is also its socket's.
VX_SERVER_DIR=
# File systems that vx_cleanup unmounts, folders that it removes.
VX_MOUNTS=()
VX_TEMP_DIRS=()

# Of scripts that copy the sources and the server: the folder they do it in.
work=

say() {
  printf '%s\n' "$*"
}

step() {
  printf '\n== %s\n' "$*"
}

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}

# Run a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

# The user the server runs as: PostgreSQL refuses root.
server_user() {
  if [ "$(id -u)" -ne 0 ]; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# Run a command as that user, in a folder that user can read.
as_server_user() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && exec runuser -u "$(server_user)" -- "$@")
  else
    "$@"
  fi
}

# A new folder of the server's user.  The path is short because a socket's
# path may have about 100 characters.  The name is left in VX_TEMP_DIR.
temp_dir() {
  VX_TEMP_DIR=$(mktemp -d /tmp/vx.XXXXXX)
  VX_TEMP_DIRS+=("$VX_TEMP_DIR")
  if [ "$(id -u)" -eq 0 ]; then
    chown "$(server_user)" "$VX_TEMP_DIR"
  fi
}

# A small file system for tests of a full disk, in memory and the server user's
# own; its path is left in VX_SMALL_DISK, which stays empty where nothing may be
# mounted.  One that is given there is used instead.
small_disk() {
  export VX_SMALL_DISK=${VX_SMALL_DISK:-}
  [ -z "$VX_SMALL_DISK" ] || return 0
  temp_dir
  if { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; } &&
    as_root mount -t tmpfs -o "size=48m,mode=0700,uid=$(id -u "$(server_user)")" tmpfs "$VX_TEMP_DIR" 2>/dev/null; then
    VX_MOUNTS+=("$VX_TEMP_DIR")
    VX_SMALL_DISK=$VX_TEMP_DIR
  fi
}

# server_start [setting=value ...]
# Makes a cluster and starts it; exports PGHOST, PGPORT, PGUSER, PGDATABASE.
# It listens on a private socket only, and on no address.  Nobody writes pages behind
# a test's back: VACUUM passes over one that is being written.
server_start() {
  local bindir setting
  bindir=$("$PG_CONFIG" --bindir)
  temp_dir
  VX_SERVER_DIR=$VX_TEMP_DIR
  as_server_user "$bindir/initdb" -D "$VX_SERVER_DIR/data" -U postgres -A trust \
    --no-sync --locale=C --encoding=UTF8 >"$VX_SERVER_DIR.initdb.log" 2>&1 || {
    cat "$VX_SERVER_DIR.initdb.log" >&2
    rm -f "$VX_SERVER_DIR.initdb.log"
    die "initdb failed"
  }
  rm -f "$VX_SERVER_DIR.initdb.log"
  {
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$VX_SERVER_DIR'"
    echo "port = 5432"
    echo "fsync = off"
    echo "max_wal_size = '4GB'"
    echo "checkpoint_timeout = '1h'"
    echo "bgwriter_lru_maxpages = 0"
    for setting in "$@"; do
      echo "$setting"
    done
  } >>"$VX_SERVER_DIR/data/postgresql.conf"
  as_server_user "$bindir/pg_ctl" -D "$VX_SERVER_DIR/data" -l "$VX_SERVER_DIR/log" \
    -w start >/dev/null || {
    cat "$VX_SERVER_DIR/log" >&2
    die "the server did not start"
  }
  export PGHOST=$VX_SERVER_DIR PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  unset PGSERVICE PGSSLMODE PGOPTIONS PGPASSWORD
}

server_stop() {
  if [ -n "$VX_SERVER_DIR" ] && [ -f "$VX_SERVER_DIR/data/postmaster.pid" ]; then
    as_server_user "$("$PG_CONFIG" --bindir)/pg_ctl" -D "$VX_SERVER_DIR/data" \
      -m immediate -w stop >/dev/null || true
  fi
  VX_SERVER_DIR=
}

# For a trap on EXIT: stop the server, unmount and remove the temporary folders.
vx_cleanup() {
  local dir
  server_stop
  for dir in ${VX_MOUNTS[@]+"${VX_MOUNTS[@]}"}; do
    # lazily: a server that a test has left behind may still be on it
    as_root umount -l "$dir" || true
  done
  VX_MOUNTS=()
  for dir in ${VX_TEMP_DIRS[@]+"${VX_TEMP_DIRS[@]}"}; do
    rm -rf -- "$dir"
  done
  VX_TEMP_DIRS=()
}

# copy_source [tar option ...]: a copy of the sources in $work, as $source, with
# nothing built in it.
copy_source() {
  source=$work/source
  mkdir "$source"
  tar -C "$VX_ROOT" --exclude=./.git --exclude=./.peer --exclude=./.assert --exclude=./.servers --exclude=./.clients \
    --exclude=./test-output --exclude=./bench/results "$@" \
    -cf - . | tar -C "$source" -xf - --no-same-owner
  find "$source" -maxdepth 3 \( -name '*.o' -o -name '*.d' -o -name '*.so' -o -name 'vectorx_pgvector--*.sql' \) -delete
  # make writes there what it builds for
  if [ "$(id -u)" -eq 0 ]; then
    chown -R "$(server_user)" "$source"
  fi
}

# A copy of the server's folders in $work, which PG_CONFIG and $bindir lead to
# from then on.  Its programs look for the others relative to their own, and so
# does pg_config.
copy_server() {
  local prefix=$work/server original=$PG_CONFIG option dir
  original=$("$PG_CONFIG" --bindir)/pg_config
  for option in bindir pkglibdir sharedir; do
    dir=$("$original" --$option)
    mkdir -p "$prefix$dir"
    cp -a "$dir/." "$prefix$dir/"
  done
  for option in includedir pkgincludedir includedir-server libdir; do
    dir=$("$original" --$option)
    if [ ! -e "$prefix$dir" ]; then
      mkdir -p "$(dirname -- "$prefix$dir")"
      ln -s "$dir" "$prefix$dir"
    fi
  done
  PG_CONFIG=$prefix$original
  bindir=$("$PG_CONFIG" --bindir)
  [ "${bindir#"$work"}" != "$bindir" ] || die "a copy of the server still uses $bindir"
}

# Where packages of Debian come from: what apt is configured for, or else its default.
mirror() {
  local site=
  # shellcheck disable=SC2016 # for apt
  if command -v apt-get >/dev/null; then
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' \
      'Label: Debian' 2>/dev/null | head -n 1 || true)
  fi
  say "${site:-https://deb.debian.org/debian}"
}

# in_root FOLDER [OUTSIDE=INSIDE ...] -- COMMAND...: run a command as root of the system in that
# folder, which has mounts and processes of its own until then, and sees the network as this one
# does.  The folders named are seen inside, too.  Its compiler and PostgreSQL are its own.
in_root() {
  # shellcheck disable=SC2016 # for the inner shell
  as_root unshare --mount --pid --fork --kill-child bash -c '
    set -e
    root=$1
    shift
    mount --bind "$root" "$root"
    while [ "$1" != -- ]; do
      mount --bind "${1%%=*}" "$root${1#*=}"
      shift
    done
    shift
    cd "$root"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
      touch "dev/$device"
      mount --bind "/dev/$device" "dev/$device"
    done
    ln -s /proc/self/fd dev/fd
    mkdir -m 1777 dev/shm
    mount -t tmpfs tmpfs dev/shm
    pivot_root . mnt
    cd /
    umount -l /mnt
    exec env -u LD_LIBRARY_PATH -u CC -u PG_CONFIG PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"
  ' sh "$@" </dev/null
}

# Wait for a server that has crashed.
server_answers() {
  local i
  for ((i = 0; i < 10 * PGCTLTIMEOUT; i++)); do
    if "$("$PG_CONFIG" --bindir)/psql" -XAtq -c 'SELECT 1' >/dev/null 2>&1; then
      return
    fi
    sleep 0.1
  done
  die "the server does not come back"
}

# The number of processors.
cpu_count() {
  getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
}

# The version of vectorx that this tree is.
vx_version() {
  sed -n "s/^default_version = '\(.*\)'/\1/p" "$VX_ROOT/vectorx.control"
}

vx_build() {
  "${VX_MAKE[@]}" -j "$(cpu_count)"
}

# A copy of what a build takes, with nothing built, in a new folder: VX_TEMP_DIR.
copy_build() {
  temp_dir
  cp -R "$VX_ROOT/Makefile" "$VX_ROOT"/*.control "$VX_ROOT/src" "$VX_ROOT/simd" "$VX_ROOT/sql" "$VX_TEMP_DIR/"
  find "$VX_TEMP_DIR" \( -name '*.o' -o -name '*.d' -o -name '*.so' \) -delete
}

# builds_with COMPILER: everything without a warning?  In a copy of the sources, so that no
# object of the working tree is touched.  Says so.
builds_with() {
  copy_build
  if make -C "$VX_TEMP_DIR" -s -k -j "$(cpu_count)" PG_CONFIG="$PG_CONFIG" CC="$1" WERROR=1; then
    say "$1: no warnings"
  else
    say "$1: FAILED"
    return 1
  fi
}

# Install into the server's own folders.
vx_install() {
  if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
    "${VX_MAKE[@]}" install >/dev/null
  else
    as_root env WERROR="${WERROR:-}" "${VX_MAKE[@]}" install >/dev/null
  fi
}

# ---- counting tests

passed=0
failed=0
not_run=()
what_failed=()

# count NAME PASSED FAILED STATUS: add one runner's result to the sum.  A
# runner that failed without a failed test, or that ran no test, is a failure;
# what it said of its failures is kept for the end, where who reads the last page looks.
count() {
  local name=$1 ok=$2 bad=$3 status=$4
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    say "$name: stopped with exit status $status"
    bad=1
  elif [ $((ok + bad)) -eq 0 ]; then
    say "$name: ran no tests"
    bad=1
  fi
  say "$name: $ok passed, $bad failed"
  [ "$bad" -eq 0 ] || what_failed+=("$name:" "$(said_of_failures "$run_log")")
  run_log=
  passed=$((passed + ok))
  failed=$((failed + bad))
}

# said_of_failures LOG: the failed tests of any of the runners, with the lines around them; of one
# that stopped for another reason the last lines.
said_of_failures() {
  [ -f "$1" ] || return 0
  { grep -E -B 4 -A 12 -- '^not ok |\.\.\. (FAILED|FAIL$|ERROR$)|: FAILED$|^t/.*\(Wstat: [1-9]|passed, [1-9][0-9]* failed$' "$1" ||
    tail -n 20 "$1"; } | head -n 100 | cut -c 1-300 || true
}

# run LOG COMMAND...: show the output and keep it; the status is in "status", the log's
# name in "run_log".
run_log=
run() {
  local log=$1
  run_log=$log
  shift
  status=0
  "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
}

lines() {
  grep -cE -- "$1" "$2" || true
}

# Results of pg_regress and pg_isolation_regress, in the words of PostgreSQL 15
# ("test x ... ok") or in TAP (16 and later).
count_regress() {
  local name=$1 log=$2 ok bad
  ok=$(lines '^(ok +[0-9]+ |(test +)?[^ ]+ +\.\.\. ok )' "$log")
  bad=$(lines '^(not ok +[0-9]+ |(test +)?[^ ]+ +\.\.\. FAILED)' "$log")
  count "$name" "$ok" "$bad" "$status"
}

# count_script NAME LOG: the sum that another script has printed last, in "N passed,
# N failed", and what it says that it has not run, perhaps nothing but that.
count_script() {
  local name=$1 log=$2 line sum ok=0 bad=0 _
  while IFS= read -r line; do
    not_run+=("$line")
  done < <(sed -n -e 's/^not run: //p' -e '/^not run:$/,/^\([0-9]\|failed:\)/s/^  //p' "$log")
  sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  if [ "$status" -eq 0 ] && [ -z "$sum" ] && grep -q '^not run: ' "$log"; then
    return
  fi
  [ -z "$sum" ] || read -r ok _ bad _ <<<"$sum"
  count "$name" "$ok" "$bad" "$status"
}

# A crash of the server is a failure.
count_crashes() {
  local crashes
  crashes=$(lines 'PANIC:|was terminated by signal|TRAP:' "$VX_SERVER_DIR/log")
  if [ "$crashes" -gt 0 ]; then
    step "the server crashed"
    grep -E -B 2 -A 5 -- 'PANIC:|was terminated by signal|TRAP:' "$VX_SERVER_DIR/log"
    what_failed+=("the server crashed")
    failed=$((failed + 1))
  fi
}

show_diffs() {
  if [ -s "$1" ]; then
    step "$1"
    head -n 400 "$1"
    what_failed+=("$1:" "$(head -n 60 "$1")")
  fi
}

# count_tap NAME LOG FOLDER: results of "make check-tap" with TEST_OUTPUT=FOLDER.
count_tap() {
  local name=$1 log=$2 out=$3 ok bad skipped line
  skipped=$(grep -ciE -- '^ok [0-9]+ .*# *(skip|todo)' "$log" || true)
  ok=$(($(lines '^ok [0-9]+' "$log") - skipped))
  bad=$(lines '^not ok [0-9]+' "$log")
  bad=$((bad - $(grep -ciE -- '^not ok [0-9]+ .*# *todo' "$log" || true)))
  # A file that died without a failed test is one too.
  bad=$((bad + $(lines '^t/[^ ]+ +\(Wstat: [1-9].* Failed: 0\)' "$log")))
  count "$name" "$ok" "$bad" "$status"
  while IFS= read -r line; do
    line=${line#*# }
    not_run+=("$name: ${line#skip }")
  done < <(grep -iE -- '^(not )?ok [0-9]+ .*# *(skip|todo)|^[^ ]+ \.+ skipped' "$log")

  if [ "$status" -ne 0 ]; then
    for log in "$out"/tmp_check/log/*; do
      [ -f "$log" ] || continue
      step "end of $(basename -- "$log")"
      tail -n 40 "$log" | cut -c 1-400
    done
  fi
}

# The last words of a run of tests; fails if one did.
summary() {
  if [ ${#not_run[@]} -gt 0 ]; then
    say "not run:"
    printf '  %s\n' "${not_run[@]}"
  fi
  if [ ${#what_failed[@]} -gt 0 ]; then
    say "failed:"
    printf '%s\n' "${what_failed[@]}" | sed 's/^/  /'
  fi
  say "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
