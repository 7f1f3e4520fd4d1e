//! [`Lanes`]: the same computation for several points at once.
//!
//! A `Lanes<W>` is `W` numbers that go through the same operations, in vector registers where the machine has
//! them. It is a [`Real`], so any generic function accepts it, and inside a tape variable (`Var<Lanes<W>>`) one recorded
//! entry serves `W` points. [`batch`](crate::batch) has the drivers.
//!
//! A branch cannot go two ways at once. Where the lanes of a comparison disagree, the answer is that of the first
//! lane and a flag of the thread is set ([`diverged`]); the drivers then repeat the block point by point.
//! [`select`](Scalar::select), `max`, `min` and every derivative rule choose lane by lane and never diverge.

mod operators;
mod vector;

use core::cell::Cell;

use crate::{Binary, Real, Scalar, Unary};

/// `W` numbers that take the same path.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Lanes<const W: usize>(pub [f64; W]);

std::thread_local! {
    static DIVERGED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the lanes of a comparison have disagreed on this thread since the last call; resets the flag.
pub fn diverged() -> bool {
    DIVERGED.replace(false)
}

#[cold]
#[inline(never)]
fn diverge() {
    DIVERGED.set(true);
}

/// Work to be compiled for several instruction sets. `run` has to be `#[inline(always)]`, and so has what it calls to
/// take part: a closure or function that stays outside is compiled for the least machine.
pub(crate) trait Wide {
    type Output;
    fn run(self) -> Self::Output;
}

struct Dispatched<T>(T);

impl<T: Wide> pulp::WithSimd for Dispatched<T> {
    type Output = T::Output;
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> T::Output {
        self.0.run()
    }
}

/// Runs `work` with the vector instructions of the machine, up to 256 bits on x86.
#[inline(always)]
pub(crate) fn wide<T: Wide>(work: T) -> T::Output {
    // `Arch` offers 512 bits wherever some crate of the program asks for them. Eight lanes then are one register, but they
    // are copied in narrower pieces, and a wide load after narrow stores waits for them: a third slower.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, Dispatched(work));
    }
    pulp::Arch::new().dispatch(Dispatched(work))
}

impl<const W: usize> Lanes<W> {
    #[inline(always)]
    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let mut out = self.0;
        for lane in 0..W {
            out[lane] = f(out[lane]);
        }
        Lanes(out)
    }

    #[inline(always)]
    fn zip(&self, rhs: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let mut out = self.0;
        for lane in 0..W {
            out[lane] = f(out[lane], rhs.0[lane]);
        }
        Lanes(out)
    }

    #[inline(always)]
    fn test(&self, rhs: &Self, f: impl Fn(f64, f64) -> bool) -> [bool; W] {
        let mut out = [false; W];
        for lane in 0..W {
            out[lane] = f(self.0[lane], rhs.0[lane]);
        }
        out
    }

    /// What all lanes agree on, else the first lane's.
    #[inline(always)]
    fn agree<T: Copy + PartialEq>(lanes: [T; W]) -> T {
        let mut same = true;
        for lane in 1..W {
            same &= lanes[lane] == lanes[0];
        }
        if !same {
            diverge();
        }
        lanes[0]
    }

    /// The sum of the lanes, in an order that `W` alone decides.
    #[inline(always)]
    pub fn sum(&self) -> f64 {
        self.0.iter().sum()
    }
}

impl<const W: usize> Scalar for Lanes<W> {
    type Mask = [bool; W];

    #[inline(always)]
    fn lit(&self, value: f64) -> Self {
        Lanes([value; W])
    }

    #[inline(always)]
    fn unary(&self, op: Unary) -> Self {
        match op {
            Unary::Exp => Lanes(vector::exp(self.0)),
            Unary::Expm1 => Lanes(vector::expm1(self.0)),
            Unary::Sigmoid => Lanes(vector::sigmoid(self.0)),
            Unary::Tanh => Lanes(vector::tanh(self.0)),
            other => self.map(|x| x.unary(other)),
        }
    }

    #[inline(always)]
    fn with_slope(&self, op: Unary) -> Option<(Self, Self)> {
        let (value, slope) = match op {
            Unary::Sigmoid => vector::sigmoid_with_slope(self.0),
            Unary::Tanh => vector::tanh_with_slope(self.0),
            _ => return None,
        };
        Some((Lanes(value), Lanes(slope)))
    }

    #[inline(always)]
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        self.zip(rhs, |x, y| x.binary(op, &y))
    }

    #[inline(always)]
    fn sin_cos(&self) -> (Self, Self) {
        let (mut sin, mut cos) = (self.0, self.0);
        for lane in 0..W {
            (sin[lane], cos[lane]) = self.0[lane].sin_cos();
        }
        (Lanes(sin), Lanes(cos))
    }

    #[inline(always)]
    fn lt(&self, rhs: &Self) -> [bool; W] {
        self.test(rhs, |x, y| x < y)
    }

    #[inline(always)]
    fn le(&self, rhs: &Self) -> [bool; W] {
        self.test(rhs, |x, y| x <= y)
    }

    #[inline(always)]
    fn eq(&self, rhs: &Self) -> [bool; W] {
        self.test(rhs, |x, y| x == y)
    }

    #[inline(always)]
    fn decided(mask: &[bool; W]) -> Option<bool> {
        mask[1..].iter().all(|lane| *lane == mask[0]).then_some(mask[0])
    }

    #[inline(always)]
    fn select(mask: &[bool; W], on_true: &Self, on_false: &Self) -> Self {
        let mut out = on_false.0;
        for lane in 0..W {
            out[lane] = if mask[lane] { on_true.0[lane] } else { out[lane] };
        }
        Lanes(out)
    }
}

