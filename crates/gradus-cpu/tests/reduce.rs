//! Reductions against their definitions, and the same bits on any number of threads.

use gradus_cpu::Pool;
use gradus_cpu::reduce::{Extents, Extreme, Reduce, Reduction, Running, arg_extreme, running};

fn numbers(len: usize) -> Vec<f32> {
    let mut state = 12345u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

const SHAPES: [(usize, usize, usize); 22] = [
    (1, 1, 1),
    (1, 5, 1),
    (3, 64, 1),
    (7, 65, 1),
    (1000, 10, 1),
    (2, 16384, 1),
    (2, 16385, 1),
    (1, 100_000, 1),
    (1, 7, 3),
    (1, 1024, 10),
    (1, 1500, 63),
    (1, 513, 64),
    (1, 512, 300),
    (4, 600, 17),
    (3, 2, 500),
    (1, 2000, 257),
    (50, 3, 4),
    (1, 1, 1000),
    (5, 0, 3),
    (0, 4, 3),
    (2, 40, 1000),
    (1, 33, 70_000),
];

fn definition(op: Reduction, e: Extents, x: &[f32]) -> Vec<f64> {
    let mut out = vec![op.identity::<f64>(); e.reduced()];
    for o in 0..e.outer {
        for a in 0..e.axis {
            for i in 0..e.inner {
                let value = x[(o * e.axis + a) * e.inner + i] as f64;
                let place = &mut out[o * e.inner + i];
                *place = match op {
                    Reduction::Sum => *place + value,
                    Reduction::Prod => *place * value,
                    Reduction::Max => place.max(value),
                    Reduction::Min => place.min(value),
                };
            }
        }
    }
    out
}

#[test]
fn agree_with_the_definition_on_any_number_of_threads() {
    let pools: Vec<Pool> = [1, 2, 3, 4].map(Pool::new).into();
    for (outer, axis, inner) in SHAPES {
        let extents = Extents { outer, axis, inner };
        let x = numbers(extents.len());
        for op in [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min] {
            let want = definition(op, extents, &x);
            let mut first: Option<Vec<u32>> = None;
            for pool in &pools {
                let mut got = vec![f32::NAN; extents.reduced()];
                Reduce::new(op, extents).run(pool, &x, &mut got).expect("the lengths fit");
                for (got, want) in got.iter().zip(&want) {
                    let tolerance = match op {
                        Reduction::Sum => 2e-6 * (axis as f64).sqrt().max(1.0),
                        Reduction::Prod => 1e-4 * want.abs() + 1e-37,
                        _ => 0.0,
                    };
                    assert!(
                        (*got as f64 - want).abs() <= tolerance || *got as f64 == *want,
                        "{op:?} {extents:?}"
                    );
                }
                let bits: Vec<u32> = got.iter().map(|value| value.to_bits()).collect();
                match &first {
                    None => first = Some(bits),
                    Some(first) => {
                        assert_eq!(first, &bits, "{op:?} {extents:?} on {} threads", pool.threads())
                    }
                }
            }
        }
    }
}

#[test]
fn long_sums_stay_accurate() {
    let n = 1 << 22;
    let x = vec![0.1f32; n];
    let mut out = [0f32];
    Reduce::new(Reduction::Sum, Extents { outer: 1, axis: n, inner: 1 })
        .run(&Pool::new(2), &x, &mut out)
        .expect("the lengths fit");
    let exact = 0.1f32 as f64 * n as f64;
    assert!((out[0] as f64 / exact - 1.0).abs() < 1e-6);
    let x = vec![0.1f32; n];
    let mut out = [0f32; 4];
    Reduce::new(Reduction::Sum, Extents { outer: 1, axis: n / 4, inner: 4 })
        .run(&Pool::new(2), &x, &mut out)
        .expect("the lengths fit");
    assert!((out[0] as f64 * 4.0 / exact - 1.0).abs() < 1e-6);
}

#[test]
fn nan_wins() {
    for (outer, axis, inner) in [(1, 200, 1), (1, 200, 5), (2, 70, 80)] {
        let extents = Extents { outer, axis, inner };
        for place in [0, extents.len() / 2, extents.len() - 1] {
            let mut x = numbers(extents.len());
            x[place] = f32::NAN;
            let hit = place / (axis * inner) * inner + place % inner;
            for op in [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min] {
                let mut out = vec![0f32; extents.reduced()];
                Reduce::new(op, extents).run(&Pool::serial(), &x, &mut out).expect("the lengths fit");
                for (i, value) in out.iter().enumerate() {
                    assert_eq!(value.is_nan(), i == hit, "{op:?} {extents:?}");
                }
            }
        }
    }
}

#[test]
fn extremes_are_found_at_their_first_place() {
    let pool = Pool::new(3);
    for (outer, axis, inner) in SHAPES.into_iter().filter(|s| s.1 > 0) {
        let extents = Extents { outer, axis, inner };
        // Few distinct values, so that there are ties.
        let x: Vec<f32> = numbers(extents.len()).iter().map(|v| (v * 5.0).round()).collect();
        for which in [Extreme::Max, Extreme::Min] {
            let mut got = vec![-1i64; extents.reduced()];
            arg_extreme(&pool, which, extents, &x, &mut got).expect("the lengths fit");
            for o in 0..outer {
                for i in 0..inner {
                    let at = |a: usize| x[(o * axis + a) * inner + i];
                    let mut best = 0;
                    for a in 1..axis {
                        let better = if which == Extreme::Max { at(a) > at(best) } else { at(a) < at(best) };
                        best = if better { a } else { best };
                    }
                    assert_eq!(got[o * inner + i], best as i64);
                }
            }
        }
    }
    let mut out = [0i64];
    let empty = Extents { outer: 1, axis: 0, inner: 1 };
    assert!(arg_extreme::<f32>(&pool, Extreme::Max, empty, &[], &mut out).is_err());
}

#[test]
fn running_sums_and_products() {
    let pool = Pool::new(2);
    for (outer, axis, inner) in [(1, 10, 1), (3, 7, 1), (2, 5, 300), (1, 40, 3)] {
        let extents = Extents { outer, axis, inner };
        let x: Vec<f64> = numbers(extents.len()).iter().map(|&v| v as f64).collect();
        for bits in 0..8 {
            let how = Running { product: bits & 1 != 0, reverse: bits & 2 != 0, exclusive: bits & 4 != 0 };
            let mut got = vec![f64::NAN; x.len()];
            running(&pool, how, extents, &x, &mut got).expect("the lengths fit");
            for o in 0..outer {
                for i in 0..inner {
                    let mut total = if how.product { 1.0 } else { 0.0 };
                    for step in 0..axis {
                        let a = if how.reverse { axis - 1 - step } else { step };
                        let place = (o * axis + a) * inner + i;
                        let next = if how.product { total * x[place] } else { total + x[place] };
                        assert_eq!(got[place], if how.exclusive { total } else { next });
                        total = next;
                    }
                }
            }
        }
    }
}

#[test]
fn lengths_are_checked() {
    let extents = Extents { outer: 2, axis: 3, inner: 1 };
    let error = Reduce::new(Reduction::Sum, extents)
        .run(&Pool::serial(), &[0f32; 5], &mut [0f32; 2])
        .expect_err("an element is missing");
    assert_eq!(error.to_string(), "the input of a reduction has 5 elements where the shape asks for 6");
}
