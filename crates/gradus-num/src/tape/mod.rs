//! Reverse mode on scalars: a [`Tape`] records local derivatives, a sweep transposes them.
//!
//! Nothing here knows a derivative. A [`Var`] asks the one rule table ([`crate::rules`]) for the local
//! derivative of the operation it performs, and the tape stores the resulting linear map; sweeping the
//! entries backwards applies its transpose. So reverse mode is *linearise, then transpose*.
//!
//! # What is recorded
//!
//! A variable is an affine function of **one** recorded node: it carries a value, the number of that node,
//! and its derivative with respect to it, the *weight*. Therefore
//!
//! * a function of one variable only multiplies the weight: `exp(3 * sin(x) + 1)` costs no entry at all;
//! * so does an operation whose two arguments depend on the same node, such as `x * sin(x)`;
//! * an operation with a constant costs no entry, and one among constants computes no derivative;
//! * only an operation that joins two different nodes writes an entry: two node numbers and two weights,
//!   24 bytes for `f64`.
//!
//! This is preaccumulation in registers: the chain rule is applied forward, at once, wherever the
//! intermediate Jacobian is one number. [`Tape::statement`] does the same for several inputs at a time with
//! dual numbers, and [`Tape::preaccumulate`] for a whole region with a sub-tape.
//!
//! # Lifetimes
//!
//! A variable borrows its tape: it cannot outlive it, it cannot survive [`Tape::reset`], and it cannot cross
//! threads. All three are compile errors. (A tape without variables may move to another thread: it is `Send`.)
//!
//! ```compile_fail,E0597
//! use gradus_num::Tape;
//! let dangling = {
//!     let tape = Tape::new();
//!     tape.var(1.0) // error: `tape` does not live long enough
//! };
//! println!("{dangling}");
//! ```
//!
//! ```compile_fail,E0502
//! use gradus_num::Tape;
//! let mut tape = Tape::new();
//! let x = tape.var(1.0);
//! tape.reset(); // error: cannot borrow `tape` as mutable
//! println!("{}", x + x);
//! ```
//!
//! ```compile_fail,E0277
//! use gradus_num::Tape;
//! let tape = Tape::new();
//! let x = tape.var(1.0);
//! std::thread::scope(|s| {
//!     s.spawn(|| println!("{}", x + x)); // error: `Tape` cannot be shared between threads
//! });
//! ```
//!
//! There is no "active" tape: any number can record at once, each variable on its own. An operation that
//! mixes variables of two tapes panics and says so; to differentiate through another recording, nest the
//! types, `Tape<Var<'_, f64>>` (reverse over reverse) or `Tape<Dual<f64, N>>` (forward over reverse).

//! # What the unsafe code relies on
//!
//! Entry 0 is always there. The vector of entries grows only, but for [`Tape::reset`], which needs the tape alone: so
//! a node number that a variable carries is below the length as long as the variable lives. An entry is written after those
//! it names, so both of its numbers are below its own; there are at most `u32::MAX` entries, so none is truncated. No
//! reference into the vector is held while arithmetic on `T`, which may record, runs; a tape is not `Sync`.

mod local;
mod ops;
mod sweep;
mod var;

use core::cell::{Cell, UnsafeCell};
use std::boxed::Box;
use std::vec::Vec;

use crate::Real;
pub use sweep::{Adjoints, LaneAdjoints};
pub use var::Var;

/// The node of every constant, and the sink that the unused arguments of an entry point to.
const CONSTANT: u32 = 0;

/// The linear map of one node: `d(node) = da d(a) + db d(b)`.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    a: u32,
    b: u32,
    da: T,
    db: T,
}

