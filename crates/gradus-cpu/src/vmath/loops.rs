//! The loops: blocks of a fixed number of elements, read, computed and written.
//!
//! A block is computed into a local array, so the output may be the input, and the compiler vectorises without
//! asking whether they overlap. The last block is filled up: its elements go through the same instructions as all
//! others, so a result never depends on where an element stands.
//!
//! Invariant: whole blocks are read and written in place, the last one through a block beside it: no element beyond
//! `n` is touched.

/// Elements in a block: one or two vectors, several blocks being in flight at once.
pub(crate) const WIDTH: usize = 16;

/// A source of elements: a place to read from, or one element for all.
pub(crate) trait Source<T>: Copy {
    /// The elements from `start`, `len` of them in a whole or partial block.
    ///
    /// # Safety
    /// The elements are valid for reads.
    unsafe fn block(self, start: usize, len: usize) -> [T; WIDTH];
}

#[derive(Clone, Copy)]
pub(crate) struct Many<T>(pub *const T);

/// Elements at a pointer that moves along with the result, or stays: a block that is the same for all.
#[derive(Clone, Copy)]
pub(crate) struct Along<T> {
    pub from: *const T,
    /// 1 or 0.
    pub moves: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct One<T>(pub T);

impl<T: Copy + Default> Source<T> for Many<T> {
    #[inline(always)]
    unsafe fn block(self, start: usize, len: usize) -> [T; WIDTH] {
        let mut block = [T::default(); WIDTH];
        // SAFETY: the caller's promise; `len <= WIDTH`.
        unsafe {
            if len == WIDTH {
                std::ptr::copy_nonoverlapping(self.0.add(start), block.as_mut_ptr(), WIDTH);
            } else {
                for j in 0..len {
                    block[j] = *self.0.add(start + j);
                }
            }
        }
        block
    }
}

impl<T: Copy + Default> Source<T> for Along<T> {
    #[inline(always)]
    unsafe fn block(self, start: usize, len: usize) -> [T; WIDTH] {
        // SAFETY: the caller's promise, for the elements or for the one block.
        unsafe { Many(self.from.wrapping_add(start * self.moves)).block(0, len) }
    }
}

impl<T: Copy> Source<T> for One<T> {
    #[inline(always)]
    unsafe fn block(self, _: usize, _: usize) -> [T; WIDTH] {
        [self.0; WIDTH]
    }
}

/// Writes the first `len` elements of a block.
///
/// # Safety
/// They are valid for writes.
#[inline(always)]
pub(crate) unsafe fn store<T: Copy>(out: *mut T, block: &[T; WIDTH], len: usize) {
    // SAFETY: the caller's promise; `len <= WIDTH`.
    unsafe {
        if len == WIDTH {
            std::ptr::copy_nonoverlapping(block.as_ptr(), out, WIDTH);
        } else {
            for j in 0..len {
                *out.add(j) = block[j];
            }
        }
    }
}

/// Keeps the compiler from vectorising across blocks: it would gather the first elements of sixteen blocks, then the
/// second ones, at many times the cost.
#[inline(always)]
pub(crate) fn keep_blocks() {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: no instructions at all.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags))
    }
}

/// `out[i] = expr(sources[i])`, block by block; with `far`, elements for which the condition holds are computed
/// again one by one.
macro_rules! each {
    ($n:expr, $out:expr, |$($v:ident: $source:ident),+| $body:expr $(, far $far:ident => $again:expr)?) => {{
        let whole = $n / WIDTH * WIDTH;
        let mut start = 0;
        while start < whole {
            each!(@block start, WIDTH, $out, ($($v: $source),+), $body $(, $far, $again)?);
            keep_blocks();
            start += WIDTH;
        }
        if start < $n {
            let len = $n - start;
            each!(@block start, len, $out, ($($v: $source),+), $body $(, $far, $again)?);
        }
    }};
    (@block $start:expr, $len:expr, $out:expr, ($($v:ident: $source:ident),+), $body:expr
        $(, $far:ident, $again:expr)?) => {{
        // SAFETY: `start + len <= n`, and the caller vouches for `n` elements.
        $(let $v = unsafe { Source::block($source, $start, $len) };)+
        let mut block = [Default::default(); WIDTH];
        for j in 0..WIDTH {
            $(let $v = $v[j];)+
            block[j] = $body;
        }
        $(
            let mut any = false;
            for j in 0..WIDTH {
                any |= $far[j].far();
            }
            if any {
                for j in 0..$len {
                    let $far = $far[j];
                    if $far.far() {
                        block[j] = $again;
                    }
                }
            }
        )?
        // SAFETY: as above.
        unsafe { store($out.add($start), &block, $len) };
    }};
}
pub(crate) use each;

/// `out = expr(sources)`, in the registers of elements of type `T` of an instruction set.
macro_rules! each_vector {
    ($T:ident, $I:ident, $n:expr, $out:expr, |$($v:ident: $source:ident),+| $body:expr) => {{
        let whole = $n / WIDTH * WIDTH;
        let mut start = 0;
        while start < $n {
            let len = if start < whole { WIDTH } else { $n - start };
            // SAFETY: `start + len <= n`, and the caller vouches for `n` elements.
            unsafe {
                $(let $v = if len == WIDTH {
                    Source::<$T>::block($source, start, WIDTH)
                } else {
                    Source::<$T>::block($source, start, len)
                };)+
                let mut block = [<$T>::ZERO; WIDTH];
                for k in (0..WIDTH).step_by(<$T as Float>::Vector::<$I>::LANES) {
                    $(let $v = <$T as Float>::Vector::<$I>::load($v.as_ptr().add(k));)+
                    Vector::store($body, block.as_mut_ptr().add(k));
                }
                if len == WIDTH {
                    store($out.add(start), &block, WIDTH);
                } else {
                    store($out.add(start), &block, len);
                }
            }
            keep_blocks();
            start += WIDTH;
        }
    }};
}
pub(crate) use each_vector;

/// `(first[i], second[i]) = expr(source[i])`, block by block; with `far` as for [`each!`]. Results may be written over the
/// source.
macro_rules! each_pair {
    ($n:expr, $first:expr, $second:expr, |$v:ident: $source:ident| $body:expr $(, far $far:ident => $again:expr)?) => {{
        let whole = $n / WIDTH * WIDTH;
        let mut start = 0;
        while start < whole {
            each_pair!(@block start, WIDTH, $first, $second, $v, $source, $body $(, $far, $again)?);
            keep_blocks();
            start += WIDTH;
        }
        if start < $n {
            let len = $n - start;
            each_pair!(@block start, len, $first, $second, $v, $source, $body $(, $far, $again)?);
        }
    }};
    (@block $start:expr, $len:expr, $first:expr, $second:expr, $v:ident, $source:ident, $body:expr
        $(, $far:ident, $again:expr)?) => {{
        // SAFETY: `start + len <= n`, and the caller vouches for `n` elements.
        let x = unsafe { Source::block($source, $start, $len) };
        let mut first = [Default::default(); WIDTH];
        let mut second = [Default::default(); WIDTH];
        for j in 0..WIDTH {
            let $v = x[j];
            (first[j], second[j]) = $body;
        }
        $(
            if x.iter().fold(false, |any, v| any | v.far()) {
                for j in 0..$len {
                    let $far = x[j];
                    if $far.far() {
                        (first[j], second[j]) = $again;
                    }
                }
            }
        )?
        // SAFETY: as above.
        unsafe {
            store($first.add($start), &first, $len);
            store($second.add($start), &second, $len);
        }
    }};
}
pub(crate) use each_pair;
