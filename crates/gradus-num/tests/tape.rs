//! The tape: gradients, what costs an entry, nesting, mixing, singularities, memory.

use gradus_num::{Binary, Real, Scalar, Tape, Unary, Var, reverse};

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{a} is not {b}");
}

/// Every operation's reverse derivative is its rule's, at several points, through several weights.
#[test]
fn every_operation_agrees_with_its_rule() {
    let more = [Unary::Powi(-2), Unary::Polygamma(1)];
    for op in Unary::ALL.iter().copied().chain(more) {
        for x in if op == Unary::Acosh { [1.3, 1.7] } else { [0.3, 0.7] } {
            let want = op.derivative(&x, &x.unary(op));
            let tape = Tape::new();
            let v = tape.var(x);
            close(tape.pullback(v.unary(op)).wrt(v), want);
            // Through a weight: d f(2v - x) / dv at v = x is twice the derivative.
            close(tape.pullback((v * 2.0 - x).unary(op)).wrt(v), 2.0 * want);
            assert_eq!(tape.len(), 1, "functions of one variable cost no entry");
        }
    }
    for op in Binary::ALL.iter().copied() {
        for (x, y) in [(0.3, 0.7), (2.5, 0.4), (1.0, 1.0)] {
            let (dx, dy) = op.partials(&x, &y, &x.binary(op, &y));
            let tape = Tape::new();
            let (u, v) = (tape.var(x), tape.var(y));
            let adjoints = tape.pullback(u.binary(op, &v));
            close(adjoints.wrt(u), dx);
            close(adjoints.wrt(v), dy);
            // (Of two numbers the larger is one of them; only a tie joins them.)
            let entries = if matches!(op, Binary::Max | Binary::Min) && x != y { 2 } else { 3 };
            assert_eq!(tape.len(), entries, "joining two variables costs one entry");
            drop(adjoints);
            // A constant on one side leaves the other's derivative and costs nothing.
            close(tape.pullback(u.binary(op, &Var::from_f64(y))).wrt(u), dx);
            close(tape.pullback(Var::from_f64(x).binary(op, &v)).wrt(v), dy);
            // Both sides the same node: the sum of the partials.
            let (ex, ey) = op.partials(&x, &x, &x.binary(op, &x));
            close(tape.pullback(u.binary(op, &u)).wrt(u), ex + ey);
            assert_eq!(tape.len(), entries);
        }
    }
}

#[test]
fn constants_cost_nothing_and_have_no_derivative() {
    let tape = Tape::new();
    let c = Var::from_f64(2.0).sin() * 3.0 + Var::from_f64(1.0);
    assert!(c.is_constant() && tape.is_empty());
    let x = tape.var(1.0);
    assert_eq!(tape.pullback(c).wrt(x), 0.0);
    assert_eq!(tape.pullback(x * 0.0 + c).wrt(c), 0.0);
    assert_eq!(tape.pullback(x.detach() * x).wrt(x), 1.0);
}

#[test]
#[allow(clippy::op_ref)]
fn all_operator_forms() {
    let tape = Tape::new();
    let (x, y) = (tape.var(3.0), tape.var(2.0));
    let mut z = &x + &y;
    z += x;
    z -= &y * x;
    z *= 2.0;
    z /= y;
    z %= 100.0;
    z = 1.0 - z;
    let f = |x: f64, y: f64| 1.0 - ((x + y + x - y * x) * 2.0 / y) % 100.0;
    assert_eq!(z.value(), f(3.0, 2.0));
    let a = tape.pullback(z);
    // 1 - (4x/y + 2 - 2x)
    close(a.wrt(x), -(4.0 / 2.0 - 2.0));
    close(a.wrt(y), 4.0 * 3.0 / 4.0);
    assert!(x > y && x == tape.var(3.0) && format!("{x}") == "3");
    let total: Var = [x, y].into_iter().sum();
    let product: Var = [x, y].into_iter().product();
    assert_eq!((total.value(), product.value()), (5.0, 6.0));
}

