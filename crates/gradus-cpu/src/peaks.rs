//! What the machine can do at best on a pool's threads: arithmetic by a large matrix product; memory, and the largest
//! cache, by reading, by copying, by adding two blocks into a third and by changing a block in place. Rates of kernels are told as shares
//! of these.
//!
//! A kernel's limit is that of the level that its operands and results fit in, or arithmetic, whichever binds. A multiplication
//! and an addition are one instruction of a product and count as two operations there; the functions of element-wise kernels are
//! counted as so many vector instructions, of which the machine does half as many a second.
//!
//! Invariant: blocks are as long as their vectors.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gradus_plan::Costs;

use crate::Pool;
use crate::exec::{Versioned, best};
use crate::matmul::{Element, Layout, MatMul};
use crate::pages;

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
    /// 1e9 bytes a second, read and written together, over blocks that no cache holds: the best of copying one, adding two
    /// into a third and changing one in place. What a processor reads only because it is about to be overwritten is not counted.
    pub copy_gbps: f64,
    /// The best of all four ways over blocks of 8 MiB together, again and again; that of memory where the largest cache is
    /// not twice as large.
    pub cache_gbps: f64,
    /// Bytes of the largest cache, as far as the system tells.
    pub cache_bytes: usize,
}

/// Elements of the blocks that are streamed from memory: 128 MiB.
const STREAM: usize = 32 << 20;

/// Elements of the blocks that are streamed from a cache: 8 MiB.
const CACHED: usize = 2 << 20;

/// Elements that a task goes through.
const GRAIN: usize = 1 << 16;

/// Rows and columns of the products.
const ORDER: usize = 1024;

/// How often products are repeated; the fastest counts.
const REPEATS: usize = 5;

/// How long each kind of moving memory is repeated, at least; the fastest time counts.
const ENOUGH: Duration = Duration::from_millis(40);

impl Peaks {
    /// The peaks on the threads of `pool`, measured the first time they are asked for: that takes about half a second.
    pub fn of(pool: &Pool) -> Peaks {
        static KNOWN: OnceLock<Mutex<HashMap<usize, Peaks>>> = OnceLock::new();
        // Held while measuring: two measurements at once would disturb each other.
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(pool.threads()).or_insert_with(|| Peaks::measure(pool))
    }

    fn measure(pool: &Pool) -> Peaks {
        let cache_bytes = largest_cache();
        let mut block: Vec<f32> = Vec::with_capacity(STREAM);
        pages::prefer_large(block.as_mut_ptr().cast(), STREAM * size_of::<f32>());
        block.resize(STREAM, 0.5);
        let [read_gbps, written @ ..] = Stream::ALL.map(|stream| stream.rate(pool, &mut block));
        let copy_gbps = written.into_iter().fold(0.0, f64::max);
        let memory = read_gbps.max(copy_gbps);
        let cache_gbps = if cache_bytes >= 2 * CACHED * size_of::<f32>() {
            Stream::ALL
                .map(|stream| stream.rate(pool, &mut block[..CACHED]))
                .into_iter()
                .fold(memory, f64::max)
        } else {
            memory
        };
        drop(block);
        Peaks {
            threads: pool.threads(),
            f32_gflops: product_rate::<f32>(pool, 0.5),
            f64_gflops: product_rate::<f64>(pool, 0.5),
            read_gbps,
            copy_gbps,
            cache_gbps,
            cache_bytes,
        }
    }

    /// The fastest kind of stream to move memory that no cache holds.
    pub fn gbps(&self) -> f64 {
        self.read_gbps.max(self.copy_gbps)
    }

    /// The fastest kind of stream for this number of bytes: those that fit into the largest cache may still lie there.
    pub fn gbps_for(&self, bytes: f64) -> f64 {
        if bytes <= self.cache_bytes as f64 { self.cache_gbps } else { self.gbps() }
    }

    /// What work costs, as plans weigh it: arithmetic and memory as measured, the rest in the proportion to them that it has by
    /// default.
    pub fn costs(&self) -> Costs {
        let usual = Costs::default();
        let product_flop = 1e-9 / self.f32_gflops;
        let byte = 1e-9 / self.copy_gbps;
        let (slower, memory) = (product_flop / usual.product_flop, byte / usual.byte);
        Costs {
            product_flop,
            flop: usual.flop * slower,
            element: usual.element * slower,
            byte,
            product_byte: usual.product_byte * memory,
            kernel: usual.kernel * slower,
        }
    }

