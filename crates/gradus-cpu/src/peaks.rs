//! What the machine can do at best on a pool's threads: arithmetic by a large matrix product, memory by reading and by
//! writing what was read. Rates of kernels are told as shares of these.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::Pool;
use crate::matmul::{Element, Layout, MatMul};

/// Measured peaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// The threads that took part.
    pub threads: usize,
    /// 1e9 operations a second of a matrix product of `f32`, a multiplication and an addition counting as two.
    pub f32_gflops: f64,
    /// The same for `f64`.
    pub f64_gflops: f64,
    /// 1e9 bytes a second, reading a block that no cache holds.
    pub read_gbps: f64,
    /// 1e9 bytes a second, read and written together, over blocks that no cache holds.
    pub copy_gbps: f64,
}

/// Elements of the blocks that are streamed: 128 MiB are read, or half of it written to the other half.
const STREAM: usize = 32 << 20;

/// Rows and columns of the products.
const ORDER: usize = 1024;

/// How often each is repeated; the fastest counts.
const REPEATS: usize = 5;

impl Peaks {
    /// The peaks on the threads of `pool`, measured the first time they are asked for: that takes a few tenths of a second.
    pub fn of(pool: &Pool) -> Peaks {
        static KNOWN: OnceLock<Mutex<HashMap<usize, Peaks>>> = OnceLock::new();
        // Held while measuring: two measurements at once would disturb each other.
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(pool.threads()).or_insert_with(|| Peaks::measure(pool))
    }

    fn measure(pool: &Pool) -> Peaks {
        let (read_gbps, copy_gbps) = bandwidth(pool);
        Peaks {
            threads: pool.threads(),
            f32_gflops: product_rate::<f32>(pool, 0.5),
            f64_gflops: product_rate::<f64>(pool, 0.5),
            read_gbps,
            copy_gbps,
        }
    }

    /// The faster of the two ways to move memory.
    pub fn gbps(&self) -> f64 {
        self.read_gbps.max(self.copy_gbps)
    }
}

/// The rate of the fastest of some runs, after one that does not count; `work` a run.
fn best_rate(work: f64, mut run: impl FnMut()) -> f64 {
    run();
    let once = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64()
    };
    let best = (0..REPEATS).map(|_| once(&mut run)).fold(f64::INFINITY, f64::min);
    work / best.max(1e-9) * 1e-9
}

fn product_rate<T: Element>(pool: &Pool, value: T) -> f64 {
    let layout = Layout::row_major(ORDER);
    let product = MatMul::new(ORDER, ORDER, ORDER, layout, layout, layout);
    let (a, b) = (vec![value; ORDER * ORDER], vec![value; ORDER * ORDER]);
    let mut c = vec![T::ZERO; ORDER * ORDER];
    best_rate(product.flops(), || {
        product.run(pool, T::ONE, &a, &b, T::ZERO, &mut c).expect("the layouts are those of the slices");
    })
}

/// A pointer that tasks share; each writes a part of its own.
struct Shared(*mut f32);
// SAFETY: tasks write disjoint parts.
unsafe impl Sync for Shared {}
impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// Reading, and copying with a multiplication.
fn bandwidth(pool: &Pool) -> (f64, f64) {
    let mut block = vec![1.0f32; STREAM];
    let grain = 1 << 16;
    let read = best_rate((STREAM * size_of::<f32>()) as f64, || {
        pool.run_ranges(STREAM, grain, &|range| {
            let add = |mut sums: [f32; 64], x: &[f32; 64]| {
                sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
                sums
            };
            std::hint::black_box(block[range].as_chunks::<64>().0.iter().fold([0.0; 64], add));
        });
    });
    let (from, to) = block.split_at_mut(STREAM / 2);
    let to = Shared(to.as_mut_ptr());
    let copy = best_rate((STREAM * size_of::<f32>()) as f64, || {
        pool.run_ranges(from.len(), grain, &|range| {
            // SAFETY: ranges lie inside the half and are disjoint.
            let to = unsafe { std::slice::from_raw_parts_mut(to.get().add(range.start), range.len()) };
            to.iter_mut().zip(&from[range]).for_each(|(y, x)| *y = x * 0.5);
        });
    });
    (read, copy)
}