#[test]
fn what_was_never_touched_meets_no_infinity() {
    // where(x > 0, sqrt(x), 0) at 0: the branch is not taken.
    let zero = || Var::from_f64(0.0);
    let g = reverse::gradient(|v| if v[0] > zero() { v[0].sqrt() } else { v[0] * 0.0 }, &[0.0]);
    assert_eq!(g, [0.0]);
    let g = reverse::gradient(|v| (v[0] + v[1]).sqrt().max(&(v[1] + 1.0)), &[0.0, 0.0]);
    assert_eq!(g, [0.0, 1.0]);
    // Nothing was computed from the root, or only a step function was.
    let g = reverse::gradient(|v| ((v[0] + v[1]).sqrt(), v[1]).1, &[0.0, 0.0]);
    assert_eq!(g, [0.0, 1.0]);
    let g = reverse::gradient(|v| (v[0] + v[1]).sqrt().floor() + v[1], &[0.0, 0.0]);
    assert_eq!(g, [0.0, 1.0]);
    // A user's zero cotangent.
    let tape = Tape::new();
    let (x, y) = (tape.var(0.0), tape.var(0.0));
    let root = tape.watch((x + y).sqrt());
    let adjoints = tape.pullback_with([(root * y, 0.0), (y, 1.0)]);
    assert_eq!((adjoints.wrt(x), adjoints.wrt(y)), (0.0, 1.0));
    drop(adjoints);
    // In lanes, each on its own.
    let j = reverse::jacobian(
        |v| {
            let s = (v[0] * v[1]).sqrt() + v[1];
            vec![s, v[0]]
        },
        &[0.0, 1.0],
    );
    assert_eq!(j[2..], [1.0, 0.0]);
    assert_eq!(j[0], f64::INFINITY);
}

#[test]
fn a_number_that_is_zero_hides_no_infinity() {
    // A literal 0, a derivative that is 0, an overflow: numbers, of which 0 times infinity is NaN.
    let root_times_zero = reverse::gradient(|v| v[0].sqrt() * 0.0 + v[1], &[0.0, 1.0]);
    assert!(root_times_zero[0].is_nan() && root_times_zero[1] == 1.0);
    assert!(reverse::gradient(|v| (v[0] + v[1]).sqrt() * 0.0 + v[1], &[0.0, 0.0])[0].is_nan());
    assert!(reverse::gradient(|v| (v[0] * v[0] + v[1] * v[1]).sqrt(), &[0.0, 0.0])[0].is_nan());
    assert!(reverse::derivative(|v| v.exp().log(), 1000.0).is_nan());
    assert!(reverse::gradient(|v| (v[0].exp() + v[1].exp()).log(), &[1000.0, 0.0])[0].is_nan());
    // So in preaccumulated regions: what they were computed from is kept, whatever the derivative.
    let tape = Tape::new();
    let (x, y) = (tape.var(1.0), tape.var(2.0));
    let [z] = tape.preaccumulate(&[x, y], |v| [(v[0] - v[0]) * v[1]]);
    assert_eq!(tape.len(), 3);
    assert_eq!(tape.pullback(z).wrt(y), 0.0);
    // A NaN of the primal stays visible.
    assert!(reverse::gradient(|v| v[0].log() * v[0], &[-1.0])[0].is_nan());
}

/// What an input gets over two ways, one of them through the entry before it, may cancel to 0.
#[test]
fn an_adjoint_that_cancels_is_zero() {
    let g = reverse::gradient(|v| v[1] * 1.0 + (v[0] - v[1]) * 1.0, &[3.0, 4.0]);
    assert_eq!(g, [1.0, 0.0]);
    let tape = Tape::new();
    let (x, y) = (tape.var(0.0), tape.var(1.0));
    let sum = x * x + y * y;
    // Two parts reach y: 2 from itself, -2 through the sum, which is the node after it.
    let z = y * 2.0 - sum;
    assert_eq!(tape.pullback(z).wrt(y), 0.0);
    let lanes = tape.pullback_lanes::<2>(&[z, y]);
    assert_eq!(lanes.wrt(y), [0.0, 1.0]);
}

