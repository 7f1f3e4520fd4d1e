//! The reverse sweep: entries backwards, each transposed.

use core::ops::Index;
use std::vec::Vec;

use crate::{Real, Scalar};

use super::{CONSTANT, Entry, Tape, Var};

/// What a cotangent is while the sweep carries it: one number, or several of them side by side.
trait Cotangent<T>: Copy {
    fn zero() -> Self;
    /// `self * weight`.
    fn scaled(&self, weight: T) -> Self;
    fn plus(&self, other: &Self) -> Self;
    /// Whether nothing would be passed on through finite weights. (Lanes are not asked.)
    fn is_zero(&self) -> bool;
    /// 1 where a seed is no zero: it is touched there.
    fn touched(&self) -> Self;
    /// [`scaled`](Self::scaled) where `touched` is 1, else 0 whatever the weight.
    fn scaled_where(&self, touched: &Self, weight: T) -> Self;
    /// 1 where either is.
    fn either(&self, other: &Self) -> Self;
}

/// 1 where a seed is no zero.
#[inline]
fn touched<T: Real>(seed: &T) -> T {
    let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
    match T::LANES {
        1 if seed.parts_zero() => zero,
        1 => one,
        _ => T::select(&Scalar::eq(seed, &zero), &zero, &one),
    }
}

#[inline]
fn is_one<T: Real>(flag: &T) -> T::Mask {
    Scalar::eq(flag, &T::from_f64(1.0))
}

/// One cotangent.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct One<T>(T);

impl<T: Real> Cotangent<T> for One<T> {
    #[inline(always)]
    fn zero() -> Self {
        One(T::from_f64(0.0))
    }
    #[inline(always)]
    fn scaled(&self, weight: T) -> Self {
        One(self.0 * weight)
    }
    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        One(self.0 + other.0)
    }
    #[inline(always)]
    fn is_zero(&self) -> bool {
        T::LANES == 1 && self.0.parts_zero()
    }
    fn touched(&self) -> Self {
        One(touched(&self.0))
    }
    fn scaled_where(&self, touched: &Self, weight: T) -> Self {
        One(T::select(&is_one(&touched.0), &(self.0 * weight), &T::from_f64(0.0)))
    }
    fn either(&self, other: &Self) -> Self {
        One(T::select(&is_one(&self.0), &self.0, &other.0))
    }
}

impl<T: Real, const W: usize> Cotangent<T> for [T; W] {
    #[inline(always)]
    fn zero() -> Self {
        [T::from_f64(0.0); W]
    }
    #[inline(always)]
    fn scaled(&self, weight: T) -> Self {
        self.map(|lane| if T::TRACKED && lane.parts_zero() { lane } else { lane * weight })
    }
    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for lane in 0..W {
            sum[lane] += other[lane];
        }
        sum
    }
    #[inline(always)]
    fn is_zero(&self) -> bool {
        T::LANES == 1 && self.iter().all(T::parts_zero)
    }
    fn touched(&self) -> Self {
        self.map(|lane| touched(&lane))
    }
    fn scaled_where(&self, touched: &Self, weight: T) -> Self {
        core::array::from_fn(|i| One(self[i]).scaled_where(&One(touched[i]), weight).0)
    }
    fn either(&self, other: &Self) -> Self {
        core::array::from_fn(|i| One(self[i]).either(&One(other[i])).0)
    }
}

/// The sweep on a tape some of whose weights are infinite or NaN. Beside each adjoint it knows in which lanes anything has
/// reached it: what was never touched passes nothing on whatever the weight, and a number that is 0 gives NaN there.
#[cold]
#[inline(never)]
fn sweep_touched<T: Real, C: Cotangent<T>>(tape: &Tape<T>, adjoints: &mut [C], seeds: &[(u32, C)]) {
    let mut touched = vec![C::zero(); adjoints.len()];
    for (node, seed) in seeds {
        touched[*node as usize] = touched[*node as usize].either(&seed.touched());
    }
    for node in (1..adjoints.len()).rev() {
        let (cotangent, here) = (adjoints[node], touched[node]);
        // SAFETY: there is an adjoint for each entry.
        let entry = unsafe { tape.entry_unchecked(node) };
        let weights = [(entry.a, entry.da), (entry.b, entry.db)];
        for (to, weight) in weights.into_iter().filter(|(to, _)| *to != CONSTANT) {
            let to = to as usize;
            adjoints[to] = adjoints[to].plus(&cotangent.scaled_where(&here, weight));
            touched[to] = touched[to].either(&here);
        }
    }
}

