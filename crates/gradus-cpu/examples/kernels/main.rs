//! Times the kernels: `cargo run -p gradus-cpu --release --example kernels [section...]`.
//!
//! Sections: `peak`, `pool`, `matmul`, `conv`, `vmath`. Each line names the kernel and its size, and gives the time, the rate, and
//! what that is of the peak measured in the same run. Threads: `GRADUS_THREADS`, else all.

mod conv;
mod matmul;
mod peak;
mod timing;
mod vmath;

use gradus_cpu::Pool;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wants = |section: &str| asked.is_empty() || asked.iter().any(|a| a == section);
    let pool = Pool::global();
    println!("threads {}", pool.threads());
    if wants("peak") {
        peak::report(pool);
    }
    if wants("pool") {
        timing::pool_latency(pool);
    }
    if wants("matmul") {
        matmul::report(pool);
    }
    if wants("conv") {
        conv::report(pool);
    }
    if wants("vmath") {
        vmath::report();
    }
}
