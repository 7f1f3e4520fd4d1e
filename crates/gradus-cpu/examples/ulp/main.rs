//! The largest error of every single-precision function over all 2³² arguments, on every instruction set of the machine:
//! `cargo run -p gradus-cpu --release --example ulp [--stride N] [function...]`.
//!
//! With a stride only every N-th argument is tried. `GRADUS_THREADS` says how many threads take part. Exits with 1 if an
//! error is above 2 units in the last place.

#[path = "../../tests/support/single.rs"]
mod single;

use std::sync::Mutex;

use gradus_cpu::Pool;
use gradus_cpu::vmath::InstructionSet;

fn main() {
    let mut stride = 1u32;
    let mut names = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--stride" => stride = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0).unwrap_or(1),
            _ => names.push(arg),
        }
    }
    let levels = InstructionSet::available();
    let pool = Pool::global();
    let total = (1u64 << 32).div_ceil(stride as u64) as usize;
    let piece = 1 << 20;
    let mut failed = false;
    print!("{:10}", "function");
    levels.iter().for_each(|level| print!("{:>10}", format!("{level:?}")));
    println!("  where it is largest");
    for case in single::CASES.iter().filter(|case| names.is_empty() || names.iter().any(|n| n == case.0)) {
        let start = std::time::Instant::now();
        let worst = Mutex::new(vec![(0.0, 0.0); levels.len()]);
        pool.run_ranges(total, piece, &|range| {
            let first = (range.start as u64 * stride as u64) as u32;
            let found = single::worst(case, levels, first, stride, range.len());
            let mut worst = worst.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (worst, found) in worst.iter_mut().zip(found) {
                if found.0 > worst.0 {
                    *worst = found;
                }
            }
        });
        let worst: Vec<(f64, f32)> = worst.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        print!("{:10}", case.0);
        worst.iter().for_each(|(error, _)| print!("{error:>10.3}"));
        let at = worst.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |w| w.1);
        let above = worst.iter().any(|w| w.0 > 2.0);
        let mark = if above { "  <-- above 2" } else { "" };
        failed |= above;
        println!("  {at:e} (0x{:08x})  {:.1} s{mark}", at.to_bits(), start.elapsed().as_secs_f64());
    }
    std::process::exit(failed as i32);
}