/// A record of local derivatives, written by arithmetic on its variables and read backwards.
///
/// ```
/// use gradus_num::{Scalar, Tape};
///
/// let mut tape = Tape::new();
/// let (x, y) = (tape.var(3.0), tape.var(2.0));
/// let z = x * y + x.sin();
/// let adjoints = tape.pullback(z);
/// assert_eq!(adjoints.wrt(y), 3.0);
/// assert!((adjoints.wrt(x) - (2.0 + 3f64.cos())).abs() < 1e-15);
/// drop(adjoints);
/// tape.reset(); // forgets the entries, keeps the memory
/// ```
pub struct Tape<T = f64> {
    entries: UnsafeCell<Vec<Entry<T>>>,
    /// Whether some weight is infinite or NaN: then a sweep has to know which adjoints were never touched.
    singular: Cell<bool>,
    /// Whether some entry selects lane by lane, so that weights of 0 stand for what a lane did not take.
    blended: Cell<bool>,
    /// Adjoint buffers between sweeps, kept so that repeated sweeps do not allocate.
    spare_adjoints: Cell<Vec<T>>,
    /// The buffer of a driver's input variables between calls; always empty, only its memory is kept.
    spare_vars: Cell<Vec<Slot<T>>>,
    /// A tape for [`Tape::preaccumulate`], kept between regions.
    sub_tape: Cell<Option<Box<Tape<T>>>>,
}

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Tape::new()
    }
}

