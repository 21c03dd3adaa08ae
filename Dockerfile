# The command and the three workers in one image; docker-compose.yml says which runs where.
FROM rust:1.93-bookworm AS build
WORKDIR /haul
COPY . .
RUN scripts/packages build && cargo build --release --locked -p haul -p ingest -p normalize -p export --bins

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 1777 /stage /out /scratch
COPY --from=build /haul/target/release/haul /haul/target/release/haul-ingest /haul/target/release/haul-normalize \
    /haul/target/release/haul-export /usr/local/bin/
USER 1000:1000
CMD ["haul", "--help"]
