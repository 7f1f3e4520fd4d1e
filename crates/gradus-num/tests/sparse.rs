//! Sparse drivers: patterns, and agreement with dense derivatives on matrices of many shapes.

use gradus_num::sparse::{Pattern, SparseHessian, SparseJacobian, hessian_pattern, jacobian_pattern};
use gradus_num::{Mode, Real, Real64, ScalarFn, VectorFn, hessian, jacobian, scalar_fn, vector_fn};

fn point(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.4 + 0.5 * ((i * 29 % 13) as f64) / 13.0).collect()
}

fn agrees(sparse: &gradus_num::sparse::Csr, dense: &[f64], n: usize) {
    for i in 0..sparse.pattern.rows() {
        for j in 0..n {
            let (a, b) = (sparse.get(i, j), dense[i * n + j]);
            assert!((a - b).abs() <= 1e-11 * (1.0 + b.abs()), "({i}, {j}): {a} is not {b}");
        }
    }
}

fn check_jacobian<'f, F: VectorFn>(f: &'f F, x: &[f64]) -> SparseJacobian<&'f F> {
    let mut sparse = SparseJacobian::new(f, x);
    agrees(&sparse.evaluate(x), &jacobian(f, x), x.len());
    let other: Vec<f64> = x.iter().map(|x| x + 0.125).collect();
    agrees(&sparse.evaluate(&other), &jacobian(f, &other), x.len());
    sparse
}

fn check_hessian<'f, F: ScalarFn>(f: &'f F, x: &[f64]) -> SparseHessian<&'f F> {
    let mut sparse = SparseHessian::new(f, x);
    agrees(&sparse.evaluate(x), &hessian(f, x), x.len());
    let other: Vec<f64> = x.iter().map(|x| x + 0.125).collect();
    agrees(&sparse.evaluate(&other), &hessian(f, &other), x.len());
    sparse
}

fn band<R: Real>(x: &[R], y: &mut [R]) {
    let n = x.len();
    for i in 0..n {
        y[i] = x[i].sin() * x[(i + 1).min(n - 1)] - x[i.saturating_sub(1)].exp();
    }
}

/// A dense first row and a dense first column.
fn arrow<R: Real>(x: &[R], y: &mut [R]) {
    y[0] = x.iter().map(|&x| x * x).sum();
    for i in 1..x.len() {
        y[i] = x[0] * x[i];
    }
}

fn wide<R: Real>(x: &[R], y: &mut [R]) {
    y[0] = x.iter().copied().sum::<R>().exp();
    y[1] = x.iter().map(|&x| x.sin()).sum();
}

#[test]
fn jacobian_patterns() {
    let p = jacobian_pattern(&vector_fn!(band, |n| n), &point(5));
    assert_eq!(
        p,
        Pattern::from_rows(5, [vec![0, 1], vec![0, 1, 2], vec![1, 2, 3], vec![2, 3, 4], vec![3, 4]])
    );
    fn odd<R: Real>(x: &[R], y: &mut [R]) {
        y[0] = R::from_f64(3.0);
        y[1] = x[0].floor() + x[1];
        y[2] = x[2].max(&x[0]);
    }
    let p = jacobian_pattern(&vector_fn!(odd, 4), &point(3));
    assert_eq!(p, Pattern::from_rows(3, [vec![], vec![1], vec![0, 2], vec![]]));
    // A long sum is one set, not one for each partial sum.
    let p = jacobian_pattern(&vector_fn!(wide, 2), &point(20_000));
    assert_eq!((p.row(0).len(), p.row(1).len()), (20_000, 20_000));
}

#[test]
fn hessian_patterns() {
    fn f<R: Real>(x: &[R]) -> R {
        x[0] * x[1] + x[2].sin() + (x[3] + x[4]).exp() + x[5] * R::from_f64(2.0) + x[6] / x[7]
    }
    let p = hessian_pattern(&scalar_fn!(f), &point(8));
    let want = [vec![1], vec![0], vec![2], vec![3, 4], vec![3, 4], vec![], vec![7], vec![6, 7]];
    assert_eq!(p, Pattern::from_rows(8, want));
}