impl<T: Real> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Tape::with_capacity(0)
    }

    /// A tape with capacity for `entries` entries before it grows: one for each input and for each operation
    /// that joins two nodes.
    pub fn with_capacity(entries: usize) -> Self {
        // More entries than node numbers would never be written.
        let mut storage = Vec::with_capacity(entries.min(u32::MAX as usize - 1) + 1);
        storage.push(sink());
        Tape {
            entries: UnsafeCell::new(storage),
            singular: Cell::new(false),
            blended: Cell::new(false),
            spare_adjoints: Cell::new(Vec::new()),
            spare_vars: Cell::new(Vec::new()),
            sub_tape: Cell::new(None),
        }
    }

    /// A new independent variable.
    #[inline]
    pub fn var(&self, value: T) -> Var<'_, T> {
        // A leaf reads only the sink. Its second weight remembers the value, so that `Adjoints::wrt` can
        // tell a leaf from an intermediate that merely depends on it; what the sweep adds to the sink for it
        // is never read.
        let node = self.push(Entry { a: CONSTANT, b: CONSTANT, da: T::from_f64(0.0), db: value });
        Var::node(self, node, value)
    }

    /// New independent variables, one for each value.
    pub fn vars(&self, values: &[T]) -> Vec<Var<'_, T>> {
        values.iter().map(|&value| self.var(value)).collect()
    }

    /// Like [`vars`](Tape::vars), into a buffer that is cleared first.
    pub fn vars_into<'t>(&'t self, values: &[T], into: &mut Vec<Var<'t, T>>) {
        into.clear();
        into.extend(values.iter().map(|&value| self.var(value)));
    }

    /// Forgets every entry and keeps the memory. The exclusive borrow proves that no variable is left.
    pub fn reset(&mut self) {
        self.entries.get_mut().truncate(1);
        self.singular.set(false);
        self.blended.set(false);
    }

    /// The number of entries: one for each input and for each operation that joined two nodes.
    pub fn len(&self) -> usize {
        self.node_count() - 1
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes the tape holds on the heap: the entries' reserved memory, the adjoint buffer kept
    /// between sweeps, and the sub-tape kept between preaccumulated regions.
    pub fn bytes(&self) -> usize {
        // SAFETY: no reference into the vector outlives the call that made it, and the tape is not `Sync`.
        let entries = unsafe { &*self.entries.get() }.capacity() * size_of::<Entry<T>>();
        let spare = self.spare_adjoints.take();
        let adjoints = spare.capacity() * size_of::<T>();
        self.spare_adjoints.set(spare);
        let vars = self.spare_vars.take();
        let var_bytes = vars.capacity() * size_of::<Slot<T>>();
        self.spare_vars.set(vars);
        let sub = self.sub_tape.take();
        let sub_bytes = sub.as_ref().map_or(0, |tape| size_of::<Tape<T>>() + tape.bytes());
        self.sub_tape.set(sub);
        entries + adjoints + var_bytes + sub_bytes
    }

    /// A variable with the given value whose derivative with respect to each listed variable is stated: a
    /// hand-written derivative, or a whole statement reduced to its local gradient.
    ///
    /// `k` variables cost `k - 1` entries, whatever the work that `value` took.
    ///
    /// ```
    /// use gradus_num::Tape;
    /// let tape = Tape::new();
    /// let (x, y) = (tape.var(3.0), tape.var(4.0));
    /// let r = tape.custom(5.0, &[(x, 0.6), (y, 0.8)]); // hypot
    /// assert_eq!(tape.pullback(r).wrt(y), 0.8);
    /// ```
    pub fn custom<'t>(&'t self, value: T, partials: &[(Var<'t, T>, T)]) -> Var<'t, T> {
        let mut sum = Var::from_parts(T::from_f64(0.0), None, CONSTANT, T::from_f64(0.0));
        for &(var, partial) in partials {
            sum = sum.scaled_sum(T::from_f64(1.0), &var, partial, value);
        }
        sum.with_value(value)
    }

    /// An empty buffer of variables, with the memory that [`give_vars`](Tape::give_vars) brought back.
    pub(crate) fn take_vars(&self) -> Vec<Var<'_, T>> {
        relabel(self.spare_vars.take())
    }

    /// Keeps the buffer's memory for the next [`take_vars`](Tape::take_vars).
    pub(crate) fn give_vars(&self, vars: Vec<Var<'_, T>>) {
        self.spare_vars.set(relabel(vars));
    }

    #[inline(always)]
    fn push(&self, entry: Entry<T>) -> u32 {
        // SAFETY: the tape is not `Sync`, `T` is `Copy` and already computed, and nothing below runs code of
        // the user: no other reference into the vector exists while this one does.
        let entries = unsafe { &mut *self.entries.get() };
        let node = entries.len();
        if node == entries.capacity() {
            grow(entries);
        }
        // SAFETY: the tape had capacity for one more entry, or `grow` reserved it.
        unsafe {
            entries.as_mut_ptr().add(node).write(entry);
            entries.set_len(node + 1);
        }
        node as u32
    }

    /// [`push`](Tape::push) of an entry with weights, which are checked.
    #[inline(always)]
    fn join(&self, entry: Entry<T>) -> u32 {
        if !(entry.da.parts_finite() & entry.db.parts_finite()) {
            self.note_singular();
        }
        self.push(entry)
    }

    #[cold]
    fn note_singular(&self) {
        self.singular.set(true);
    }

    /// Whether an entry selects lane by lane.
    pub(crate) fn is_blended(&self) -> bool {
        self.blended.get()
    }

    fn node_count(&self) -> usize {
        // SAFETY: as in `bytes`.
        unsafe { &*self.entries.get() }.len()
    }
}

/// A variable's layout without its lifetime, so that an empty buffer of variables can outlive a recording.
struct Slot<T> {
    _value: T,
    _weight: T,
    _node: u32,
    _tape: Option<&'static u8>,
}

/// The memory of one vector as an empty vector of another type of the same layout. (Collecting in place
/// keeps the allocation; were it not to, this would still be correct, and a test counts.)
fn relabel<A, B>(mut from: Vec<A>) -> Vec<B> {
    from.clear();
    from.into_iter().map_while(|_| None).collect()
}

/// Entry 0, which stands for all constants.
fn sink<T: Real>() -> Entry<T> {
    Entry { a: CONSTANT, b: CONSTANT, da: T::from_f64(0.0), db: T::from_f64(0.0) }
}

#[cold]
#[inline(never)]
fn grow<T>(entries: &mut Vec<Entry<T>>) {
    assert!(
        entries.len() < u32::MAX as usize,
        "the tape is full: it holds at most 2^32 - 1 entries; checkpoint the loop, or preaccumulate its body"
    );
    let left = (u32::MAX as usize).saturating_sub(entries.len());
    entries.reserve_exact(entries.len().max(1024).min(left));
}

impl<T: Real> core::fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tape").field("entries", &self.len()).field("bytes", &self.bytes()).finish()
    }
}
