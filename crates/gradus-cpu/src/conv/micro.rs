//! The inner kernel of every convolution: a product whose left operand is read through offsets.
//!
//! `C[r, o] (+)= Σ_k X[row(r) + inner(k)] · B[k, o]`. Patches of an image are such a matrix, so they are never written
//! down: the row says which result (or which tap) is meant, the inner index which tap of which channel (or which place
//! of which example). B is packed in panels of [`Micro::width`] columns, and a tile of C stays in registers while the
//! inner dimension runs.

use crate::vmath::Level;

/// Lanes of one register.
trait Vector: Copy {
    type Element: Copy;
    const LANES: usize;
    /// # Safety
    /// The processor has the instruction set, and pointers are valid for the lanes read or written.
    unsafe fn zero() -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn load(from: *const Self::Element) -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn store(self, to: *mut Self::Element);
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn splat(from: *const Self::Element) -> Self;
    /// `self + a · b`
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn add(self, other: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($type:ident $element:ident $lanes:literal $zero:ident $load:ident $store:ident $splat:ident $fma:ident $add:ident) => {
        impl Vector for std::arch::x86_64::$type {
            type Element = $element;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller's promise, here and below.
                unsafe { std::arch::x86_64::$zero() }
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$store(to, self) }
            }
            #[inline(always)]
            unsafe fn splat(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$splat(*from) }
            }
            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$fma(a, b, self) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$add(self, other) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector!(__m512 f32 16 _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps);
#[cfg(target_arch = "x86_64")]
vector!(__m512d f64 8 _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_fmadd_pd _mm512_add_pd);
#[cfg(target_arch = "x86_64")]
vector!(__m256 f32 8 _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps);
#[cfg(target_arch = "x86_64")]
vector!(__m256d f64 4 _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_fmadd_pd _mm256_add_pd);

/// A register of 128 bits, of which the compiler makes what the architecture has.
#[derive(Clone, Copy)]
struct Plain<T, const N: usize>([T; N]);

macro_rules! plain {
    ($element:ident $lanes:literal) => {
        impl Vector for Plain<$element, $lanes> {
            type Element = $element;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Plain([0.0; $lanes])
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                Plain(unsafe { from.cast::<[$element; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[$element; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn splat(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                Plain([unsafe { *from }; $lanes])
            }
            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                let term = |i: usize| {
                    if cfg!(target_arch = "aarch64") {
                        a.0[i].mul_add(b.0[i], self.0[i])
                    } else {
                        a.0[i] * b.0[i] + self.0[i]
                    }
                };
                Plain(std::array::from_fn(term))
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Plain(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
        }
    };
}
plain!(f32 4);
plain!(f64 2);

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
    /// Whether results are added to what is there.
    pub(super) add: bool,
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
        let mut sums = [[V::zero(); C]; R];
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
                let to = task.to.add((row + r) * task.stride + c * V::LANES);
                let sum = if task.add { V::load(to).add(sums[r][c]) } else { sums[r][c] };
                sum.store(to);
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
    /// Runs a task.
    ///
    /// # Safety
    /// Every element that the task names is valid, results apart from operands and this call's own.
    unsafe fn multiply(task: &Task<'_, Self>);
}

macro_rules! micro {
    ($element:ident, $v512:ident, $v256:ident, $lanes:literal) => {
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
        tiles!(Plain<$element, $lanes>, 6, [1 2 3 4 5 6], task)
            }

            impl Micro for $element {
                fn width() -> usize {
                    2 * $lanes
                        * match Level::current() {
                            Level::Avx512 => 4,
                            Level::Avx2 => 2,
                            Level::Baseline => 1,
                        }
                }
                unsafe fn multiply(task: &Task<'_, $element>) {
                    match Level::current() {
                        // SAFETY: the caller's promise; the processor has the features of the level.
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => unsafe { avx512(task) },
                        // SAFETY: as above.
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => unsafe { avx2(task) },
                        _ => baseline(task),
                    }
                }
            }
        };
    };
}
micro!(f32, __m512, __m256, 4);
micro!(f64, __m512d, __m256d, 2);
