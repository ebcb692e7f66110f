# A static poolwatch and nothing else: docker build -t poolwatch:0.1.0 .
#
# For both architectures: docker buildx build --platform linux/amd64,linux/arm64 -t poolwatch:0.1.0 .
# The images are named by tag and not by digest: a rebuild is to get the fixes that their publishers put under the tag, of
# which there are some each month, and nothing here would ever move a digest on. Whoever has a program that does, such as
# Renovate or Dependabot, pins both in a copy.
FROM rust:1.95-alpine AS build
# What ring's C is compiled with.
RUN apk add --no-cache musl-dev gcc
WORKDIR /build

# The dependencies, in a layer that lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock build.rs ./
COPY clients/rust/Cargo.toml clients/rust/
RUN mkdir -p src benches tests/daemon clients/rust/src \
 && echo 'fn main() {}' | tee src/main.rs >tests/daemon/main.rs \
 && touch src/lib.rs clients/rust/src/lib.rs \
 && sed -n '/^\[\[bench\]\]/,/^$/s/^name = "\(.*\)"/benches\/\1.rs/p' Cargo.toml | xargs -r touch \
 && cargo build --release --locked --bin poolwatch

COPY clients/rust clients/rust
COPY src src
COPY config/poolwatch.example.yml config/
ARG REVISION=unknown
# Newer than what was built above from nothing.
RUN touch src/lib.rs src/main.rs clients/rust/src/lib.rs \
 && POOLWATCH_REVISION=$REVISION cargo build --release --locked --bin poolwatch \
 && install -D target/release/poolwatch /image/poolwatch \
 && install -d -o 65532 -g 65532 /image/run/poolwatch

# The certificates of the world's authorities, and no shell.
FROM gcr.io/distroless/static-debian13:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="poolwatch" \
      org.opencontainers.image.description="Watches an application's PostgreSQL connection pools and the server behind them, for Prometheus" \
      org.opencontainers.image.source="https://github.com/poolwatch/poolwatch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /image/poolwatch /poolwatch
COPY LICENSE THIRD-PARTY-NOTICES.md /licenses/
# The folder of the workers' socket: a volume mounted here begins with this owner.
COPY --from=build --chown=65532:65532 /image/run/poolwatch /run/poolwatch
# By number, so that runAsNonRoot can see that it is not root.
USER 65532:65532
EXPOSE 8001
STOPSIGNAL SIGTERM
# Who moves the port says so where this sees it, too: POOLWATCH__WEB__LISTEN_ADDRESSES.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/poolwatch", "healthcheck"]
ENTRYPOINT ["/poolwatch"]
