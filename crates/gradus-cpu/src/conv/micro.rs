//! The inner kernel of every convolution: a product whose left operand is read through offsets.
//!
//! `C[r, o] (+)= Σ_k X[row(r) + inner(k)] · B[k, o]`. Patches of an image are such a matrix, so they are never written
//! down: the row says which result (or which tap) is meant, the inner index which tap of which channel (or which place
//! of which example). B is packed in panels of [`Micro::width`] columns, and a tile of C stays in registers while the
//! inner dimension runs.
//!
//! Invariant: every `row + inner` is the place of an element; B has whole panels.

use crate::matmul::Sum;
use crate::vector::{Doubles, Singles, Vector};
use crate::vmath::InstructionSet;

/// What one call of the kernel works on.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Task<'a, T> {
    /// Where the left operand begins.
    pub(super) x: *const T,
    /// Offsets of the rows.
    pub(super) rows: &'a [u32],
    /// Offsets of the inner dimension.
    pub(super) inner: &'a [u32],
    /// A panel of B: a row of [`Micro::width`] columns for each inner index.
    pub(super) b: *const T,
    /// Whether only the first half of the panel's columns is wanted.
    pub(super) half: bool,
    /// Rows of results, `stride` apart.
    pub(super) to: *mut T,
    pub(super) stride: usize,
    pub(super) sum: Sum,
}

impl<'a, T> Task<'a, T> {
    /// `x` read at `rows` and `inner` times the panel `b` (of which only the first half may be wanted), in rows `stride`
    /// apart from `to` on.
    pub(crate) fn new(
        (x, rows, inner): (*const T, &'a [u32], &'a [u32]),
        (b, half): (*const T, bool),
        (to, stride, sum): (*mut T, usize, Sum),
    ) -> Self {
        Task { x, rows, inner, b, half, to, stride, sum }
    }
}

/// A tile of `R` rows and `C` registers.
///
/// # Safety
/// The processor has the vector's instruction set; `task` reaches only valid elements, and has `R` rows from `row`.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize>(task: &Task<'_, V::Element>, row: usize) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promise.
    unsafe {
        let rows: [*const V::Element; R] =
            std::array::from_fn(|r| task.x.add(*task.rows.get_unchecked(row + r) as usize));
        let to = |r: usize, c: usize| task.to.add((row + r) * task.stride + c * V::LANES);
        let mut sums = [[V::zero(); C]; R];
        if task.sum == Sum::Continued {
            for r in 0..R {
                for c in 0..C {
                    sums[r][c] = V::load(to(r, c));
                }
            }
        }
        let mut b = task.b;
        for &at in task.inner {
            let right: [V; C] = std::array::from_fn(|c| V::load(b.add(c * V::LANES)));
            for r in 0..R {
                let left = V::splat(rows[r].add(at as usize));
                for c in 0..C {
                    sums[r][c] = sums[r][c].add_product(left, right[c]);
                }
            }
            b = b.add(width);
        }
        for r in 0..R {
            for c in 0..C {
                let added = task.sum == Sum::Added;
                let sum = if added { V::load(to(r, c)).add(sums[r][c]) } else { sums[r][c] };
                sum.store(to(r, c));
            }
        }
    }
}

/// All rows of a task, in tiles of at most so many rows and as equal as they come.
macro_rules! tiles {
    ($vector:ty, $most:literal, [$($rows:literal)*], $task:ident) => {{
        let rows = $task.rows.len();
        let tiles = rows.div_ceil($most);
        let mut row = 0;
        for i in 0..tiles {
            let here = rows / tiles + usize::from(i < rows % tiles);
            // SAFETY: the caller's promise; the tiles cover the rows once.
            unsafe {
                match (here, $task.half) {
                    $(($rows, false) => tile::<$vector, $rows, 2>($task, row),
                      ($rows, true) => tile::<$vector, $rows, 1>($task, row),)*
                    _ => unreachable!("a tile has 1 to {} rows", $most),
                }
            }
            row += here;
        }
    }};
}

/// The types that the kernel is compiled for.
#[doc(hidden)]
pub trait Micro: Sized {
    /// Columns of a panel.
    fn width() -> usize;
    /// Those of all instruction sets.
    fn widths() -> [usize; 3];
    /// Runs a task.
    ///
    /// # Safety
    /// Every element that the task names is valid, results apart from operands and this call's own.
    unsafe fn multiply(task: &Task<'_, Self>);
}

macro_rules! micro {
    ($element:ident, $v512:ident, $v256:ident, $v128:ident, $lanes:literal) => {
        const _: () = {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            unsafe fn avx512(task: &Task<'_, $element>) {
        tiles!(std::arch::x86_64::$v512, 8, [1 2 3 4 5 6 7 8], task)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2(task: &Task<'_, $element>) {
        tiles!(std::arch::x86_64::$v256, 6, [1 2 3 4 5 6], task)
            }

            fn baseline(task: &Task<'_, $element>) {
        tiles!($v128, 6, [1 2 3 4 5 6], task)
            }

            impl Micro for $element {
                fn width() -> usize {
                    2 * $lanes
                        * match InstructionSet::current() {
                            InstructionSet::Avx512 => 4,
                            InstructionSet::Avx2 => 2,
                            InstructionSet::Baseline => 1,
                        }
                }
                fn widths() -> [usize; 3] {
                    [1, 2, 4].map(|vectors| 2 * $lanes * vectors)
                }
                unsafe fn multiply(task: &Task<'_, $element>) {
                    match InstructionSet::current() {
                        // SAFETY: the caller's promise; the processor has the features of the level.
                        #[cfg(target_arch = "x86_64")]
                        InstructionSet::Avx512 => unsafe { avx512(task) },
                        // SAFETY: as above.
                        #[cfg(target_arch = "x86_64")]
                        InstructionSet::Avx2 => unsafe { avx2(task) },
                        _ => baseline(task),
                    }
                }
            }
        };
    };
}
micro!(f32, __m512, __m256, Singles, 4);
micro!(f64, __m512d, __m256d, Doubles, 2);
