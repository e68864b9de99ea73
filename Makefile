# Makefile for vectorx, built with PGXS.
#
#   make PG_CONFIG=/path/to/pg_config
#   make install PG_CONFIG=/path/to/pg_config
#   make install-as-vector PG_CONFIG=/path/to/pg_config
#               besides, the extension under pgvector's name (docs/migration.md);
#               make uninstall-as-vector takes it away
#
# Variables
#   PG_CONFIG   the server to build for (default: the first pg_config in PATH)
#   WERROR=1    warnings are errors
#   WAIT_POINTS=1  with the points at which tests stop a backend
#               (src/hnsw/README, "Wait points"); never for use
#   SANITIZE=1  a library for scripts/sanitize, which no ordinary server can load
#   MEMCHECK=1  a library for scripts/valgrind; wants Valgrind's headers
#   REGRESS     SQL regression tests to run (default: all of sql/)
#   ISOLATION_SPECS, WAIT_POINT_SPECS  isolation tests to run (default: all of specs/,
#               specs/waitpoints/), by names such as waitpoints/merge
#   LINT_FILES  C files for "make lint" instead of all
#   PROVE_TESTS TAP tests to run (default: t/*.pl)
#
# The targets installcheck, check-isolation and check-waitpoints use the running
# server that PGHOST, PGPORT and PGUSER name, and check-tap starts its own; all
# need an installed library.  "make check" needs nothing: it runs scripts/test; nor do
# "make soak" (scripts/soak), "make bench-quick" and "make bench" (scripts/bench),
# "make check-packages" (scripts/test-packages; PACKAGES are its arguments) and
# "make dist", the zip for PGXN.
#   SOAK        a factor for the length of "make soak"
#   BENCH_ARGS  arguments for bench/compare.py (make bench)

MODULE_big = vectorx
# Beside pgvector; made of the same objects (src/names.h).
MODULES = vectorx_pgvector
EXTENSION = vectorx vectorx_pgvector
VX_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" vectorx.control)
# Those of earlier versions, too, which stay as they were released, and from each to the next.
DATA = $(sort $(wildcard sql/vectorx--*.sql))
DATA_built = $(patsubst sql/vectorx--%,sql/vectorx_pgvector--%,sql/vectorx--$(VX_VERSION).sql \
		$(filter-out sql/vectorx--0.1.0--%,$(wildcard sql/vectorx--*--*.sql)))
PGFILEDESC = "vectorx - vector types and an HNSW index"