#[test]
fn jacobians_of_many_shapes() {
    let banded = check_jacobian(&vector_fn!(band, |n| n), &point(50));
    assert_eq!(banded.colors(), (3, 0));
    assert_eq!(banded.modes(), [Mode::Forward]);
    let wide = check_jacobian(&vector_fn!(wide, 2), &point(300));
    assert_eq!(wide.colors(), (0, 2));
    // Forward alone needs 300 colours, reverse alone 300; together two and one.
    let arrow_x = point(300);
    let arrow = check_jacobian(&vector_fn!(arrow, |n| n), &arrow_x);
    assert_eq!(arrow.modes(), [Mode::Forward, Mode::Reverse], "{}", arrow.explain());
    assert_eq!(arrow.colors(), (2, 1));
    assert!(arrow.explain().starts_with("300 x 300 Jacobian, 898 nonzeros: 2 column colours"));
    fn nothing<R: Real>(_x: &[R], _y: &mut [R]) {}
    let none = check_jacobian(&vector_fn!(nothing, 4), &point(3));
    assert_eq!((none.colors(), none.modes().len()), ((0, 0), 0));
    // More colours than one chunk holds.
    fn dense<R: Real>(x: &[R], y: &mut [R]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = x.iter().enumerate().map(|(j, &x)| x * R::from_usize(1 + i * j)).product();
        }
    }
    check_jacobian(&vector_fn!(dense, 37), &point(23));
}

#[test]
fn hessians_of_many_shapes() {
    fn rosenbrock<R: Real>(x: &[R]) -> R {
        x.windows(2)
            .map(|w| {
                let (a, b) = (R::one() - w[0], w[1] - w[0] * w[0]);
                a * a + R::from_f64(100.0) * b * b
            })
            .sum()
    }
    assert!(check_hessian(&scalar_fn!(rosenbrock), &point(60)).colors() <= 3);
    fn arrow<R: Real>(x: &[R]) -> R {
        x[1..].iter().map(|&t| x[0] * t * t).sum()
    }
    assert_eq!(check_hessian(&scalar_fn!(arrow), &point(80)).colors(), 2);
    /// A 9 x 9 grid, each point coupled to the next in both directions.
    fn grid<R: Real>(x: &[R]) -> R {
        let at = |i: usize, j: usize| x[9 * i + j];
        let mut sum = R::zero();
        for i in 0..9 {
            for j in 0..9 {
                if i < 8 {
                    sum += (at(i, j) * at(i + 1, j)).sin();
                }
                if j < 8 {
                    sum += at(i, j).exp() * at(i, j + 1);
                }
            }
        }
        sum
    }
    let sparse = check_hessian(&scalar_fn!(grid), &point(81));
    assert!(sparse.colors() < 16 && sparse.explain().contains("81 x 81"));
    fn dense<R: Real>(x: &[R]) -> R {
        x.iter().copied().sum::<R>().exp()
    }
    assert_eq!(check_hessian(&scalar_fn!(dense), &point(21)).colors(), 21);
    fn linear<R: Real>(x: &[R]) -> R {
        x[0] + x[1]
    }
    let f = scalar_fn!(linear);
    let mut flat = SparseHessian::new(f, &[1.0, 2.0]);
    let mut gradient = [0.0; 2];
    assert_eq!(flat.evaluate_into(&[1.0, 2.0], &mut gradient, &mut Vec::new()), 3.0);
    assert_eq!((flat.colors(), gradient), (0, [1.0, 1.0]));
}

/// Random sparse quadratic-and-more functions, so that star and acyclic recovery meet irregular graphs.
#[test]
fn random_hessians() {
    struct Random(Vec<(usize, usize)>);
    impl ScalarFn for Random {
        fn call<R: Real>(&self, x: &[R]) -> R {
            self.0.iter().map(|&(i, j)| (x[i] * x[j]).sin() + x[i]).sum()
        }
    }
    let mut seed = 1u64;
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    for size in 0..30 {
        let n = 5 + size;
        let f = Random((0..2 * n).map(|_| (next(n), next(n))).collect());
        check_hessian(&f, &point(n));
    }
}

/// What each entry depends on changes with the branch: `x[i]` is coupled to the next one where it is positive, and to the one
/// after that where it is not.
struct Branching;

impl VectorFn for Branching {
    fn outputs(&self, inputs: usize) -> usize {
        inputs
    }
    fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
        let n = x.len();
        for i in 0..n {
            let other = if x[i].value() > 0.0 { x[(i + 1) % n] } else { x[(i + 2) % n] };
            y[i] = x[i] * other + other.sin();
        }
    }
}

impl ScalarFn for Branching {
    fn call<R: Real64>(&self, x: &[R]) -> R {
        let mut y = vec![R::zero(); x.len()];
        VectorFn::call(self, x, &mut y);
        y.into_iter().sum()
    }
}

