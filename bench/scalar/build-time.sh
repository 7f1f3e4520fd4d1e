#!/usr/bin/env bash
# What a driver call adds to a build: processor seconds of rustc for a small program with no derivative, with a closure
# driver of one number type, and with the automatic drivers. Run after `cargo build --release -p gradus-bench-scalar`.
set -euo pipefail
deps="${CARGO_TARGET_DIR:-target}/release/deps"
library=$(ls -t "$deps"/libgradus_num-*.rlib | head -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program() {
    cat >"$work/$1.rs" <<PROGRAM
use gradus_num::Real;
fn f<R: Real>(x: &[R]) -> R {
    let mut s = R::zero();
    for w in x.windows(2) {
        let (a, b) = (R::one() - w[0], w[1] - w[0] * w[0]);
        s += a * a + R::from_f64(100.0) * b * b;
    }
    s.sin().exp()
}
fn main() {
    let x: Vec<f64> = std::env::args().map(|a| a.len() as f64).collect();
    println!("{:?}", $2);
}
PROGRAM
    echo "$1:"
    (time -p rustc --edition 2024 -C opt-level=3 "$work/$1.rs" --extern gradus_num="$library" -L "$deps" \
        -o "$work/$1") 2>&1 | grep -E 'user|error'
}
program none 'f(&x)'
program forward 'gradus_num::forward::gradient::<f64, 8>(f, &x)'
program gradient 'gradus_num::gradient(&gradus_num::scalar_fn!(f), &x)'
program hessian 'gradus_num::hessian(&gradus_num::scalar_fn!(f), &x)'
