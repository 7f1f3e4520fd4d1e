//! Matrix products beside the serial kernel of the `gemm` crate, called once for the whole product.

use gemm_common::Parallelism;
use gradus_cpu::Pool;
use gradus_cpu::matmul::{Layout, MatMul};

use crate::timing::median_ns;

/// Sizes `m, n, k` with whether A and B are stored transposed.
const CASES: [(usize, usize, usize, bool, bool); 22] = [
    (16, 16, 16, false, false),
    (32, 32, 32, false, false),
    (64, 64, 64, false, false),
    (128, 128, 128, false, false),
    (256, 256, 256, false, false),
    (512, 512, 512, false, false),
    (1024, 1024, 1024, false, false),
    (2048, 2048, 2048, false, false),
    (128, 512, 784, false, false),
    (128, 512, 512, false, true),
    (784, 512, 128, true, false),
    (128, 10, 512, false, false),
    (1024, 512, 784, false, false),
    (4096, 1024, 1024, false, false),
    (2048, 1024, 256, false, false),
    (2048, 256, 1024, false, false),
    (2048, 1024, 256, false, true),
    (2048, 256, 1024, false, true),
    (256, 1024, 2048, true, false),
    (1024, 256, 2048, true, false),
    (1024, 1024, 4096, true, false),
    (1, 4096, 4096, false, false),
];

/// Prints GFLOP/s on one thread, on all, and of `gemm`.
pub fn report(pool: &Pool) {
    let one = Pool::serial();
    println!("matmul  f32 m n k (A, B transposed)        gemm   1 thread        all   GFLOP/s   blocks");
    for (m, n, k, ta, tb) in CASES {
        let a: Vec<f32> = (0..m * k).map(|i| (i % 17) as f32 - 8.0).collect();
        let b: Vec<f32> = (0..k * n).map(|i| (i % 13) as f32 - 6.0).collect();
        let mut c = vec![0.0f32; m * n];
        let la = if ta { Layout::column_major(m) } else { Layout::row_major(k) };
        let lb = if tb { Layout::column_major(k) } else { Layout::row_major(n) };
        let product = MatMul::new(m, n, k, la, lb, Layout::row_major(n));
        let gemm = median_ns(|| {
            // SAFETY: the strides are those of the three vectors; C is computed transposed, as the kernels like it.
            unsafe {
                gemm_f32::gemm::f32::get_gemm_fn()(
                    n,
                    m,
                    k,
                    c.as_mut_ptr(),
                    n as isize,
                    1,
                    false,
                    b.as_ptr(),
                    lb.row,
                    lb.col,
                    a.as_ptr(),
                    la.row,
                    la.col,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                )
            }
        });
        let serial = median_ns(|| product.run(&one, 1.0, &a, &b, 0.0, &mut c).expect("the layouts fit"));
        let all = median_ns(|| product.run(pool, 1.0, &a, &b, 0.0, &mut c).expect("the layouts fit"));
        let rate = |ns: f64| product.flops() / ns;
        let flag = |t: bool| if t { 'T' } else { '-' };
        println!(
            "matmul  {:>4} x {:>4} x {:>4} ({}{})           {:>10.1} {:>10.1} {:>10.1}             {} of {:?}",
            m,
            n,
            k,
            flag(ta),
            flag(tb),
            rate(gemm),
            rate(serial),
            rate(all),
            product.blocks().tasks(),
            product.blocks().edges()
        );
    }
}
