//! Sparse drivers at points where entries are huge, infinite or NaN, and with patterns that do not hold there.

use gradus_num::sparse::{Pattern, SparseHessian, SparseJacobian, hessian_pattern};
use gradus_num::{Real, ScalarFn, VectorFn, jacobian, scalar_fn, vector_fn};

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * b.abs()
}

/// Beside one pass a column, of which each entry is read by itself.
fn hessian_agrees<F: ScalarFn>(name: &str, f: &F, sparse: &mut SparseHessian<&F>, x: &[f64]) {
    let n = x.len();
    let full = Pattern::from_rows(n, vec![(0..n as u32).collect::<Vec<_>>(); n]);
    let (found, wanted) = (sparse.evaluate(x), SparseHessian::with_pattern(f, x, full).evaluate(x));
    for i in 0..n {
        for j in 0..n {
            let (a, b) = (found.get(i, j), wanted.get(i, j));
            assert!(same(a, b), "{name}: ({i}, {j}) at {x:?}: {a} is not {b}; {}", sparse.explain());
        }
    }
}

fn jacobian_agrees<F: VectorFn>(name: &str, f: &F, sparse: &mut SparseJacobian<&F>, x: &[f64]) {
    let (found, wanted, n) = (sparse.evaluate(x), jacobian(f, x), x.len());
    for i in 0..found.pattern.rows() {
        for j in 0..n {
            let (a, b) = (found.get(i, j), wanted[i * n + j]);
            assert!(same(a, b), "{name}: ({i}, {j}) at {x:?}: {a} is not {b}");
        }
    }
}

const SPECIAL: [f64; 8] = [0.0, -0.0, 1e-300, 1e30, 1e200, f64::INFINITY, -1.0, f64::NAN];

/// A point with special values in places that a counter chooses.
fn points(n: usize) -> Vec<Vec<f64>> {
    let mut out = Vec::new();
    let mut seed = 7u64;
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    for _ in 0..60 {
        let mut x: Vec<f64> = (0..n).map(|i| 0.5 + 0.1 * (i % 7) as f64).collect();
        for _ in 0..1 + next(2) {
            x[next(n)] = SPECIAL[next(SPECIAL.len())];
        }
        out.push(x);
    }
    out
}

#[test]
fn entries_of_any_size_stand_alone() {
    fn tree<R: Real>(x: &[R]) -> R {
        // A tree: acyclic colouring takes two colours, star colouring more.
        (1..x.len()).map(|i| x[i] * x[i].square() * x[(i - 1) / 3].powi(5)).sum()
    }
    fn roots<R: Real>(x: &[R]) -> R {
        (1..x.len()).map(|i| (x[i] + x[(i - 1) / 2]).sqrt()).sum()
    }
    fn path<R: Real>(x: &[R]) -> R {
        x.windows(2).map(|w| w[0].sqrt() * w[1].exp()).sum()
    }
    fn weighted<R: Real>(x: &[R]) -> R {
        (1..x.len()).map(|i| x[i] * x[(i - 1) / 3] * R::from_f64(if i % 4 == 1 { 1e20 } else { 1.0 })).sum()
    }
    let n = 40;
    let (tree, roots, path, weighted) =
        (scalar_fn!(tree), scalar_fn!(roots), scalar_fn!(path), scalar_fn!(weighted));
    let start: Vec<f64> = (0..n).map(|i| 0.5 + 0.01 * i as f64).collect();
    let mut all = (
        SparseHessian::new(&tree, &start),
        SparseHessian::new(&roots, &start),
        SparseHessian::new(&path, &start),
        SparseHessian::new(&weighted, &start),
    );
    hessian_agrees("weighted", &weighted, &mut all.3, &start);
    for x in points(n) {
        hessian_agrees("tree", &tree, &mut all.0, &x);
        hessian_agrees("roots", &roots, &mut all.1, &x);
        hessian_agrees("path", &path, &mut all.2, &x);
    }
}

/// A sum over the edges of a random graph, of terms whose sizes are far apart.
struct Graph(Vec<(usize, usize, f64)>);

impl ScalarFn for Graph {
    fn call<R: Real>(&self, x: &[R]) -> R {
        self.0.iter().map(|&(i, j, weight)| (x[i] * x[j]).sin() * R::from_f64(weight)).sum()
    }
}

#[test]
fn entries_of_different_sizes_stand_alone() {
    let mut seed = 1u64;
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    let mut substituted = 0;
    for size in 0..40 {
        let n = 20 + size;
        let weights = [1.0, 1e-8, 1e20, 1e3];
        let f = Graph((0..2 * n).map(|_| (next(n), next(n), weights[next(4)])).collect());
        let x: Vec<f64> = (0..n).map(|i| 0.5 + 0.01 * i as f64).collect();
        let mut sparse = SparseHessian::new(&f, &x);
        substituted += usize::from(sparse.explain().contains("substitution"));
        hessian_agrees("graph", &f, &mut sparse, &x);
    }
    assert!(substituted > 10, "{substituted} by substitution");
}

#[test]
fn jacobians_at_special_points() {
    fn band<R: Real>(x: &[R], y: &mut [R]) {
        let n = x.len();
        for i in 0..n {
            y[i] = x[i].sqrt() * x[(i + 1) % n] + (x[(i + n - 1) % n]).ln();
        }
    }
    fn arrow<R: Real>(x: &[R], y: &mut [R]) {
        y[0] = x.iter().map(|&x| x.sqrt() * x).sum();
        for i in 1..x.len() {
            y[i] = x[0].exp() * x[i].recip();
        }
    }
    let n = 40;
    let (band, arrow) = (vector_fn!(band, |n| n), vector_fn!(arrow, |n| n));
    let start: Vec<f64> = (0..n).map(|i| 0.5 + 0.01 * i as f64).collect();
    let (mut b, mut a) = (SparseJacobian::new(&band, &start), SparseJacobian::new(&arrow, &start));
    for x in points(n) {
        jacobian_agrees("band", &band, &mut b, &x);
        jacobian_agrees("arrow", &arrow, &mut a, &x);
    }
}

