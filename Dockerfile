# PostgreSQL with vectorx, on the official image (docs/install.md).
#
#   docker build -t vectorx .
#   docker build -t vectorx --build-arg PG_MAJOR=16 .
#
# PG_MAJOR: 15 to 18.  AS_VECTOR=1: under pgvector's name as well.
# scripts/test-packages runs these steps, and knows no instructions but those that are here.
ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR} AS builder
ARG PG_MAJOR
ARG AS_VECTOR=
# The server's own version and its development files come from the same repository, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends build-essential "postgresql-server-dev-$PG_MAJOR" && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Makefile LICENSE vectorx.control vectorx_pgvector.control ./
COPY scripts/as-vector scripts/lib.sh scripts/doctor scripts/migrate-from-pgvector scripts/
COPY sql sql/
COPY simd simd/
COPY src src/
# DESTDIR takes what is installed and nothing else, for the second stage.
RUN pg_config="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" && \
    make -j "$(nproc)" PG_CONFIG="$pg_config" && \
    make install ${AS_VECTOR:+install-as-vector} PG_CONFIG="$pg_config" DESTDIR=/installed && \
    install -D -m 644 LICENSE /installed/usr/share/doc/vectorx/LICENSE && \
    install -D -t /installed/usr/share/doc/vectorx/examples scripts/doctor scripts/migrate-from-pgvector

FROM postgres:${PG_MAJOR}
COPY --from=builder /installed/ /