impl<const W: usize> Real for Lanes<W> {
    const LANES: usize = W;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Lanes([value; W])
    }

    #[inline(always)]
    fn from_lanes(mut value: impl FnMut(usize) -> f64) -> Self {
        let mut out = [0.0; W];
        for lane in 0..W {
            out[lane] = value(lane);
        }
        Lanes(out)
    }

    /// The value of all lanes if they have the same, else the first lane's.
    #[inline(always)]
    fn value(&self) -> f64 {
        f64::from_bits(Self::agree(self.0.map(f64::to_bits)))
    }

    #[inline(always)]
    fn is_finite(&self) -> bool {
        self.0.iter().fold(true, |all, x| all & x.is_finite())
    }

    #[inline(always)]
    fn is_nan(&self) -> bool {
        self.0.iter().fold(false, |any, x| any | x.is_nan())
    }

    /// Lane by lane.
    #[inline(always)]
    fn mul_guarded(self, slope: Self) -> Self {
        self.zip(&slope, |t, s| if t == 0.0 { 0.0 } else { t * s })
    }

    #[inline(always)]
    fn parts_finite(&self) -> bool {
        self.is_finite()
    }

    #[inline(always)]
    fn parts_zero(&self) -> bool {
        self.0.iter().fold(true, |all, &x| all & (x == 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_scalar_ones() {
        let edges = [
            0.0,
            -0.0,
            1e-320,
            1e-9,
            -3e-5,
            0.3,
            0.6,
            -0.99,
            1.0,
            5.0,
            -20.0,
            37.0,
            300.0,
            709.7,
            709.79,
            -708.5,
            -744.0,
            -746.0,
            1e10,
            -1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        let spread = (0..20_000).map(|i| (f64::from(i) - 1e4) * 0.0371);
        for x in edges.into_iter().chain(spread) {
            for op in [Unary::Exp, Unary::Expm1, Unary::Sigmoid, Unary::Tanh] {
                let (want, got) = (x.unary(op), Lanes([x; 4]).unary(op).0[2]);
                let close = (want - got).abs() <= 3.0 * f64::EPSILON * want.abs() + 1e-323;
                assert!(want == got || close || want.is_nan() && got.is_nan(), "{op:?} {x}: {want} {got}");
            }
        }
    }

    #[test]
    fn shared_work_changes_no_value_and_keeps_slopes_accurate() {
        let edges = [0.0, -0.0, 1e-300, -1e-9, 0.5, 1.0, 19.0, -40.5, 350.0, -372.0, 746.0, f64::INFINITY];
        let spread = (0..20_000).map(|i| (f64::from(i) - 1e4) * 0.0371);
        for x in edges.into_iter().chain(spread) {
            for op in [Unary::Sigmoid, Unary::Tanh] {
                let lanes = Lanes([x; 4]);
                let rule = op.derivative(&x, &x.unary(op));
                let close =
                    |got: f64| (got - rule).abs() <= 6.0 * f64::EPSILON * rule.abs() + 1e-322 || got == rule;
                for (value, plain, slope) in [
                    lanes.with_slope(op).map(|(v, s)| (v.0[1], lanes.unary(op).0[1], s.0[1])).unwrap(),
                    Scalar::with_slope(&x, op).map(|(v, s)| (v, x.unary(op), s)).unwrap(),
                ] {
                    assert_eq!(value.to_bits(), plain.to_bits(), "{op:?} {x}");
                    assert!(close(slope), "{op:?}' {x}: {slope} instead of {rule}");
                }
                let (value, slope) = Lanes([f64::NAN; 4]).with_slope(op).unwrap();
                assert!(value.0[0].is_nan() && slope.0[0].is_nan());
            }
        }
    }

    #[test]
    fn a_disagreement_is_noticed_once() {
        let (a, b) = (Lanes([1.0, 2.0]), Lanes([1.5, 1.5]));
        assert!(!diverged());
        assert!(a < b);
        assert!(diverged() && !diverged());
        assert!(a < Lanes([3.0; 2]) && !diverged());
        assert_eq!(Lanes::select(&Scalar::lt(&a, &b), &a, &b).0, [1.0, 1.5]);
        assert_eq!(Lanes([4.0; 2]).value(), 4.0);
        assert!(!diverged());
    }

    #[test]
    fn an_infinite_slope_meets_a_zero_lane() {
        let product = Lanes([0.0, 2.0]).mul_guarded(Lanes([f64::INFINITY, 3.0]));
        assert_eq!(product.0, [0.0, 6.0]);
    }
}
