//! Local preaccumulation: many operations, the entries of one.

use std::boxed::Box;
use std::vec::Vec;

use crate::{Dual, Real};

use super::{Tape, Var};

impl<T: Real> Tape<T> {
    /// Evaluates a statement of `N` inputs with dual numbers and records only its `N` local derivatives:
    /// `N - 1` entries, whatever the number of operations.
    ///
    /// Worth its while when the statement has clearly more operations that join two variables than it has
    /// inputs.
    ///
    /// ```
    /// use gradus_num::{Scalar, Tape};
    /// let tape = Tape::new();
    /// let (x, y) = (tape.var(3.0), tape.var(4.0));
    /// let z = tape.statement([x, y], |[x, y]| (x * x + y * y).sqrt() * (x - y).exp());
    /// assert_eq!(tape.len(), 3); // two inputs and the statement
    /// let dx = (3.0 / 5.0 + 5.0) * (-1f64).exp();
    /// assert!((tape.pullback(z).wrt(x) - dx).abs() < 1e-15);
    /// ```
    pub fn statement<'t, const N: usize>(
        &'t self,
        inputs: [Var<'t, T>; N],
        f: impl FnOnce([Dual<T, N>; N]) -> Dual<T, N>,
    ) -> Var<'t, T> {
        let mut lane = 0;
        let seeded = inputs.map(|input| {
            lane += 1;
            Dual::variable(input.primal(), lane - 1)
        });
        let out = f(seeded);
        let mut partials = [(Var::constant(out.primal), T::from_f64(0.0)); N];
        for lane in 0..N {
            partials[lane] = (inputs[lane], out.tangent[lane]);
        }
        self.custom(out.primal, &partials)
    }

    /// Records a region on a sub-tape, sweeps it at once, and keeps only its local Jacobian: with `N` inputs
    /// and `M` outputs at most `M (N - 1)` entries stay, and the region's own are forgotten.
    ///
    /// The closure sees copies of `inputs` on the sub-tape. Variables from outside cannot be used inside
    /// except through `inputs`, nor the other way round: either is a compile error. Regions nest.
    ///
    /// ```
    /// use gradus_num::{Scalar, Tape};
    /// let tape = Tape::new();
    /// let x = tape.var(1.0);
    /// let y = tape.var(2.0);
    /// let [z] = tape.preaccumulate(&[x, y], |v| {
    ///     let mut z = v[0];
    ///     for _ in 0..100 {
    ///         z = (z * v[1]).sin() + v[0];
    ///     }
    ///     [z]
    /// });
    /// assert_eq!(tape.len(), 3); // the loop left one entry
    /// # let _ = tape.pullback(z).wrt(x);
    /// ```
    ///
    /// ```compile_fail
    /// use gradus_num::Tape;
    /// let tape = Tape::new();
    /// let (x, y) = (tape.var(1.0), tape.var(2.0));
    /// let [z] = tape.preaccumulate(&[x], |v| [v[0] * y]); // error: `y` belongs to the outer tape
    /// ```
    pub fn preaccumulate<'t, const M: usize>(
        &'t self,
        inputs: &[Var<'t, T>],
        f: impl for<'s> FnOnce(&[Var<'s, T>]) -> [Var<'s, T>; M],
    ) -> [Var<'t, T>; M] {
        let mut sub = self.sub_tape.take().unwrap_or_else(|| Box::new(Tape::new()));
        sub.reset();
        let outputs = {
            let inner: Vec<Var<'_, T>> = inputs.iter().map(|input| sub.var(input.primal())).collect();
            let mut partials = Vec::with_capacity(inputs.len());
            f(&inner).map(|output| {
                partials.clear();
                if !output.is_constant() {
                    let adjoints = sub.pullback(output);
                    let local = adjoints.leading(inputs.len());
                    // A derivative that is 0 is kept; what is left out is an input that the output was not computed from.
                    let zeros = local.iter().any(Real::parts_zero);
                    let reached = if zeros { sub.reaches(output, inputs.len()) } else { Vec::new() };
                    for (i, (&input, &d)) in inputs.iter().zip(local).enumerate() {
                        if !zeros || reached[i] {
                            partials.push((input, d));
                        }
                    }
                }
                self.custom(output.primal(), &partials)
            })
        };
        self.sub_tape.set(Some(sub));
        outputs
    }
}
