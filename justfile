# The recipes are what continuous integration runs. `just` lists them.

default:
    @just --list

# Formatting, lints, documentation and dependencies.
check:
    tools/check

# Every test and every example of the documentation.
test *args:
    tools/test {{args}}

# All that must pass before a merge.
ci:
    .ci/run

# The tape's unsafe code under Miri, which comes with a nightly toolchain: `rustup component add miri --toolchain nightly`. It knows no assembly, which `libm` can do without.
miri:
    cargo +nightly miri test -p gradus-num --features libm/force-soft-floats --test tape

# All tests of the CPU kernels under AddressSanitizer, in a target folder of their own (on x86-64 Linux; stable Rust ships the runtime).
asan *args:
    tools/asan {{args}}

# Random programs, run in every way; those that fail are printed as Rust.
programs count="100000" seed="0":
    cargo run --release -p gradus-cli -- check --programs {{count}} --seed {{seed}}

# Two thousand of them under AddressSanitizer, whose runtime comes with the stable toolchain.
programs-asan seed="0":
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" ASAN_OPTIONS=detect_leaks=0 CARGO_TARGET_DIR=target/asan \
        cargo run --target x86_64-unknown-linux-gnu -p gradus-cli -- check --programs 2000 --seed {{seed}}

# Calls of 10⁵ random shapes: resident memory stays flat.
shapes:
    cargo test --release -p gradus --test memory -- --ignored --nocapture

# How many random programs it takes to find each of the faults of tools/faults.
planted:
    tools/planted

# Times of the CPU kernels.
bench:
    cargo run --release -p gradus-cpu --example kernels

# Steps of training beside PyTorch, JAX, burn and candle; `just bench-train --help` tells the options.
bench-train *args:
    bench/train/run.py {{args}}

# Held-out accuracy of the digits models over seeds 0 to 9.
bench-digits *models:
    tools/digits {{models}}

# The documentation of the crates, and the book where mdBook is installed.
docs:
    cargo doc --workspace --no-deps
    if command -v mdbook >/dev/null; then mdbook build docs; fi

# Formats the code.
fmt:
    cargo fmt --all

# The examples, one after the other.
examples:
    tools/examples
