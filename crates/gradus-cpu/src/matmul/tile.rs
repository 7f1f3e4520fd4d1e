//! The inner kernels: a tile of C in registers, and the transposition of squares.
//!
//! A tile has up to [`ROWS`] rows and a few registers of adjacent columns. While the inner dimension runs, a row of B is
//! loaded and each element of A, read where it lies, is multiplied with all of it. So A may have any strides, and B wants
//! its rows close together: the first tile of a panel can write what it reads of B one row behind the other, for the
//! tiles that follow.
//!
//! Invariant: a tile's rows of A and C and its registers of columns exist, or C is a tile beside it.

use crate::vector::{Doubles, Singles, Vector};
use crate::vmath::InstructionSet;

/// Rows of a tile at most.
pub(super) const ROWS: usize = 6;

/// Columns of a tile at most, on any instruction set.
pub(super) const COLUMNS: usize = 64;

/// What one call works on: `C = alpha A·B + beta C` for the rows and columns of a tile.
#[derive(Clone, Copy)]
pub struct Tile<T> {
    /// Length of the inner dimension.
    pub(super) depth: usize,
    /// The first element of A, the distance between rows, and between inner indices.
    pub(super) a: (*const T, isize, isize),
    /// The first row of B, and the distance to the next.
    pub(super) b: (*const T, isize),
    /// Where tiles that pack write the rows of B, one behind the other.
    pub(super) packed: *mut T,
    /// The first row of C, and the distance to the next.
    pub(super) c: (*mut T, isize),
    pub(super) alpha: T,
    /// C is not read when this is zero.
    pub(super) beta: T,
    /// Whether the sums begin with C instead: alpha is one and beta zero then.
    pub(super) continued: bool,
}

/// A kernel for one size of tile.
type Run<T> = unsafe fn(&Tile<T>);

/// The kernels for one instruction set.
pub struct Kernels<T: 'static> {
    /// Elements of a register.
    pub(super) lanes: usize,
    /// Registers of a tile's row at most.
    pub(super) registers: usize,
    /// For each number of registers, and of rows, the tile that only multiplies.
    multiply: &'static [[Run<T>; ROWS]],
    /// The same, packing B on the way.
    pack: &'static [[Run<T>; ROWS]],
    /// Moves `to[p · stride + i] = from[i · row + p]` for `m` times `k` elements, whole multiples of the lanes.
    pub(super) transpose: unsafe fn([usize; 2], (*const T, isize), (*mut T, usize)),
}

impl<T> Kernels<T> {
    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.lanes * self.registers
    }

    /// Runs the tile of so many rows and registers.
    ///
    /// # Safety
    /// The tile reaches only valid elements, those of C (and of the packed panel) apart from others and this call's own.
    pub(super) unsafe fn run(&self, rows: usize, registers: usize, pack: bool, tile: &Tile<T>) {
        let table = if pack { self.pack } else { self.multiply };
        // SAFETY: the caller's promise; the table belongs to an instruction set that the processor has.
        unsafe { table[registers - 1][rows - 1](tile) }
    }
}