#[test]
fn stale_patterns_are_found_anew() {
    for n in [6, 7, 12, 40] {
        let (here, mut there) = (point(n), point(n));
        let mut jacobian = SparseJacobian::new(&Branching, &here);
        let mut hessian_of = SparseHessian::new(&Branching, &here);
        for i in [2, 5, 3, 0] {
            there[i] = -there[i];
            let fresh = SparseJacobian::new(&Branching, &there).evaluate(&there);
            agrees(&jacobian.evaluate(&there), &jacobian_by_columns(&there), n);
            agrees(&fresh, &jacobian_by_columns(&there), n);
            agrees(&hessian_of.evaluate(&there), &hessian(&Branching, &there), n);
        }
        // The branches of before still hold.
        let nonzeros = jacobian.pattern().nonzeros();
        agrees(&jacobian.evaluate(&here), &jacobian_by_columns(&here), n);
        assert_eq!(jacobian.pattern().nonzeros(), nonzeros);
    }
}

fn jacobian_by_columns(x: &[f64]) -> Vec<f64> {
    jacobian(&Branching, x)
}

#[test]
fn wrong_patterns_are_errors_unless_nobody_asks() {
    let (n, x) = (12, point(12));
    let mut there = x.clone();
    there[4] = -1.0;
    let pattern = jacobian_pattern(&Branching, &x);
    let mut given = SparseJacobian::with_pattern(&Branching, &x, pattern.clone());
    assert!(given.try_evaluate(&x).is_ok());
    let error = given.try_evaluate(&there).unwrap_err();
    assert_eq!((error.row, error.column), (4, 6));
    assert!(error.to_string().contains("lacks entry (4, 6)"));
    let mut unasked = SparseJacobian::with_pattern(&Branching, &x, pattern).verifying(false);
    assert!(unasked.try_evaluate(&there).is_ok());
    // More entries than there are do no harm.
    let full = Pattern::from_rows(n as usize, (0..n).map(|_| (0..n as u32).collect::<Vec<_>>()));
    let mut given = SparseJacobian::with_pattern(&Branching, &x, full);
    agrees(&given.evaluate(&there), &jacobian_by_columns(&there), n as usize);
    let pattern = hessian_pattern(&Branching, &x);
    let mut given = SparseHessian::with_pattern(&Branching, &x, pattern);
    assert!(given.try_evaluate(&x).is_ok());
    assert_eq!(given.try_evaluate(&there).unwrap_err().row, 4);
}

/// An entry that a pattern lacks is found where it is infinite or NaN, and beside entries that are.
#[test]
fn what_is_not_finite_hides_no_entry() {
    fn edge<R: Real>(x: &[R], y: &mut [R]) {
        for i in 0..x.len() {
            let (own, next) = (x[i], x[(i + 1) % x.len()]);
            y[i] = if own.value() < 0.5 { own.square() + next.sqrt() } else { own.sqrt() };
        }
    }
    let f = || vector_fn!(edge, |n| n);
    let ordinary = [1.0; 6];
    // The root at 0 is what the pattern lacks; the root of a negative number beside it; an infinite entry that it has.
    let places: [[f64; 6]; 3] = [
        [1.0, 0.25, 0.0, 1.0, 1.0, 1.0],
        [1.0, 0.25, -1.0, 1.0, 1.0, 1.0],
        [f64::INFINITY, 0.0, 1.0, f64::NAN, 1.0, 1.0],
    ];
    for there in places {
        let mut given = SparseJacobian::with_pattern(f(), &there, jacobian_pattern(&f(), &ordinary));
        assert!(given.try_evaluate(&ordinary).is_ok());
        assert!(given.try_evaluate(&there).is_err(), "{there:?}");
        let mut detected = SparseJacobian::new(f(), &ordinary);
        detected.evaluate(&there);
        assert!(detected.pattern().contains(1, 2), "{there:?}");
    }
}

/// Zeros, infinities and huge entries do not pass for another pattern.
#[test]
fn a_pattern_that_holds_is_kept() {
    fn steep<R: Real>(x: &[R], y: &mut [R]) {
        for i in 0..x.len() {
            y[i] = x[i].sqrt() * x[(i + 1) % x.len()].powi(9);
        }
    }
    let f = vector_fn!(steep, |n| n);
    let mut jacobian = SparseJacobian::new(f, &point(9));
    let before = jacobian.pattern().clone();
    for x in [[0.0; 9], [1e-30; 9], [1e30; 9]] {
        jacobian.evaluate(&x);
        assert_eq!(*jacobian.pattern(), before);
    }
}

#[cfg(feature = "sprs")]
#[test]
fn sprs_gets_the_same_matrix() {
    let x = point(12);
    let j = SparseJacobian::new(vector_fn!(band, |n| n), &x).evaluate(&x);
    let (rows, columns) = (j.to_sprs(), j.to_csc().to_sprs());
    for i in 0..12 {
        for k in 0..12 {
            assert_eq!(rows.get(i, k).copied().unwrap_or(0.0), j.get(i, k));
            assert_eq!(columns.get(i, k).copied().unwrap_or(0.0), j.get(i, k));
        }
    }
}