/// `adjoints[a] += adjoints[node] da`, `adjoints[b] += adjoints[node] db`, from the last node to the first.
///
/// What goes to the very next node is carried in a register: programs are full of chains, and through memory each link
/// would wait for the store before it.
#[inline(always)]
fn sweep<T: Real, C: Cotangent<T>>(tape: &Tape<T>, adjoints: &mut [C], seeds: &[(u32, C)]) {
    assert!(adjoints.len() <= tape.node_count(), "one adjoint for each entry");
    if tape.singular.get() {
        return sweep_touched(tape, adjoints, seeds);
    }
    let mut carried = C::zero();
    for node in (1..adjoints.len()).rev() {
        // SAFETY: `node` is below both lengths (a tape only grows while it is shared); `a` and `b` are below
        // `node`, because an entry can only name nodes that were written before it.
        unsafe {
            let stored = *adjoints.get_unchecked(node);
            let cotangent = stored.plus(&carried);
            carried = C::zero();
            if cotangent.is_zero() {
                // The two parts may have cancelled.
                if !stored.is_zero() {
                    *adjoints.get_unchecked_mut(node) = cotangent;
                }
                continue;
            }
            let entry = tape.entry_unchecked(node);
            if entry.b != CONSTANT {
                pass_on(adjoints, &mut carried, node, entry.a, cotangent.scaled(entry.da));
                pass_on(adjoints, &mut carried, node, entry.b, cotangent.scaled(entry.db));
                continue;
            }
            // An input, or a watched node: its adjoint will be read, so the carried part has to be stored.
            if entry.a != CONSTANT {
                pass_on(adjoints, &mut carried, node, entry.a, cotangent.scaled(entry.da));
            }
            *adjoints.get_unchecked_mut(node) = cotangent;
        }
    }
}

/// Adds `part` to the adjoint of node `to`, which is held in `carried` if it is the next one.
///
/// # Safety
/// `to` is below `adjoints.len()`.
#[inline(always)]
unsafe fn pass_on<T: Real, C: Cotangent<T>>(
    adjoints: &mut [C],
    carried: &mut C,
    node: usize,
    to: u32,
    part: C,
) {
    if to as usize + 1 == node {
        *carried = part;
    } else {
        // SAFETY: in bounds by the caller.
        let adjoint = unsafe { adjoints.get_unchecked_mut(to as usize) };
        *adjoint = adjoint.plus(&part);
    }
}

impl<T: Real> Tape<T> {
    /// The adjoints of one output: its derivative with respect to every input, in one sweep.
    pub fn pullback<'t>(&'t self, output: Var<'t, T>) -> Adjoints<'t, T> {
        self.pullback_with([(output, T::from_f64(1.0))])
    }