/// A tile of `R` rows and `C` registers.
///
/// # Safety
/// The processor has the vector's instruction set; otherwise as for [`Kernels::run`].
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize, const PACK: bool>(t: &Tile<V::Element>)
where
    V::Element: PartialEq + From<i8>,
{
    let (row, step) = (t.a.1, t.a.2);
    // SAFETY: the caller's promise.
    unsafe {
        let to = |r: usize, c: usize| t.c.0.offset(r as isize * t.c.1).add(c * V::LANES);
        let mut sums = [[V::zero(); C]; R];
        if t.continued {
            for r in 0..R {
                for c in 0..C {
                    sums[r][c] = V::load(to(r, c));
                }
            }
        }
        let (mut a, mut b, mut packed) = (t.a.0, t.b.0, t.packed);
        for _ in 0..t.depth {
            let right: [V; C] = std::array::from_fn(|c| V::load(b.add(c * V::LANES)));
            if PACK {
                for c in 0..C {
                    right[c].store(packed.add(c * V::LANES));
                }
                packed = packed.add(C * V::LANES);
            }
            for r in 0..R {
                let left = V::splat(a.offset(r as isize * row));
                for c in 0..C {
                    sums[r][c] = sums[r][c].add_product(left, right[c]);
                }
            }
            a = a.wrapping_offset(step);
            b = b.wrapping_offset(t.b.1);
        }
        let (zero, one) = (V::Element::from(0), V::Element::from(1));
        if t.alpha != one {
            let alpha = V::splat(&t.alpha);
            sums.iter_mut().flatten().for_each(|sum| *sum = sum.mul(alpha));
        }
        if t.beta != zero {
            let beta = V::splat(&t.beta);
            for r in 0..R {
                for c in 0..C {
                    sums[r][c] = V::load(to(r, c)).mul(beta).add(sums[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                sums[r][c].store(to(r, c));
            }
        }
    }
}

/// Transposes squares of `N` by `N` lanes.
///
/// # Safety
/// The processor has the vector's instruction set, which has `N` lanes; both ends are valid.
#[inline(always)]
unsafe fn squares<V: Vector, const N: usize>(
    [m, k]: [usize; 2],
    (from, row): (*const V::Element, isize),
    (to, stride): (*mut V::Element, usize),
) {
    for i in (0..m).step_by(N) {
        for p in (0..k).step_by(N) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut rows: [V; N] =
                    std::array::from_fn(|r| V::load(from.offset((i + r) as isize * row).add(p)));
                // Rows of one half interleaved with those of the other, as often as the lanes can be halved.
                for _ in 0..N.ilog2() {
                    let mut next = rows;
                    for r in 0..N / 2 {
                        (next[2 * r], next[2 * r + 1]) = rows[r].interleave(rows[r + N / 2]);
                    }
                    rows = next;
                }
                for (r, row) in rows.iter().enumerate() {
                    row.store(to.add((p + r) * stride + i));
                }
            }
        }
    }
}

/// The types that the kernels are compiled for.
pub trait Floating: Copy + 'static {
    /// The kernels for this machine.
    fn kernels() -> &'static Kernels<Self>;
}

/// The kernels of a vector type, as functions with the target's features.
macro_rules! kernels {
    ($name:ident $element:ident $vector:ty, $lanes:literal, [$($registers:literal)*] $(, $features:literal)?) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $features)])?
            unsafe fn run<const R: usize, const C: usize, const PACK: bool>(t: &Tile<$element>) {
                // SAFETY: the caller's promise.
                unsafe { tile::<$vector, R, C, PACK>(t) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn transpose(size: [usize; 2], from: (*const $element, isize), to: (*mut $element, usize)) {
                // SAFETY: the caller's promise.
                unsafe { squares::<$vector, $lanes>(size, from, to) }
            }

            const fn rows<const C: usize, const PACK: bool>() -> [Run<$element>; ROWS] {
                [run::<1, C, PACK>, run::<2, C, PACK>, run::<3, C, PACK>, run::<4, C, PACK>, run::<5, C, PACK>,
                    run::<6, C, PACK>]
            }

            pub(super) static KERNELS: Kernels<$element> = Kernels {
                lanes: $lanes,
                registers: [$($registers),*].len(),
                multiply: &[$(rows::<$registers, false>()),*],
                pack: &[$(rows::<$registers, true>()),*],
                transpose,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(single512 f32 std::arch::x86_64::__m512, 16, [1 2 3 4], "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
kernels!(double512 f64 std::arch::x86_64::__m512d, 8, [1 2 3 4], "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
kernels!(single256 f32 std::arch::x86_64::__m256, 8, [1 2], "avx2,fma");
#[cfg(target_arch = "x86_64")]
kernels!(double256 f64 std::arch::x86_64::__m256d, 4, [1 2], "avx2,fma");
// Half as many registers as elsewhere.
#[cfg(target_arch = "x86_64")]
kernels!(single f32 Singles, 4, [1 2]);
#[cfg(target_arch = "x86_64")]
kernels!(double f64 Doubles, 2, [1 2]);
#[cfg(not(target_arch = "x86_64"))]
kernels!(single f32 Singles, 4, [1 2 3 4]);
#[cfg(not(target_arch = "x86_64"))]
kernels!(double f64 Doubles, 2, [1 2 3 4]);

macro_rules! floating {
    ($element:ident $wide:ident $narrow:ident $plain:ident) => {
        impl Floating for $element {
            fn kernels() -> &'static Kernels<$element> {
                match InstructionSet::current() {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => &$wide::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => &$narrow::KERNELS,
                    _ => &$plain::KERNELS,
                }
            }
        }
    };
}
floating!(f32 single512 single256 single);
floating!(f64 double512 double256 double);
