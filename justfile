# Recipes for the edge, the origin and the Topology Service. `just` lists them.
# `.ci/just RECIPE` runs a recipe on a machine without just: it installs just first.

target := absolute_path(env("CARGO_TARGET_DIR", justfile_directory() / "target"))
ruleset := target / "debug/ruleset"
wasm := target / "wasm32-unknown-unknown/release-wasm/filter.wasm"

# List the recipes
_list:
    @just --list --unsorted

# Run the whole edge on this machine: Envoy, the Topology Service, two Cells. Ctrl-C stops it.
[positional-arguments]
demo *args:
    @sh .ci/need docker-registry docker-registry "the Cells' container registries"
    @sh .ci/build envoy --package origin --package topology --package demo
    @ENVOY="$(sh .ci/envoy)" FILTER_WASM="{{ wasm }}" exec "{{ target }}/debug/demo" "$@"

# Run all tests: unit tests, the compiled filter, real Envoy, registries, databases and clients
test: test-tools
    @sh .ci/build "envoy seaweedfs azurite" --workspace --bins --tests
    @ENVOY="$(sh .ci/envoy)" FILTER_WASM="{{ wasm }}" sh .ci/test

# Run the tests that need no program except cargo
test-quick:
    cargo test --locked

# Check the rulesets: validity, lints, cases and schemas
rules:
    cargo build --locked --package router --features cli
    "{{ ruleset }}" check --deny-warnings rulesets
    "{{ ruleset }}" test rulesets
    @"{{ ruleset }}" schema | diff -u rulesets/schema.json - || { echo "run \`just schema\`" >&2; exit 1; }
    @"{{ ruleset }}" schema --cases | diff -u rulesets/cases.schema.json - || { echo "run \`just schema\`" >&2; exit 1; }

# Write the schemas that editors use for rulesets and their cases
schema:
    cargo build --locked --package router --features cli
    "{{ ruleset }}" schema > rulesets/schema.json
    "{{ ruleset }}" schema --cases > rulesets/cases.schema.json

# Measure the edge (fuel of each ruleset; Envoy without the filter, with it, and with Lua) and the origin
bench: wasm bench-tools && bench-origin
    cargo build --locked --package topology --bins
    ENVOY="$(sh .ci/envoy)" FILTER_WASM="{{ wasm }}" cargo bench --locked --profile dev --package e2e --bench edge

# Compare the origin with distribution, nginx's proxy_cache and nginx; all parts, or for example: just bench-origin cold herd
bench-origin *parts: bench-tools
    cargo build --locked --release --package origin
    ENVOY="$(sh .ci/envoy)" cargo bench --locked --package e2e --no-default-features --bench origin -- {{ parts }}

# Build the filter as Envoy loads it
wasm:
    sh .ci/wasm
    @ls -l "{{ wasm }}"

# Check the rules of both hostnames and install them where Envoy loads them: just ecds /etc/envoy
ecds folder:
    cargo run --locked --package router --features cli --bin ruleset -- install "{{ folder }}"

# Print the path of Envoy; install it if it is missing
envoy:
    @sh .ci/envoy

# Check formatting and lints; warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Check dependencies: licences, sources, banned crates
deny:
    @sh .ci/deny

# Format the code
fmt:
    cargo fmt --all

# Install the programs that the tests use
[private]
test-tools:
    @sh .ci/need skopeo skopeo "a real docker client for the tests"
    # The package has a service, which RUNLEVEL=1 keeps from starting.
    @RUNLEVEL=1 sh .ci/need promtool prometheus "lints metrics"
    @sh .ci/need docker-registry docker-registry "real registries for the tests: upstreams and the Cells'"
    @command -v postgres >/dev/null || sh .ci/need pg_ctlcluster postgresql "a real database for the tests"
    @sh .ci/need podman "podman crun" "a real client for the tests"
    @sh .ci/need crun crun "podman needs it to pull"
    @sh .ci/need buildah buildah "a real client for the tests"
    @sh .ci/need containerd "containerd runc" "a real client for the tests"
    @sh .ci/need dockerd docker.io "a real client for the tests: docker itself"
    @sh .ci/need docker docker.io "the client of dockerd"

# Install the load generators and the peers of the benchmarks
[private]
bench-tools:
    @sh .ci/need skopeo skopeo "a real docker client for the benchmark"
    @sh .ci/need docker-registry docker-registry "the upstream and a peer of the benchmark"
    @sh .ci/need wrk wrk "the load of the benchmark"
    @sh .ci/need nginx nginx-light "the upstream of the benchmark"
