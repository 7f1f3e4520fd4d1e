//! The closed set of chunk widths, and the buffers of each.

use std::vec::Vec;

use crate::dual::{Tracked, Unguarded};
use crate::{Dual, Tape};

/// How many tangents one pass can carry.
pub(crate) const WIDTHS: [usize; 5] = [1, 2, 4, 8, 16];

/// How many tangents one second-order pass can carry: fewer widths, since each compiles the function at a number type of
/// many parts.
pub(crate) const SECOND_ORDER_WIDTHS: [usize; 3] = [1, 4, 8];

/// Evaluates `$body` with the constant `$W` set to the given width, which is one of [`WIDTHS`].
macro_rules! at_width {
    ($width:expr, $W:ident, $body:expr) => {
        match $width {
            1 => {
                const $W: usize = 1;
                $body
            }
            2 => {
                const $W: usize = 2;
                $body
            }
            4 => {
                const $W: usize = 4;
                $body
            }
            8 => {
                const $W: usize = 8;
                $body
            }
            _ => {
                const $W: usize = 16;
                $body
            }
        }
    };
}
pub(crate) use at_width;

/// Evaluates `$body` with the constant `$W` set to the given width, which is one of [`SECOND_ORDER_WIDTHS`].
macro_rules! at_second_order_width {
    ($width:expr, $W:ident, $body:expr) => {
        match $width {
            1 => {
                const $W: usize = 1;
                $body
            }
            4 => {
                const $W: usize = 4;
                $body
            }
            _ => {
                const $W: usize = 8;
                $body
            }
        }
    };
}
pub(crate) use at_second_order_width;

/// A number of the second order.
pub(crate) type Nested<T, const W: usize> = Dual<Dual<T, 1>, W>;

/// What a driver keeps for one width.
#[derive(Default)]
pub(crate) struct Buffers<const W: usize> {
    /// First order: inputs with unit tangents, and outputs behind them.
    pub unguarded: Vec<Dual<Unguarded, W>>,
    /// First order: inputs with any tangents, and outputs behind them.
    pub aimed: Vec<Dual<Unguarded, W>>,
    /// First order where a tangent came out NaN.
    pub tracked: Vec<Dual<Tracked, W>>,
    /// Second order, forward over forward.
    pub second: Vec<Nested<Unguarded, W>>,
    /// The same where a derivative came out NaN.
    pub second_tracked: Vec<Nested<Tracked, W>>,
    /// Second order, forward over reverse, with the first order's inputs.
    pub tape: Tape<Dual<Unguarded, W>>,
    /// The same where a derivative came out NaN.
    pub tape_tracked: Tape<Dual<Tracked, W>>,
    /// Adjoints of several rows at once.
    pub adjoints: Vec<[f64; W]>,
}

/// The buffers of every width; those never used stay empty.
#[derive(Default)]
pub(crate) struct Lanes {
    w1: Buffers<1>,
    w2: Buffers<2>,
    w4: Buffers<4>,
    w8: Buffers<8>,
    w16: Buffers<16>,
}

/// Finds the buffers of a width.
pub(crate) trait Slot<const W: usize> {
    fn slot(&mut self) -> &mut Buffers<W>;
}

macro_rules! slots {
    ($($width:literal $field:ident)*) => {$(
        impl Slot<$width> for Lanes {
            fn slot(&mut self) -> &mut Buffers<$width> {
                &mut self.$field
            }
        }
    )*};
}
slots!(1 w1 2 w2 4 w4 8 w8 16 w16);
