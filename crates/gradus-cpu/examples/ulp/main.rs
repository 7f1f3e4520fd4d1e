//! The largest error of every single-precision function over all 2³² arguments:
//! `cargo run -p gradus-cpu --release --example ulp [--stride N] [--level baseline|avx2|avx512] [function...]`.
//!
//! With a stride only every N-th argument is tried. Exits with 1 if an error is above 2 units in the last place.

#[path = "../../tests/support/single.rs"]
mod single;

use std::sync::Mutex;

use gradus_cpu::Pool;
use gradus_cpu::vmath::Level;

fn main() {
    let mut stride = 1u32;
    let mut level = Level::current();
    let mut names = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--stride" => stride = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0).unwrap_or(1),
            "--level" => {
                let name = args.next().unwrap_or_default();
                let named = |l: &&Level| format!("{l:?}").eq_ignore_ascii_case(&name);
                match Level::available().iter().find(named) {
                    Some(&found) => level = found,
                    None => {
                        eprintln!("this machine has no level `{name}`; it has {:?}", Level::available());
                        std::process::exit(2);
                    }
                }
            }
            _ => names.push(arg),
        }
    }
    let pool = Pool::global();
    let total = (1u64 << 32).div_ceil(stride as u64) as usize;
    let piece = 1 << 20;
    let mut failed = false;
    for case in single::CASES.iter().filter(|case| names.is_empty() || names.iter().any(|n| n == case.0)) {
        let start = std::time::Instant::now();
        let worst = Mutex::new((0.0, 0.0));
        pool.run_ranges(total, piece, &|range| {
            let first = (range.start as u64 * stride as u64) as u32;
            let found = single::worst(case, level, first, stride, range.len());
            let mut worst = worst.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if found.0 > worst.0 {
                *worst = found;
            }
        });
        let (error, at): (f64, f32) = worst.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mark = if error > 2.0 { "  <-- above 2" } else { "" };
        failed |= error > 2.0;
        println!(
            "{:9} {level:?}  {error:6.3} ulp at {at:e} (0x{:08x})  {:.1} s{mark}",
            case.0,
            at.to_bits(),
            start.elapsed().as_secs_f64()
        );
    }
    std::process::exit(failed as i32);
}
