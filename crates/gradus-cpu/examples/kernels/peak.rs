//! The machine's peaks, measured: arithmetic by the largest matrix product, memory by reading and copying.

use gradus_cpu::Pool;
use gradus_cpu::matmul::{Layout, MatMul};

use crate::timing::median_ns;

/// Prints the peaks for one thread and for all.
pub fn report(pool: &Pool) {
    let one = Pool::serial();
    for (pool, name) in [(&one, "1 thread"), (pool, "all")] {
        let n = 1536;
        let (a, b) = (vec![0.5f32; n * n], vec![0.25f32; n * n]);
        let mut c = vec![0.0f32; n * n];
        let layout = Layout::row_major(n);
        let product = MatMul::new(n, n, n, layout, layout, layout);
        let ns = median_ns(|| product.run(pool, 1.0, &a, &b, 0.0, &mut c).expect("the layouts fit"));
        println!("peak    f32 products, {name:9} {:9.1} GFLOP/s", product.flops() / ns);

        let len = 32 << 20;
        let source = vec![1.0f32; len];
        let grain = 1 << 16;
        let ns = median_ns(|| {
            pool.run_ranges(len, grain, &|range| {
                let sum: [f32; 64] = source[range].chunks_exact(64).fold([0.0; 64], |mut sum, chunk| {
                    sum.iter_mut().zip(chunk).for_each(|(s, x)| *s += x);
                    sum
                });
                std::hint::black_box(sum);
            })
        });
        println!("peak    reading,      {name:9} {:9.1} GB/s", (len * 4) as f64 / ns);
    }
}