    /// The adjoints of `Σ cotangent * output` over the given pairs (the VJP), in one sweep.
    ///
    /// ```
    /// use gradus_num::Tape;
    /// let tape = Tape::new();
    /// let x = tape.var(3.0);
    /// let adjoints = tape.pullback_with([(x * x, 1.0), (x * 5.0, 2.0)]);
    /// assert_eq!(adjoints.wrt(x), 6.0 + 10.0);
    /// ```
    #[inline(always)]
    pub fn pullback_with<'t>(&'t self, seeds: impl IntoIterator<Item = (Var<'t, T>, T)>) -> Adjoints<'t, T> {
        let mut values = self.spare_adjoints.take();
        values.clear();
        values.resize(self.node_count(), T::from_f64(0.0));
        // On a tape with infinite weights the sweep has to know which nodes were seeded, not only with what.
        let (singular, mut seeded) = (self.singular.get(), Vec::new());
        for (output, cotangent) in seeds {
            let (node, weight, tape) = output.parts();
            if node != CONSTANT && self.owns(tape) && !cotangent.parts_zero() {
                values[node as usize] += cotangent.mul_guarded(weight);
                if singular {
                    seeded.push((node, One(cotangent)));
                }
            }
        }
        sweep(self, as_ones(&mut values), &seeded);
        Adjoints { tape: self, values }
    }

    /// The adjoints of up to `W` outputs at once: one pass over the tape for `W` rows of a Jacobian.
    ///
    /// # Panics
    /// If there are more than `W` outputs.
    pub fn pullback_lanes<'t, const W: usize>(&'t self, outputs: &[Var<'t, T>]) -> LaneAdjoints<'t, T, W> {
        let mut adjoints = LaneAdjoints { tape: self, values: Vec::new() };
        self.pullback_lanes_into(outputs, &mut adjoints.values);
        adjoints
    }

    /// [`pullback_lanes`](Tape::pullback_lanes) into a buffer indexed by node.
    pub(crate) fn pullback_lanes_into<'t, const W: usize>(
        &'t self,
        outputs: &[Var<'t, T>],
        values: &mut Vec<[T; W]>,
    ) {
        assert!(outputs.len() <= W, "{} outputs do not fit {W} lanes", outputs.len());
        self.pullback_seeded_lanes_into(outputs.iter().enumerate().map(|(lane, &var)| (lane, var)), values);
    }

    /// One sweep with a unit cotangent on each listed output, in the listed lane.
    #[inline(always)]
    pub(crate) fn pullback_seeded_lanes_into<'t, const W: usize>(
        &'t self,
        seeds: impl IntoIterator<Item = (usize, Var<'t, T>)>,
        values: &mut Vec<[T; W]>,
    ) {
        values.clear();
        values.resize(self.node_count(), [T::from_f64(0.0); W]);
        let (singular, mut seeded) = (self.singular.get(), Vec::new());
        for (lane, output) in seeds {
            let (node, weight, tape) = output.parts();
            if node != CONSTANT && self.owns(tape) {
                values[node as usize][lane] += weight;
                if singular {
                    let mut seed = [T::from_f64(0.0); W];
                    seed[lane] = T::from_f64(1.0);
                    seeded.push((node, seed));
                }
            }
        }
        sweep(self, values, &seeded);
    }

    /// For each of the first `count` inputs, whether `output` was computed from it.
    pub(super) fn reaches(&self, output: Var<'_, T>, count: usize) -> Vec<bool> {
        let mut reached = vec![false; self.node_count()];
        reached[output.parts().0 as usize] = true;
        for node in (1..reached.len()).rev() {
            if reached[node] {
                // SAFETY: there is a flag for each entry.
                let entry = unsafe { self.entry_unchecked(node) };
                reached[entry.a as usize] = true;
                reached[entry.b as usize] = true;
            }
        }
        reached[1..=count].to_vec()
    }

    /// A copy of entry `node`: no reference into the vector survives, so arithmetic on `T` may record.
    ///
    /// # Safety
    /// `node` is below the node count.
    #[inline(always)]
    unsafe fn entry_unchecked(&self, node: usize) -> Entry<T> {
        // SAFETY: in bounds by the caller; the shared reference ends here, and the tape is not `Sync`.
        unsafe { *(*self.entries.get()).as_ptr().add(node) }
    }

    fn owns(&self, tape: Option<&Tape<T>>) -> bool {
        let own = tape.is_some_and(|tape| core::ptr::eq(tape, self));
        assert!(own, "this variable was recorded on another tape");
        own
    }
}

fn as_ones<T>(values: &mut [T]) -> &mut [One<T>] {
    // SAFETY: `One` is a transparent wrapper.
    unsafe { core::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// The result of a reverse sweep: the derivative of the output with respect to each input.
///
/// The buffer goes back to the tape when this is dropped, so that the next sweep does not allocate.
pub struct Adjoints<'t, T: Real = f64> {
    tape: &'t Tape<T>,
    values: Vec<T>,
}

impl<'t, T: Real> Adjoints<'t, T> {
    /// The derivative with respect to `input`; zero for a constant.
    ///
    /// # Panics
    /// If `input` is not an input, a variable made by [`Tape::var`] or its relatives: intermediates are folded into weights
    /// and have no adjoint of their own. Wrap one in [`Tape::watch`] to be able to ask for it.
    pub fn wrt(&self, input: Var<'t, T>) -> T {
        if input.is_constant() {
            return T::from_f64(0.0);
        }
        self.values[self.tape.leaf(input) as usize]
    }

    /// The derivatives with respect to `inputs`, into `gradient`.
    ///
    /// # Panics
    /// If the lengths differ, or as [`wrt`](Adjoints::wrt).
    pub fn wrt_into(&self, inputs: &[Var<'t, T>], gradient: &mut [T]) {
        assert_eq!(inputs.len(), gradient.len(), "one derivative for each input");
        for (derivative, &input) in gradient.iter_mut().zip(inputs) {
            *derivative = self.wrt(input);
        }
    }

    /// The first `count` inputs' adjoints: they are the first nodes of a tape whose inputs were made first.
    pub(crate) fn leading(&self, count: usize) -> &[T] {
        &self.values[1..=count]
    }
}

impl<'t, T: Real> Index<Var<'t, T>> for Adjoints<'t, T> {
    type Output = T;
    fn index(&self, input: Var<'t, T>) -> &T {
        &self.values[self.tape.leaf(input) as usize]
    }
}

impl<T: Real> Drop for Adjoints<'_, T> {
    fn drop(&mut self) {
        self.tape.spare_adjoints.set(core::mem::take(&mut self.values));
    }
}

/// The result of a sweep with `W` cotangents.
pub struct LaneAdjoints<'t, T: Real, const W: usize> {
    tape: &'t Tape<T>,
    values: Vec<[T; W]>,
}

impl<'t, T: Real, const W: usize> LaneAdjoints<'t, T, W> {
    /// The derivatives of all `W` outputs with respect to `input`; zeros for a constant.
    ///
    /// # Panics
    /// As [`Adjoints::wrt`].
    pub fn wrt(&self, input: Var<'t, T>) -> [T; W] {
        if input.is_constant() {
            return [T::from_f64(0.0); W];
        }
        self.values[self.tape.leaf(input) as usize]
    }
}

impl<T: Real> Tape<T> {
    /// The same variable as an input of its own: its adjoint can be read, and passes on to what it was
    /// computed from. One entry.
    ///
    /// ```
    /// use gradus_num::{Scalar, Tape};
    /// let tape = Tape::new();
    /// let x = tape.var(0.5);
    /// let y = tape.watch(x.sin());
    /// let adjoints = tape.pullback(y * y);
    /// assert_eq!(adjoints.wrt(y), 2.0 * 0.5f64.sin());
    /// assert_eq!(adjoints.wrt(x), 2.0 * 0.5f64.sin() * 0.5f64.cos());
    /// ```
    pub fn watch<'t>(&'t self, var: Var<'t, T>) -> Var<'t, T> {
        let (node, weight, tape) = var.parts();
        if node == CONSTANT {
            return self.var(var.primal());
        }
        let _ = self.owns(tape);
        // Like a leaf, a watched node remembers its value in the weight of the sink.
        if !weight.parts_finite() {
            self.note_singular();
        }
        let watched = self.push(Entry { a: node, b: CONSTANT, da: weight, db: var.primal() });
        Var::node(self, watched, var.primal())
    }

    /// The node of an input or watched variable.
    fn leaf(&self, var: Var<'_, T>) -> u32 {
        let (node, weight, tape) = var.parts();
        let _ = self.owns(tape);
        // SAFETY: the variable was recorded on this tape, which only grows while variables exist.
        let entry = unsafe { self.entry_unchecked(node as usize) };
        let itself = entry.b == CONSTANT
            && weight.value() == 1.0
            && entry.db.value().to_bits() == var.primal().value().to_bits();
        assert!(
            itself,
            "only an input has an adjoint that can be read: this variable is an intermediate, which the tape \
             folds into the weight of a node; make it readable with `tape.watch(..)` where it is computed"
        );
        node
    }
}