/// An entry only where a value is large, small, zero, infinite or NaN.
#[test]
fn entries_of_some_points_are_found() {
    struct At(usize, fn(f64) -> bool);
    impl VectorFn for At {
        fn outputs(&self, n: usize) -> usize {
            n
        }
        fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
            let n = x.len();
            for i in 0..n {
                y[i] = x[i].sin() * x[(i + 1) % n];
            }
            if self.1(x[self.0].value()) {
                y[3] += x[17] * R::from_f64(1e-6);
                y[20] = x[2].sqrt();
            }
        }
    }
    impl ScalarFn for At {
        fn call<R: Real>(&self, x: &[R]) -> R {
            let mut sum: R = x.windows(2).map(|w| w[0].sin() * w[1]).sum();
            if self.1(x[self.0].value()) {
                sum += x[3] * x[17] * R::from_f64(1e-6) + (x[20] * x[2]).sqrt();
            }
            sum
        }
    }
    let kinds: [(f64, fn(f64) -> bool); 6] = [
        (1e10, |x| x > 100.0),
        (-1e-5, |x| x < 0.0),
        (0.0, |x| x == 0.0),
        (f64::INFINITY, f64::is_infinite),
        (f64::NAN, f64::is_nan),
        (2.0, |x| x == 2.0),
    ];
    let n = 30;
    let start: Vec<f64> = (0..n).map(|i| 0.5 + 0.01 * i as f64).collect();
    for (value, kind) in kinds {
        for place in [0, 2, 10, 17] {
            let f = At(place, kind);
            let mut x = start.clone();
            x[place] = value;
            jacobian_agrees("stale", &f, &mut SparseJacobian::new(&f, &start), &x);
            hessian_agrees("stale", &f, &mut SparseHessian::new(&f, &start), &x);
            let pattern = gradus_num::sparse::jacobian_pattern(&f, &start);
            let mut given = SparseJacobian::with_pattern(&f, &start, pattern);
            assert!(given.try_evaluate(&start).is_ok());
            assert!(given.try_evaluate(&x).is_err(), "{value} in {place}");
            let mut given = SparseHessian::with_pattern(&f, &start, hessian_pattern(&f, &start));
            assert!(given.try_evaluate(&start).is_ok());
            assert!(given.try_evaluate(&x).is_err(), "{value} in {place}");
        }
    }
}

/// Each entry alone left out of a given pattern, and all of them.
#[test]
fn every_entry_that_a_given_pattern_lacks_is_an_error() {
    fn band<R: Real>(x: &[R], y: &mut [R]) {
        let n = x.len();
        for i in 0..n {
            y[i] = x[i].sin() * x[(i + 1) % n] + x[0];
        }
    }
    fn coupled<R: Real>(x: &[R]) -> R {
        (1..x.len()).map(|i| (x[i] * x[(i - 1) / 2]).sin()).sum()
    }
    let n = 13;
    let x: Vec<f64> = (0..n).map(|i| 0.5 + 0.07 * i as f64).collect();
    let without = |p: &Pattern, gone: &[(usize, usize)]| {
        let row = |i: usize| {
            p.row(i).iter().copied().filter(|&j| !gone.contains(&(i, j as usize))).collect::<Vec<_>>()
        };
        Pattern::from_rows(p.cols(), (0..p.rows()).map(row).collect::<Vec<_>>())
    };
    let (f, g) = (vector_fn!(band, |n| n), scalar_fn!(coupled));
    let full = gradus_num::sparse::jacobian_pattern(&f, &x);
    let square = hessian_pattern(&g, &x);
    for i in 0..n {
        for j in 0..n {
            if full.contains(i, j) {
                let mut given = SparseJacobian::with_pattern(&f, &x, without(&full, &[(i, j)]));
                let error = given.try_evaluate(&x).unwrap_err();
                assert_eq!((error.row, error.column), (i, j));
            }
            if square.contains(i, j) {
                let mut given = SparseHessian::with_pattern(&g, &x, without(&square, &[(i, j), (j, i)]));
                let error = given.try_evaluate(&x).unwrap_err();
                assert_eq!((error.row, error.column), (i.min(j), i.max(j)));
            }
        }
    }
    let nothing = Pattern::from_rows(n, vec![Vec::<u32>::new(); n]);
    assert!(SparseJacobian::with_pattern(&f, &x, nothing.clone()).try_evaluate(&x).is_err());
    assert!(SparseHessian::with_pattern(&g, &x, nothing).try_evaluate(&x).is_err());
}

#[test]
fn nothing_in_and_nothing_out() {
    fn none<R: Real>(_: &[R], _: &mut [R]) {}
    fn constant<R: Real>(_: &[R]) -> R {
        R::from_f64(3.0)
    }
    assert_eq!(SparseJacobian::new(vector_fn!(none, 0), &[]).evaluate(&[]).values, []);
    assert_eq!(SparseJacobian::new(vector_fn!(none, 2), &[]).evaluate(&[]).values, []);
    assert_eq!(SparseJacobian::new(vector_fn!(none, 0), &[1.0]).evaluate(&[1.0]).values, []);
    assert_eq!(SparseHessian::new(scalar_fn!(constant), &[]).evaluate(&[]).values, []);
    assert_eq!(SparseHessian::new(scalar_fn!(constant), &[1.0]).evaluate(&[f64::NAN]).values, []);
}
