//! Matrix products: against the definition, and bit for bit the same on any number of threads.

use gradus_cpu::Pool;
use gradus_cpu::matmul::{Element, Layout, MatMul, MatMulError};

/// Numbers in [-1, 1) from a linear congruential generator.
fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn singles(len: usize, seed: u64) -> Vec<f32> {
    numbers(len, seed).into_iter().map(|x| x as f32).collect()
}

/// Row-major or transposed storage of a `rows × cols` matrix.
fn layout(rows: usize, cols: usize, transposed: bool) -> Layout {
    if transposed { Layout::column_major(rows) } else { Layout::row_major(cols) }
}

const EDGES: [usize; 10] = [1, 2, 3, 7, 31, 63, 64, 65, 97, 130];

#[test]
fn agrees_with_the_definition_in_every_orientation() {
    let pool = Pool::new(2);
    for (round, &m) in EDGES.iter().enumerate() {
        for &n in &EDGES {
            let k = EDGES[(round * 3 + n) % EDGES.len()];
            for orientation in 0..8 {
                let (ta, tb, tc) = (orientation & 1 != 0, orientation & 2 != 0, orientation & 4 != 0);
                let (a, b, c0) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
                let mut c = c0.clone();
                let product = MatMul::new(m, n, k, layout(m, k, ta), layout(k, n, tb), layout(m, n, tc));
                product.run(&pool, 1.5, &a, &b, -0.5, &mut c).expect("the layouts fit");
                for i in 0..m {
                    for j in 0..n {
                        let at = |t: bool, r: usize, s: usize, rows: usize, cols: usize| {
                            if t { s * rows + r } else { r * cols + s }
                        };
                        let sum: f64 = (0..k).map(|p| a[at(ta, i, p, m, k)] * b[at(tb, p, j, k, n)]).sum();
                        let want = 1.5 * sum - 0.5 * c0[at(tc, i, j, m, n)];
                        let got = c[at(tc, i, j, m, n)];
                        assert!((want - got).abs() <= 1e-13 * (k as f64 + 1.0), "{m} {n} {k} {orientation}");
                    }
                }
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let pools: Vec<Pool> = [1, 2, 3, 4].map(Pool::new).into();
    let shapes = [
        (1, 4096, 4096),
        (4096, 1, 4096),
        (1, 1, 4096),
        (63, 65, 4096),
        (64, 64, 64),
        (65, 63, 127),
        (200, 300, 2049),
        (513, 511, 257),
        (129, 784, 512),
        (1000, 10, 700),
        (3, 5000, 64),
        (1024, 1024, 1),
        (700, 700, 2),
    ];
    for (m, n, k) in shapes {
        for orientation in 0..8 {
            let (ta, tb, tc) = (orientation & 1 != 0, orientation & 2 != 0, orientation & 4 != 0);
            let (a, b) = (singles(m * k, 4), singles(k * n, 5));
            let product = MatMul::new(m, n, k, layout(m, k, ta), layout(k, n, tb), layout(m, n, tc));
            let mut reference: Option<Vec<u32>> = None;
            for pool in &pools {
                let mut c = vec![f32::NAN; m * n];
                product.run(pool, 1.0, &a, &b, 0.0, &mut c).expect("the layouts fit");
                let got = bits(&c);
                match &reference {
                    None => reference = Some(got),
                    Some(want) => assert!(&got == want, "{m}x{n}x{k} on {} threads", pool.threads()),
                }
            }
        }
    }
}

#[test]
fn batches_broadcast_and_interleave() {
    let pool = Pool::new(3);
    // Heads interleaved as in attention: (batch, time, heads, width), B shared over the outer axis.
    let (outer, time, heads, width) = (3, 17, 4, 8);
    let a = numbers(outer * time * heads * width, 1);
    let b = numbers(heads * width * width, 2);
    let mut c = vec![0.0; outer * heads * time * width];
    let row = (heads * width) as isize;
    let product = MatMul::new(
        time,
        width,
        width,
        Layout::strided(row, 1),
        Layout::row_major(width),
        Layout::row_major(width),
    )
    .batched(heads, width as isize, (width * width) as isize, (time * width) as isize)
    .and_then(|p| p.batched(outer, (time * heads * width) as isize, 0, (heads * time * width) as isize))
    .expect("two batch axes fit");
    assert_eq!(product.products(), outer * heads);
    product.run(&pool, 1.0, &a, &b, 0.0, &mut c).expect("the layouts fit");
    for o in 0..outer {
        for h in 0..heads {
            for t in 0..time {
                for j in 0..width {
                    let want: f64 = (0..width)
                        .map(|p| a[((o * time + t) * heads + h) * width + p] * b[(h * width + p) * width + j])
                        .sum();
                    let got = c[((o * heads + h) * time + t) * width + j];
                    assert!((want - got).abs() < 1e-13);
                }
            }
        }
    }
}

#[test]
fn small_products_of_a_large_batch_share_tasks() {
    let product = MatMul::new(4, 4, 4, Layout::row_major(4), Layout::row_major(4), Layout::row_major(4))
        .batched(10_000, 16, 16, 16)
        .expect("one batch axis fits");
    let tasks = product.blocks().tasks();
    assert!(tasks > 1 && tasks < 100, "{tasks}");
}

#[test]
fn zero_beta_hides_what_was_there_and_empty_inner_dimensions_scale() {
    let pool = Pool::serial();
    for n in [3, 40] {
        let (a, b) = (singles(n * n, 1), singles(n * n, 2));
        let mut c = vec![f32::NAN; n * n];
        let layout = Layout::row_major(n);
        MatMul::new(n, n, n, layout, layout, layout).run(&pool, 1.0, &a, &b, 0.0, &mut c).expect("fits");
        assert!(c.iter().all(|value| value.is_finite()));
        let mut c = vec![2.0f32; n * n];
        MatMul::new(n, n, 0, layout, layout, layout).run(&pool, 1.0, &[], &[], 0.5, &mut c).expect("fits");
        assert!(c.iter().all(|&value| value == 1.0));
    }
    let mut nothing: [f32; 0] = [];
    let layout = Layout::row_major(0);
    MatMul::new(0, 0, 5, layout, layout, layout).run(&pool, 1.0, &[], &[], 0.0, &mut nothing).expect("fits");
}

#[test]
fn nan_and_infinity_pass_through() {
    let pool = Pool::serial();
    for n in [2, 33] {
        let mut a = singles(n * n, 1);
        a[0] = f32::NAN;
        let b = vec![0.0f32; n * n];
        let mut c = vec![0.0f32; n * n];
        let layout = Layout::row_major(n);
        MatMul::new(n, n, n, layout, layout, layout).run(&pool, 1.0, &a, &b, 0.0, &mut c).expect("fits");
        assert!(c[..n].iter().all(|value| value.is_nan()));
        assert!(c[n..].iter().all(|&value| value == 0.0));
    }
}

#[test]
fn integers_wrap() {
    fn check<T: Element + std::fmt::Debug>(two: T, pool: &Pool) {
        let a = vec![T::ONE; 6 * 50];
        let mut c = vec![T::ZERO; 36];
        let product =
            MatMul::new(6, 6, 50, Layout::row_major(50), Layout::column_major(50), Layout::row_major(6));
        product.run(pool, two, &a, &a, T::ZERO, &mut c).expect("fits");
        let fifty = (0..50).fold(T::ZERO, |sum, _| sum.add(T::ONE));
        assert!(c.iter().all(|&value| value == two.mul(fifty)));
    }
    let pool = Pool::new(2);
    check(2i32, &pool);
    check(2i64, &pool);
    check(2u8, &pool);
    let mut c = [0i32];
    let one = Layout::row_major(1);
    MatMul::new(1, 1, 1, one, one, one).run(&pool, 1, &[i32::MAX], &[2], 0, &mut c).expect("fits");
    assert_eq!(c, [-2]);
}

#[test]
fn layouts_are_checked() {
    let pool = Pool::serial();
    let layout = Layout::row_major(4);
    let product = MatMul::new(4, 4, 4, layout, layout, layout);
    let short = [0.0f32; 15];
    let full = [0.0f32; 16];
    let mut c = [0.0f32; 16];
    let error = product.run(&pool, 1.0, &short, &full, 0.0, &mut c).expect_err("A is short");
    assert_eq!(error.to_string(), "operand A reaches elements 0 to 15, but its storage has 15");
    let shared = MatMul { c: Layout::strided(0, 1), ..product };
    assert!(matches!(shared.run(&pool, 1.0, &full, &full, 0.0, &mut c), Err(MatMulError::Overlap { .. })));
    let backwards = MatMul { a: Layout::strided(-4, 1), ..product };
    assert!(backwards.run(&pool, 1.0, &full, &full, 0.0, &mut c).is_err());
    let backwards = MatMul { a: Layout::strided(-4, 1).at(12), ..product };
    assert!(backwards.run(&pool, 1.0, &full, &full, 0.0, &mut c).is_ok());
}

#[test]
fn the_epilogue_sees_every_element_once() {
    let pool = Pool::new(2);
    let n = 300;
    let (a, b, bias) = (singles(n * n, 1), singles(n * n, 2), singles(n, 3));
    let layout = Layout::row_major(n);
    let product = MatMul::new(n, n, n, layout, layout, layout);
    let mut plain = vec![0.0f32; n * n];
    product.run(&pool, 1.0, &a, &b, 0.0, &mut plain).expect("fits");
    let mut fused = vec![0.0f32; n * n];
    product
        .run_with(&pool, 1.0, &a, &b, 0.0, &mut fused, &|mut block| {
            let cols = block.cols.clone();
            for i in block.rows.clone() {
                let row = block.row(i).expect("rows are contiguous");
                row.iter_mut().zip(&bias[cols.clone()]).for_each(|(value, bias)| *value += bias);
            }
            block.for_each(|_, _, value| *value = value.max(0.0));
        })
        .expect("fits");
    for i in 0..n * n {
        assert_eq!(fused[i], (plain[i] + bias[i % n]).max(0.0));
    }
}