SRCS = $(filter-out src/bridge.c src/types/test_%.c \
		$(if $(WAIT_POINTS),,src/hnsw/base/waitpoint.c), \
		$(sort $(wildcard src/*.c src/types/*.c src/shared/*.c src/cache/*.c \
		src/hnsw/*/*.c src/planner/*.c)))
# Instruction sets are chosen at run time, so every file is always compiled;
# those for another architecture are empty then.
SRCS += $(filter-out simd/test_%.c simd/bench_%.c,$(sort $(wildcard simd/*.c)))
ifdef SANITIZE
SRCS += src/sanitize/redzones.c src/sanitize/provoke.c
endif
ifdef MEMCHECK
SRCS += src/sanitize/provoke_memcheck.c
endif
OBJS = $(SRCS:.c=.o)
# In the second library others stand for those that know its name.
NAMED := $(shell grep -l '"names.h"' $(SRCS))
BRIDGE_OBJS = $(patsubst %.c,%.bridge.o,$(NAMED) src/bridge.c)
DEPS = $(SRCS:.c=.d) $(BRIDGE_OBJS:.o=.d)

# sql/setup.sql makes the extension, so that it comes before any test that is named.
REGRESS = $(filter-out vectorx--% vectorx_pgvector--%,$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
override REGRESS := setup $(filter-out setup,$(REGRESS))
ISOLATION_SPECS = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
WAIT_POINT_SPECS = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/waitpoints/*.spec)))

# -MMD -MP: objects follow the headers they include.
PG_CPPFLAGS = -I$(srcdir) -I$(srcdir:/=)/src -I$(srcdir:/=)/simd -MMD -MP
ifdef WAIT_POINTS
PG_CPPFLAGS += -DVX_WAIT_POINTS
endif
# No -march: one library serves every processor of the architecture.
# Not wanted: unused parameters (of functions the server calls), initializers of
# the server's structures that get fields with its versions, and the server's own
# warning about declarations after statements.  Comparisons of
# signed with unsigned numbers clang looks for; gcc finds them in the server's
# macros for arrays.
# Hidden: exported is only what the server looks up by name.  PostgreSQL 15 lets
# a library's names serve those loaded after it, and pgvector's has some of ours.
PG_CFLAGS = -fno-math-errno -fvisibility=hidden \
		-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
		-Wno-declaration-after-statement \
		$(if $(findstring clang,$(CC)),,-Wno-sign-compare)
# A server built with gcc hands its flags to every compiler.
PG_CFLAGS += $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option \
		-Wno-ignored-optimization-argument -Wno-ignored-attributes)
ifdef WERROR
PG_CFLAGS += -Werror
endif
ifdef SANITIZE
PG_CPPFLAGS += -include $(srcdir:/=)/src/sanitize/redzones.h -DUSE_ASSERT_CHECKING
SANITIZERS = -fsanitize=address,undefined,float-cast-overflow \
		-fno-sanitize-recover=all
# redzones.h passes the address of what memset is about to set
PG_CFLAGS += $(SANITIZERS) -O1 -g -fno-omit-frame-pointer -Wno-maybe-uninitialized
endif
ifdef MEMCHECK
# -O1: with more, gcc may read bytes ahead of their use
PG_CPPFLAGS += -include $(srcdir:/=)/src/sanitize/memcheck.h
PG_CFLAGS += -O1 -g -fno-omit-frame-pointer
endif

SHLIB_LINK = -lm $(SANITIZERS)
ifeq ($(shell uname -s),Linux)
# The same the other way round: each binds its own.
SHLIB_LINK += -Wl,-Bsymbolic
endif

EXTRA_CLEAN = $(DEPS) $(BRIDGE_OBJS) .build-for src/hnsw/base/waitpoint.o src/hnsw/base/waitpoint.d

# No bitcode for JIT: building needs no clang.
override with_llvm := no

PG_CONFIG ?= pg_config

# PGXS has a "check" of its own that only says that it does nothing.
# The benchmarks bring a server of their own.
ifneq ($(filter check soak bench bench-quick check-packages dist,$(MAKECMDGOALS)),)

.PHONY: check soak bench bench-quick check-packages dist
check:
	$(if $(filter file,$(origin PG_CONFIG)),,PG_CONFIG='$(PG_CONFIG)') bash scripts/test

soak:
	$(if $(filter file,$(origin PG_CONFIG)),,PG_CONFIG='$(PG_CONFIG)') bash scripts/soak

bench-quick:
	bash scripts/bench quick

bench:
	bash scripts/bench $(BENCH_ARGS)

# Debian packages, the Dockerfile and PGXN's zip, each built and tried.
check-packages:
	bash scripts/test-packages $(PACKAGES)

# What PGXN takes: the files of the last commit.
dist:
	git archive --format=zip --prefix=vectorx-$(VX_VERSION)/ -o vectorx-$(VX_VERSION).zip HEAD
	@test -z "$$(git status --porcelain)" || echo "dist: what is not committed is not in it"

else

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) --pgxs gave nothing: set PG_CONFIG, and install the server's development files)
endif
include $(PGXS)

# Goals that build nothing.
IDLE_GOALS = check-% bench-% installcheck format lint clean install-as-vector uninstall-as-vector
ifneq ($(filter-out $(IDLE_GOALS),$(or $(MAKECMDGOALS),all)),)
# A newer compiler than this one may have built the server, and left flags in
# CFLAGS that this one stops at.
UNKNOWN_FLAGS := $(shell echo 'int vx;' | LC_ALL=C $(CC) $(CFLAGS) -fsyntax-only -x c - 2>&1 | \
		sed -nE "s/.*(unrecognized command[- ]line option|unknown argument:) ['\"]([^'\"]+)['\"].*/\2/p")
ifneq ($(UNKNOWN_FLAGS),)
$(warning $(CC) does not know $(UNKNOWN_FLAGS), with which the server was built: left out. \
		CC=... names another compiler)
override CFLAGS := $(filter-out $(UNKNOWN_FLAGS),$(CFLAGS))
override LDFLAGS := $(filter-out $(UNKNOWN_FLAGS),$(LDFLAGS))
endif
endif

# Objects of one server or compiler are of no use to another.  Goals that build
# nothing leave the note alone, for they may run as a user who cannot write.
BUILD_FOR := $(strip $(shell $(PG_CONFIG) --version) $(PGXS) $(CC) \
		$(if $(WERROR),-Werror) $(if $(SANITIZE),sanitized) \
		$(if $(MEMCHECK),memcheck) \
		$(if $(WAIT_POINTS),wait points))
ifneq ($(filter-out $(IDLE_GOALS),$(or $(MAKECMDGOALS),all)),)
ifneq ($(BUILD_FOR),$(shell cat .build-for 2>/dev/null))
$(shell printf '%s\n' '$(BUILD_FOR)' > .build-for)
endif
endif
$(OBJS) $(BRIDGE_OBJS): .build-for Makefile

%.bridge.o: %.c
	$(CC) $(CFLAGS) $(CPPFLAGS) -DVX_BRIDGE -c -o $@ $<

vectorx_pgvector$(DLSUFFIX): $(filter-out $(NAMED:.c=.o),$(OBJS)) $(BRIDGE_OBJS)
	$(LINK.shared) -o $@ $^ $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK)

-include $(DEPS)

# Its scripts, too, are made of vectorx's; it is there since 0.2.0.
sql/vectorx_pgvector--%.sql: sql/vectorx--%.sql sql/vectorx--$(VX_VERSION).sql sql/bridge.awk
	awk -f sql/bridge.awk sql/vectorx--$(VX_VERSION).sql $< >$@.tmp
	mv -f $@.tmp $@

# ---- under pgvector's name

.PHONY: install-as-vector uninstall-as-vector

# The library is that of "make install", which may be a goal of the same command.
install-as-vector: $(filter install,$(MAKECMDGOALS))
	bash '$(srcdir)/scripts/as-vector' install '$(DESTDIR)$(datadir)/extension' '$(DESTDIR)$(pkglibdir)'

uninstall-as-vector:
	bash '$(srcdir)/scripts/as-vector' remove '$(DESTDIR)$(datadir)/extension' '$(DESTDIR)$(pkglibdir)'

# ---- tests

TEST_OUTPUT ?= .

installcheck: REGRESS_OPTS += --outputdir=$(TEST_OUTPUT)

.PHONY: check-isolation check-waitpoints check-tap check-simd check-simd-neon check-sanitize-simd \
	check-sanitize check-assert check-valgrind check-clients check-docs bench-simd format lint

check-isolation:
ifeq ($(ISOLATION_SPECS),)
	@echo "no isolation tests: there is no specs/*.spec"
else
	$(top_builddir)/src/test/isolation/pg_isolation_regress \
		--inputdir=$(srcdir) --outputdir=$(TEST_OUTPUT)/output_iso \
		--bindir='$(bindir)' --dbname=isolation_regression \
		--load-extension=vectorx $(ISOLATION_SPECS)
endif

# On a server whose dynamic_library_path leads to a library with wait points.
check-waitpoints:
	mkdir -p $(TEST_OUTPUT)/output_waitpoints/results/waitpoints
	$(top_builddir)/src/test/isolation/pg_isolation_regress \
		--inputdir=$(srcdir) --outputdir=$(TEST_OUTPUT)/output_waitpoints \
		--bindir='$(bindir)' --dbname=waitpoints_regression \
		--load-extension=vectorx $(WAIT_POINT_SPECS)

# PGPORT is a number to start the search for free ports at; IPC::Run and the
# server's Perl modules have to be there.  Not as root, as whom initdb does not
# run: nothing is left behind then that the next user cannot remove.
TAP_TESTS = $(or $(PROVE_TESTS),t/*.pl)
TAP_PERL = $(dir $(PGXS))../test/perl
TAP_NOT_RUN = { echo 'not run:' $(TAP_TESTS); echo "check-tap: $$1" >&2; exit 1; }

check-tap:
	@not_run() $(TAP_NOT_RUN); \
	test "$$(id -u)" -ne 0 || not_run 'PostgreSQL refuses root: run it as another user, or scripts/test tap'; \
	test -r '$(TAP_PERL)/PostgreSQL/Test/Cluster.pm' || \
		not_run "$(PG_CONFIG) names a server without PostgreSQL::Test ($(TAP_PERL)): install its development files, or build it with --enable-tap-tests"; \
	perl -MIPC::Run -e 1 2>/dev/null || not_run 'Perl has no IPC::Run (Debian: libipc-run-perl)'
	cd $(srcdir) && rm -rf '$(abspath $(TEST_OUTPUT))/tmp_check' && \
	mkdir -p '$(abspath $(TEST_OUTPUT))' && \
	TESTDIR='$(abspath $(TEST_OUTPUT))' \
	TESTDATADIR='$(abspath $(TEST_OUTPUT))/tmp_check' \
	TESTLOGDIR='$(abspath $(TEST_OUTPUT))/tmp_check/log' \
	PATH="$(bindir):$$PATH" \
	PG_REGRESS='$(top_builddir)/src/test/regress/pg_regress' \
	PGPORT='6$(DEF_PGPORT)' \
	prove -v -I $(TAP_PERL) -I $(srcdir)/t $(TAP_TESTS)

# The kernels and the number parser know nothing of PostgreSQL.
PARSE_TEST = src/types/test_parse_float
PARSE_TEST_CC = $(CC) -Wall -Wextra -I. -Isrc -Isimd \
		src/types/test_parse_float.c src/types/parse_float.c -lm

check-simd:
	$(MAKE) -C simd test
	$(PARSE_TEST_CC) -O2 -o $(PARSE_TEST)
	./$(PARSE_TEST)

# The kernels for 64-bit ARM, cross-compiled and run by qemu; says "not run" without them.
check-simd-neon:
	$(MAKE) -C simd test-neon

# The same under the address and undefined-behaviour sanitizers; fewer numbers.
check-sanitize-simd:
	$(MAKE) -C simd test-sanitize
	$(PARSE_TEST_CC) -O1 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -o $(PARSE_TEST)_sanitize
	./$(PARSE_TEST)_sanitize 2

# The library under the sanitizers in a server of its own; SANITIZE_TESTS are
# TAP tests to run besides, or "all".
check-sanitize:
	PG_CONFIG='$(PG_CONFIG)' bash scripts/sanitize $(SANITIZE_TESTS)

# What wants a server on one with assertions, which is built for it.
check-assert:
	PG_CONFIG='$(PG_CONFIG)' bash scripts/assert

# A short run under Valgrind; VALGRIND_TESTS are the SQL regression and TAP tests
# to run instead of those that scripts/valgrind names.
check-valgrind:
	PG_CONFIG='$(PG_CONFIG)' bash scripts/valgrind $(VALGRIND_TESTS)

# Examples of the documentation; PAGES says which (default: all).
check-docs:
	PG_CONFIG='$(PG_CONFIG)' bash scripts/check-docs $(PAGES)

# Client libraries; CLIENTS says which (scripts/check-clients; default: all).
check-clients:
	PG_CONFIG='$(PG_CONFIG)' bash scripts/check-clients $(CLIENTS)

bench-simd:
	$(MAKE) -C simd bench

EXTRA_CLEAN += $(PARSE_TEST) $(PARSE_TEST)_sanitize simd/build

# ---- source form

FORMAT_FILES = $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] simd/*.[ch])

# That of scripts/bootstrap lint, which is pinned, before any other.
CLANG_FORMAT = $(or $(wildcard $(srcdir)/.venv/bin/clang-format),clang-format)

format:
	@command -v $(CLANG_FORMAT) >/dev/null || \
		{ echo 'format: there is no clang-format; "scripts/bootstrap lint" installs it in .venv' >&2; exit 1; }
	$(CLANG_FORMAT) -i $(FORMAT_FILES)

# Whole builds with every compiler that is here, warnings as errors, in a copy
# of the sources so that no object of the working tree is touched.
lint:
	PG_CONFIG='$(PG_CONFIG)' LINT_FILES='$(LINT_FILES)' bash scripts/lint

endif
