//! Fused loops and reductions at a million elements, in cache-sized and in large rows, on one thread and on all.

use gradus_cpu::Pool;
use gradus_cpu::fused::{self, Adam, Gelu, LayerNorm};
use gradus_cpu::reduce::{Extents, Reduce, Reduction};

use crate::timing::median_ns;

const N: usize = 1 << 20;
const LEN: usize = 512;
const ROWS: usize = N / LEN;

fn line(name: &str, streams: usize, pools: [&Pool; 2], mut f: impl FnMut(&Pool)) {
    print!("fused   {name:24}");
    for pool in pools {
        let ns = median_ns(|| f(pool));
        print!("  {:6.3} ns {:6.1} GB/s", ns / N as f64, (streams * 4 * N) as f64 / ns);
    }
    println!();
}

/// Prints nanoseconds an element and the bytes moved.
pub fn report(pool: &Pool) {
    let one = Pool::serial();
    let pools = [&one, pool];
    println!("fused   f32, {N} elements         1 thread              all");
    let x: Vec<f32> = (0..N).map(|i| (i % 97) as f32 * 0.05 - 2.4).collect();
    let dy: Vec<f32> = (0..N).map(|i| (i % 31) as f32 * 0.01).collect();
    let (mut out, mut m, mut v) = (x.clone(), vec![0f32; N], vec![0f32; N]);
    let fits = "the slices fit";
    line("softmax rows of 512", 2, pools, |p| fused::softmax(p, ROWS, LEN, &x, &mut out).expect(fits));
    line("log-softmax rows of 512", 2, pools, |p| {
        fused::log_softmax(p, ROWS, LEN, &x, &mut out).expect(fits)
    });
    line("softmax gradient", 3, pools, |p| {
        fused::softmax_gradient(p, ROWS, LEN, &x, &dy, &mut out).expect(fits)
    });
    let norm = LayerNorm { rows: ROWS, len: LEN, eps: 1e-5 };
    let (scale, shift) = (vec![1f32; LEN], vec![0f32; LEN]);
    let (mut mean, mut inverse) = (vec![0f32; ROWS], vec![0f32; ROWS]);
    line("layer norm rows of 512", 2, pools, |p| {
        fused::layer_norm(p, norm, &x, &scale, &shift, &mut out, &mut mean, &mut inverse).expect(fits)
    });
    let (mut ds, mut dt) = (vec![0f32; LEN], vec![0f32; LEN]);
    line("layer norm gradient", 3, pools, |p| {
        fused::layer_norm_gradient(p, norm, &x, &scale, &mean, &inverse, &dy, &mut out, &mut ds, &mut dt)
            .expect(fits)
    });
    for which in [Gelu::Erf, Gelu::Tanh] {
        line(&format!("GELU {which:?}"), 2, pools, |p| fused::gelu(p, which, &x, &mut out).expect(fits));
        line(&format!("GELU {which:?} gradient"), 3, pools, |p| {
            fused::gelu_gradient(p, which, &x, &dy, &mut out).expect(fits)
        });
    }
    line("Adam", 7, pools, |p| Adam::default().update(p, 5, &dy, &mut out, &mut m, &mut v).expect(fits));
    let mut sums = vec![0f32; N];
    for (name, outer, axis, inner) in [
        ("sum of all", 1, N, 1),
        ("sum of rows of 512", ROWS, LEN, 1),
        ("sum of columns, 512 wide", 1, ROWS, LEN),
        ("sum of columns, 10 wide", 1, N / 10, 10),
        ("sum of a middle axis", 16, 64, 1024),
    ] {
        let extents = Extents { outer, axis, inner };
        let reduce = Reduce::new(Reduction::Sum, extents);
        let mut scratch = vec![0f32; reduce.workspace()];
        line(name, 1, pools, |p| {
            reduce.run_with(p, &x[..extents.len()], &mut sums[..extents.reduced()], &mut scratch).expect(fits)
        });
    }
}