/// At the solution of a fit all residuals are 0; the curvature is not.
#[test]
fn the_curvature_of_a_fit_is_there_at_its_solution() {
    let outer = Tape::new();
    let (x, y) = (outer.var(2.0), outer.var(3.0));
    let inner = Tape::new();
    let (u, v) = (inner.var(x), inner.var(y));
    let (first, second) = (u * v - 6.0, u + v - 5.0);
    let fit = (first * first + second * second) * 0.5;
    let adjoints = inner.pullback(fit);
    let (by_x, by_y) = (adjoints.wrt(u), adjoints.wrt(v));
    assert_eq!((by_x.value(), by_y.value()), (0.0, 0.0));
    let (row, other) = (outer.pullback(by_x), outer.pullback(by_y));
    assert_eq!((row.wrt(x), row.wrt(y)), (10.0, 7.0));
    assert_eq!(other.wrt(y), 5.0);
}

#[test]
fn reverse_over_reverse_and_reverse_thrice() {
    // f = x³ y; f_xx = 6 x y, f_xy = 3 x², f_xxx = 6 y.
    let outer = Tape::new();
    let (x, y) = (outer.var(2.0), outer.var(5.0));
    let inner = Tape::new();
    let (u, v) = (inner.var(x), inner.var(y));
    let fx = inner.pullback(u * u * u * v).wrt(u);
    let a = outer.pullback(fx);
    close(fx.value(), 3.0 * 4.0 * 5.0);
    close(a.wrt(x), 6.0 * 2.0 * 5.0);
    close(a.wrt(y), 3.0 * 4.0);

    let t1 = Tape::new();
    let a = t1.var(2.0);
    let t2 = Tape::new();
    let b = t2.var(a);
    let t3 = Tape::new();
    let c = t3.var(b);
    let d1 = t3.pullback(c * c * c * 5.0).wrt(c);
    let d2 = t2.pullback(d1).wrt(b);
    let d3 = t1.pullback(d2).wrt(a);
    close(d3, 30.0);
}

/// Perturbation confusion: d/dx [x · d/dy (x + y)] is 1, not 2 (Siskind and Pearlmutter, 2005).
#[test]
fn nested_recordings_do_not_confuse_their_variables() {
    let outer = Tape::new();
    let x = outer.var(1.0);
    let inner = Tape::new();
    let y = inner.var(Var::from_f64(1.0));
    let dy = inner.pullback(Var::constant(x) + y).wrt(y);
    assert_eq!(outer.pullback(x * dy).wrt(x), 1.0);
}

#[test]
#[should_panic(expected = "two tapes")]
fn mixing_two_tapes_is_an_error() {
    let (a, b) = (Tape::new(), Tape::new());
    let _ = a.var(1.0) + b.var(2.0);
}

#[test]
#[should_panic(expected = "another tape")]
fn sweeping_the_wrong_tape_is_an_error() {
    let (a, b) = (Tape::new(), Tape::new());
    let _ = a.pullback(b.var(1.0));
}

#[test]
#[should_panic(expected = "only an input has an adjoint")]
fn the_adjoint_of_an_intermediate_is_an_error() {
    let tape = Tape::new();
    let x = tape.var(1.0);
    let y = x.exp();
    let _ = tape.pullback(y * y).wrt(y);
}

#[test]
fn tapes_record_side_by_side() {
    let (a, b) = (Tape::new(), Tape::new());
    let (x, y) = (a.var(2.0), b.var(3.0));
    let (mut p, mut q) = (x, y);
    for _ in 0..3 {
        p = p * x + 1.0;
        q = q * y + p.value();
    }
    close(a.pullback(p).wrt(x), 4.0 * 8.0 + 3.0 * 0.0 + 2.0 * 2.0 + 1.0);
    assert!(b.pullback(q).wrt(y) > 0.0);
}