    /// The share of the limit that binds, of something that moves `bytes` and takes `seconds` for `flops` operations: vector
    /// instructions, or those of a product.
    pub fn share(&self, flops: f64, bytes: f64, seconds: f64, double: bool, product: bool) -> f64 {
        let multiplied = if double { self.f64_gflops } else { self.f32_gflops };
        let arithmetic = if product { multiplied } else { multiplied / 2.0 };
        let rate = 1e-9 / seconds.max(1e-9);
        (flops * rate / arithmetic).max(bytes * rate / self.gbps_for(bytes))
    }
}

/// Bytes of the largest cache of the first processor; 0 where the system does not tell.
fn largest_cache() -> usize {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = std::fs::read_to_string(path).ok()?;
        let text = text.trim();
        let unit = match text.as_bytes().last()? {
            b'K' => 1 << 10,
            b'M' => 1 << 20,
            b'G' => 1 << 30,
            _ => return text.parse().ok(),
        };
        text[..text.len() - 1].parse::<usize>().ok().map(|n| n * unit)
    };
    (0..8).map_while(size).max().unwrap_or(0)
}

/// The rate of the fastest of some runs, after one that does not count; `work` a run.
fn best_rate(work: f64, mut run: impl FnMut()) -> f64 {
    run();
    let fastest = (0..REPEATS).map(|_| seconds(&mut run)).fold(f64::INFINITY, f64::min);
    work / fastest * 1e-9
}

fn seconds(run: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64().max(1e-9)
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

/// A kind of memory traffic.
#[derive(Clone, Copy)]
enum Stream {
    Read,
    Copy,
    Add,
    InPlace,
}

impl Stream {
    const ALL: [Stream; 4] = [Stream::Read, Stream::Copy, Stream::Add, Stream::InPlace];

    /// Bytes a second, in 1e9.
    fn rate(self, pool: &Pool, block: &mut [f32]) -> f64 {
        // Blocks, and streams read and written.
        let (blocks, streams) = match self {
            Stream::Read => (1, 1),
            Stream::Copy => (2, 2),
            Stream::Add => (3, 3),
            Stream::InPlace => (1, 2),
        };
        let n = block.len() / blocks;
        let x = Shared(block.as_mut_ptr());
        let mut run = || {
            pool.run_ranges(n, GRAIN, &|range| {
                // SAFETY: all blocks lie inside the slice, and ranges inside a block, apart from each other.
                unsafe {
                    let x = x.get().add(range.start);
                    best(StreamPart { stream: self, x, apart: n, n: range.len() });
                }
            });
        };
        run();
        let (began, mut fastest) = (Instant::now(), f64::INFINITY);
        let mut times = 0;
        while times < REPEATS || began.elapsed() < ENOUGH {
            fastest = fastest.min(seconds(&mut run));
            times += 1;
        }
        (n * streams * size_of::<f32>()) as f64 / fastest * 1e-9
    }
}

/// Some elements of the blocks, which begin `apart` elements from one another.
struct StreamPart {
    stream: Stream,
    x: *mut f32,
    apart: usize,
    n: usize,
}

impl Versioned for StreamPart {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let StreamPart { stream, x, apart, n } = self;
        // SAFETY: the caller's promise: the parts of different blocks do not overlap.
        unsafe {
            let first = std::slice::from_raw_parts_mut(x, n);
            let other = |i: usize| std::slice::from_raw_parts_mut(x.add(i * apart), n);
            match stream {
                Stream::Read => {
                    let add = |mut sums: [f32; 64], x: &[f32; 64]| {
                        sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
                        sums
                    };
                    std::hint::black_box(first.as_chunks::<64>().0.iter().fold([0.0; 64], add));
                }
                Stream::Copy => other(1).iter_mut().zip(first).for_each(|(y, x)| *y = 1.0 - *x),
                Stream::Add => {
                    let y = other(1);
                    other(2).iter_mut().zip(first).zip(y).for_each(|((z, x), y)| *z = *x + *y);
                }
                // The values stay between 0 and 1, whatever the number of times.
                Stream::InPlace => first.iter_mut().for_each(|x| *x = 1.0 - *x),
            }
        }
    }
}
