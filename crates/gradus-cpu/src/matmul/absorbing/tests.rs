//! Products with dead terms, NaN and infinities against the definition.

use super::super::{Layout, MatMul, work};
use super::*;
use crate::Pool;

const OF_LEFT: Linear = Linear { tangents: [true, false], marks: true };

/// Numbers of both signs with zeros, dead ones among them, and what is not finite at every `rare`-th place.
fn drawn<T: Float>(n: usize, seed: u64, rare: u64) -> Vec<T> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    (0..n)
        .map(|_| {
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            let finite = [0.0, -0.0, 1.5, -0.25, 3e-40, -7.0, 0.1, 2.0];
            let (which, value) = (next() % rare, next() as usize);
            T::from_f64(if which == 0 { odd[value % 3] } else { finite[value % 8] })
        })
        .collect()
}

/// The definition: the sum, and whether it is dead.
fn element<T: Float>(
    m: &MatMul,
    [a, b]: [&[T]; 2],
    [batch, i, j]: [usize; 3],
    tangents: [bool; 2],
) -> (f64, bool) {
    let term = |p: usize| {
        let x = a[m.a.offset_of(&m.batch, batch, i, p) as usize];
        let y = b[m.b.offset_of(&m.batch, batch, p, j) as usize];
        counts(tangents, x, y).then(|| x.to_f64() * y.to_f64())
    };
    ((0..m.k).filter_map(term).sum(), (0..m.k).all(|p| term(p).is_none()))
}

fn check<T: Float + Element>(m: &MatMul, rare: u64) {
    for tangents in [[true, false], [false, true], [true, true]] {
        check_of::<T>(m, rare, tangents);
    }
}

fn check_of<T: Float + Element>(m: &MatMul, rare: u64, tangents: [bool; 2]) {
    let [mm, n, k] = [m.m, m.n, m.k];
    let products = m.products();
    let (mut a, mut b) = (drawn::<T>(products * mm * k, 1, rare), drawn::<T>(products * k * n, 2, rare));
    // A row and a column that are dead.
    for p in 0..k {
        a[m.a.offset_of(&m.batch, 0, mm - 1, p) as usize] = T::DEAD;
        b[m.b.offset_of(&m.batch, 0, p, n / 2) as usize] = T::DEAD;
    }
    let [mut plain, mut strong, mut again] = [(); 3].map(|()| vec![<T as Element>::ZERO; products * mm * n]);
    m.run(Pool::global(), <T as Element>::ONE, &a, &b, <T as Element>::ZERO, &mut plain).expect("fits");
    for (pool, to) in [(Pool::serial(), &mut strong), (Pool::new(3), &mut again)] {
        // SAFETY: `run` has checked the layouts.
        unsafe {
            m.run_linear(&pool, a.as_ptr(), b.as_ptr(), to.as_mut_ptr(), Linear { tangents, marks: true })
        };
    }
    for batch in 0..products {
        for i in 0..mm {
            for j in 0..n {
                let at = m.c.offset_of(&m.batch, batch, i, j) as usize;
                let [plain, strong, again] = [&plain, &strong, &again].map(|c| c[at].to_f64());
                let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
                assert!(same(strong, again), "threads change {strong} into {again}");
                let both_zero = plain == 0.0 && strong == 0.0;
                assert!(plain.is_nan() || both_zero || same(plain, strong), "{plain} became {strong}");
                let (wanted, dead) = element(m, [&a, &b], [batch, i, j], tangents);
                if tangents != [true; 2] || !dead {
                    assert_eq!(
                        strong.to_bits() == f64::DEAD.to_bits(),
                        dead,
                        "{m:?} at {i}, {j}: {tangents:?}"
                    );
                }
                let close = (wanted - strong).abs() <= 1e-4 * (1.0 + wanted.abs());
                assert!(same(wanted, strong) || close, "{m:?} at {i}, {j}: {strong} for {wanted}");
            }
        }
    }
}

#[test]
fn dead_terms_do_not_count_in_every_orientation_and_the_rest_keeps_its_bits() {
    let sizes =
        [[1, 1, 1], [3, 4, 5], [7, 40, 13], [1, 300, 400], [300, 1, 70], [200, 17, 33], [30, 200, 390]];
    for [m, n, k] in sizes {
        for rare in [2, 5000] {
            for turned in 0..8 {
                let layout = |bit: usize, rows: usize, columns: usize| {
                    if turned >> bit & 1 == 0 {
                        Layout::row_major(columns)
                    } else {
                        Layout::column_major(rows)
                    }
                };
                let one = MatMul::new(m, n, k, layout(0, m, k), layout(1, k, n), layout(2, m, n));
                check::<f32>(&one, rare);
                if turned < 3 {
                    check::<f64>(&one, rare);
                }
            }
        }
    }
    let (a, b, c) = (Layout::row_major(9), Layout::row_major(11), Layout::row_major(11));
    let many = MatMul::new(8, 11, 9, a, b, c).batched(37, 72, 99, 88).expect("a free axis");
    check::<f32>(&many, 300);
}

#[test]
fn sums_continue_over_blocks() {
    for ((m, n, k), rare) in
        [((20, 30, 100), 50), ((20, 30, 100), u64::MAX), ((3, 5, 6), u64::MAX), ((1, 3, 90), 9)]
    {
        let (a, b) = (drawn::<f32>(m * k, 3, rare), drawn::<f32>(k * n, 4, rare));
        let of = |x: &[f32], row: usize| (x.as_ptr().cast_mut(), row as isize, 1);
        let mut whole = vec![0f32; m * n];
        let mut parts = vec![f32::NAN; m * n];
        // SAFETY: the matrices have these sizes.
        unsafe {
            absorbing(
                [m, n, k],
                of(&a, k),
                of(&b, n),
                (whole.as_mut_ptr(), n as isize, 1),
                OF_LEFT,
                Sum::New,
            );
            for from in (0..k).step_by(30) {
                let inner = 30.min(k - from);
                let c = (parts.as_mut_ptr(), n as isize, 1);
                let sum = if from > 0 { Sum::Continued } else { Sum::New };
                absorbing([m, n, inner], of(&a[from..], k), of(&b[from * n..], n), c, OF_LEFT, sum);
            }
        }
        for (x, y) in whole.iter().zip(&parts) {
            assert!(x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()), "{x} and {y}");
        }
    }
}

#[test]
fn what_is_not_finite_costs_about_one_more_block() {
    let side = 512;
    let square = Layout::row_major(side);
    let m = MatMul::new(side, side, side, square, square, square);
    let (x, mut c) = (drawn::<f32>(side * side, 5, u64::MAX), vec![0f32; side * side]);
    let (healthy, block) = (side.pow(3), m.blocks().edges().0 * m.blocks().edges().1 * side);
    let mut work = |a: &[f32], b: &[f32]| {
        work::take();
        // SAFETY: the matrices have these sizes.
        unsafe { m.run_linear(&Pool::serial(), a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), OF_LEFT) };
        work::take()
    };
    assert_eq!(work(&x, &x), healthy);
    for (odd, step) in [(f32::NAN, 1), (f32::INFINITY, 1), (f32::NAN, side + 1), (f32::INFINITY, side + 1)] {
        let mut y = x.clone();
        y.iter_mut().step_by(step).for_each(|y| *y = odd);
        for (a, b) in [(&x, &y), (&y, &x), (&y, &y)] {
            assert!(work(a, b) <= healthy + block);
        }
    }
}