#[test]
fn memory_is_kept_by_reset_and_reported() {
    let mut tape = Tape::with_capacity(10);
    let run = |tape: &Tape| {
        let x = tape.vars(&[1.0, 2.0]);
        let mut s = x[0];
        for _ in 0..5000 {
            s = s * x[1] + x[0];
        }
        let _ = tape.pullback(s);
    };
    run(&tape);
    let entries = tape.len();
    assert_eq!(entries, 2 + 2 * 5000);
    let bytes = tape.bytes();
    assert!(bytes >= entries * (24 + 8), "{bytes}");
    for _ in 0..3 {
        tape.reset();
        assert!(tape.is_empty());
        run(&tape);
        assert_eq!(tape.bytes(), bytes);
    }
}

#[test]
fn jacobians_by_lanes_agree_with_single_sweeps() {
    let x = [0.3, 1.2, -0.7];
    let j = reverse::jacobian(
        |v| (0..7).map(|i| (v[i % 3] * (i as f64)).sin() * v[(i + 1) % 3] + v[2]).collect(),
        &x,
    );
    assert_eq!(j.len(), 21);
    for i in 0..7 {
        let row = reverse::gradient(|v| (v[i % 3] * (i as f64)).sin() * v[(i + 1) % 3] + v[2], &x);
        for (a, b) in j[3 * i..].iter().zip(row) {
            close(*a, b);
        }
    }
}

#[test]
fn forward_over_reverse_gives_second_derivatives() {
    use gradus_num::Dual;
    let tape: Tape<Dual<f64, 2>> = Tape::new();
    let x = tape.var(Dual::variable(0.7, 0));
    let y = tape.var(Dual::variable(1.3, 1));
    let f = (x * y).sin() + x.powi(3) / y;
    let adjoints = tape.pullback(f);
    let (gx, gy) = (adjoints.wrt(x), adjoints.wrt(y));
    let (a, b) = (0.7f64, 1.3f64);
    let (s, c) = (a * b).sin_cos();
    close(gx.primal, b * c + 3.0 * a * a / b);
    close(gx.tangent[0], -b * b * s + 6.0 * a / b);
    close(gx.tangent[1], c - a * b * s - 3.0 * a * a / (b * b));
    close(gy.tangent[0], gx.tangent[1]);
    close(gy.tangent[1], -a * a * s + 2.0 * a.powi(3) / b.powi(3));
}

#[test]
fn preaccumulated_regions_nest_and_keep_the_gradient() {
    let body = |a: f64, b: f64| {
        let mut z = a;
        for _ in 0..10 {
            z = (z * b).sin() + a;
        }
        z
    };
    let tape = Tape::new();
    let (x, y) = (tape.var(0.4), tape.var(1.1));
    let [z] = tape.preaccumulate(&[x * 2.0, y], |v| {
        let mut z = v[0];
        for _ in 0..10 {
            z = (z * v[1]).sin() + v[0];
        }
        [z]
    });
    close(z.value(), body(0.8, 1.1));
    assert_eq!(tape.len(), 3);
    let h = 1e-6;
    let a = tape.pullback(z);
    assert!((a.wrt(x) - (body(0.8 + 2.0 * h, 1.1) - body(0.8 - 2.0 * h, 1.1)) / (2.0 * h)).abs() < 1e-7);
    assert!((a.wrt(y) - (body(0.8, 1.1 + h) - body(0.8, 1.1 - h)) / (2.0 * h)).abs() < 1e-7);
    // Two outputs, one of which does not depend on all inputs, one constant.
    let [p, q, r] = tape.preaccumulate(&[x, y], |v| [v[0] * v[1], v[1].exp(), Var::from_f64(4.0)]);
    let a = tape.pullback_with([(p, 1.0), (q, 2.0)]);
    close(a.wrt(x), 1.1);
    close(a.wrt(y), 0.4 + 2.0 * 1.1f64.exp());
    assert!(r.is_constant() && r.value() == 4.0);
    assert_eq!(a[x], a.wrt(x));
}
