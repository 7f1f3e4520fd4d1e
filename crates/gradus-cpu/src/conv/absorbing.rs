//! Convolutions in which some terms do not count, whatever their other factor: those of dead tangents in linear
//! programs, and in all programs those of padding, which the kernels multiply as zeros.
//!
//! Where an operand is not finite, its finite part is convolved, and the contribution of the rest is found by
//! convolutions of small integers: how many terms are not finite, and, if there are infinities, how many more of them
//! are above zero than below. Both are counts, so that any [algorithm](super::job) serves whose rounding keeps them
//! integers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gradus_core::memory::filled;

use super::nonfinite::{self, NonFinite, SLOW};
use super::reference::{any_term, linear_term};
use super::{Conv, Workspace};
use crate::Pool;
use crate::matmul::{self, Element, Linear};
use crate::memory::fail;
use crate::reduce::Shared;
use crate::vmath::Float;

/// Multiplications per element of the input from which on a scan of the operands costs comparatively nothing.
const MANY: usize = 256;

/// Results that are checked together for zeros.
const PART: usize = 256;

/// The largest rounding error, relative to the largest element of a plane, where the exact sum is zero.
const SMEARED: f64 = 1e-4;

/// Elements that several checks go through in turn.
const NEAR: usize = 2048;

/// Elements that a task looks at.
const GRAIN: usize = 1 << 16;

/// The numbers of terms up to which counts are exact under Winograd's rounding, and under that of plain sums.
const FEW_TERMS: usize = 1 << 15;
const COUNTED: usize = 1 << 24;

/// An operand: its elements from the first on.
#[derive(Clone, Copy)]
pub(crate) struct Elements<T> {
    pub at: Shared<T>,
    pub len: usize,
}

/// What an operand holds.
#[derive(Default)]
struct Seen {
    nan: AtomicBool,
    infinite: AtomicBool,
    zero: AtomicBool,
    dead: AtomicBool,
}

impl Seen {
    fn infinite(&self) -> bool {
        self.infinite.load(Ordering::Relaxed)
    }

    fn odd(&self) -> bool {
        self.nan.load(Ordering::Relaxed) || self.infinite()
    }
}

/// What a copy of an operand keeps of each element.
#[derive(Clone, Copy)]
enum Keep {
    /// What is finite.
    Finite,
    /// 1 for NaN and infinities.
    Odd,
    /// 1 for all.
    All,
    /// 1 for all but what is dead.
    Alive,
    /// 1 for all but zeros.
    Some,
    /// The sign of infinities.
    OddSign,
    /// The sign, 0 for NaN.
    Sign,
}

impl Keep {
    #[allow(clippy::eq_op)] // only NaN differs from itself
    fn of<T: Float + Element>(self, x: T) -> T {
        let (zero, one) = (<T as Element>::ZERO, <T as Element>::ONE);
        // Only what is finite is zero when taken from itself.
        let finite = x - x == zero;
        let truth = |is: bool| if is { one } else { zero };
        let sign = truth(x > zero) - truth(x < zero);
        match self {
            Keep::Finite => {
                if finite {
                    x
                } else {
                    zero
                }
            }
            Keep::Odd => truth(!finite),
            Keep::All => one,
            Keep::Alive => truth(!x.is_dead()),
            Keep::Some => truth(x != zero),
            Keep::OddSign => {
                if finite {
                    zero
                } else {
                    sign
                }
            }
            Keep::Sign => sign,
        }
    }
}

/// Convolves; returns the number of convolutions used.
///
/// # Safety
/// As for [`Conv::run_raw`]; the operands have these lengths, and the result has no gaps.
pub(crate) unsafe fn run<T: Float + Element>(
    conv: &Conv,
    pool: &Pool,
    [x, kernel]: [Elements<T>; 2],
    out: Elements<T>,
    workspace: Workspace,
    linear: Linear,
) -> usize {
    let Linear { tangents, marks } = linear;
    let once = |x: *const T, kernel: *const T, to: *mut T, exact: bool| {
        // SAFETY: the caller's promise, for copies as long as the operands.
        unsafe { conv.run_raw(pool, x, kernel, to, workspace, exact) }
    };
    let plainly = || once(x.at.0, kernel.at.0, out.at.0, false);
    // In a program that is not linear only the kernel can make terms of padding NaN: the shorter of the kernel and the
    // result is scanned.
    let first = match linear.applies() {
        true => conv.group_outputs() * conv.taps() < MANY,
        false => out.len < kernel.len,
    };
    if first {
        let done = plainly();
        let found = look(pool, out);
        if done || !found.nan.load(Ordering::Relaxed) {
            mark(
                conv,
                pool,
                [x, kernel],
                out,
                tangents,
                marks && (conv.smears::<T>() || found.zero.load(Ordering::Relaxed)),
            );
            return 1;
        }
    }
    let of_kernel = look(pool, kernel);
    // The kernels multiply the zeros of padding, too.
    let spoils = of_kernel.odd() && conv.has_holes();
    let seen = [if linear.applies() || spoils { look(pool, x) } else { Seen::default() }, of_kernel];
    let nothing = |i: usize| if tangents[i] { &seen[i].dead } else { &seen[i].zero }.load(Ordering::Relaxed);
    let some_terms = linear.applies() && (nothing(0) || nothing(1));
    let absorbed = seen.iter().any(Seen::odd) && some_terms || spoils;
    if !absorbed {
        if !first {
            plainly();
        }
        mark(conv, pool, [x, kernel], out, tangents, marks && some_terms);
        return 1;
    }
    // SAFETY: the caller's promise.
    let few = unsafe { NonFinite::find(conv, pool, [x, kernel], seen.each_ref().map(Seen::odd)) };
    if let Some(few) = few {
        // SAFETY: as above.
        let runs = unsafe { term_by_term(conv, pool, [x, kernel], out, tangents, &few, first, &once) };
        mark(conv, pool, [x, kernel], out, tangents, marks);
        return runs;
    }
    let counting = |i: usize| match (linear.applies(), tangents[i]) {
        (false, _) => Keep::All,
        (true, true) => Keep::Alive,
        (true, false) => Keep::Some,
    };
    let zeros = |n: usize| filled("conv", n, <T as Element>::ZERO).unwrap_or_else(|kind| fail(kind));
    let mut copies = [x.len, kernel.len].map(zeros);
    let mut runs = usize::from(first);
    let terms = conv.group_channels() * conv.taps();
    let mut convolve = |keep: [Keep; 2], to: *mut T| {
        for ((copy, from), keep) in copies.iter_mut().zip([x, kernel]).zip(keep) {
            fill(pool, Elements { at: Shared(copy.as_mut_ptr()), len: copy.len() }, from, keep);
        }
        runs += 1;
        let counts = !matches!(keep, [Keep::Finite, _]);
        once(copies[0].as_ptr(), copies[1].as_ptr(), to, counts && terms > FEW_TERMS);
    };
    // Over terms with an operand that is not finite.
    let mut count = |odd: Keep, others: [Keep; 2], there: [bool; 2]| {
        let mut sums = there.map(|there| zeros(if there { out.len } else { 0 }));
        for (i, keep) in
            [[odd, others[1]], [others[0], odd]].into_iter().enumerate().filter(|&(i, _)| there[i])
        {
            convolve(keep, sums[i].as_mut_ptr());
        }
        let [mut first, second] = sums;
        if !there[0] {
            return second;
        }
        first.iter_mut().zip(&second).for_each(|(sum, &more)| *sum = Element::add(*sum, more));
        first
    };
    let odd = count(Keep::Odd, [counting(0), counting(1)], seen.each_ref().map(Seen::odd));
    let infinite = seen.each_ref().map(Seen::infinite);
    let signs = infinite.contains(&true).then(|| count(Keep::OddSign, [Keep::Sign; 2], infinite));
    let half = T::from_f64(0.5);
    if odd.iter().any(|&count| count < half) {
        convolve([Keep::Finite; 2], out.at.0);
    }
    pool.run_ranges(out.len, GRAIN, &|range| {
        for i in range.filter(|&i| odd[i] >= half) {
            let value = match &signs {
                None => T::from_f64(f64::NAN),
                // SAFETY: the element is one of the result's.
                Some(_) if terms > COUNTED => unsafe {
                    linear_term(conv, x.at.at(0), kernel.at.at(0), conv.place_of(i), tangents)
                },
                Some(signs) if signs[i] > odd[i] - half => T::from_f64(f64::INFINITY),
                Some(signs) if -signs[i] > odd[i] - half => T::from_f64(f64::NEG_INFINITY),
                Some(_) => T::from_f64(f64::NAN),
            };
            // SAFETY: elements of the result, which belong to this task.
            unsafe { out.at.at(i).write(value) };
        }
    });
    mark(conv, pool, [x, kernel], out, tangents, marks);
    runs
}

/// Convolves the finite parts, unless the result holds that `already` where it is not NaN, and adds the other terms;
/// returns the number of convolutions.
///
/// # Safety
/// As for [`run`].
#[allow(clippy::too_many_arguments)]
unsafe fn term_by_term<T: Float + Element>(
    conv: &Conv,
    pool: &Pool,
    operands: [Elements<T>; 2],
    out: Elements<T>,
    tangents: [bool; 2],
    few: &NonFinite,
    already: bool,
    once: &dyn Fn(*const T, *const T, *mut T, bool) -> bool,
) -> usize {
    // SAFETY: the caller's promise.
    let kinds = unsafe { few.sums(conv, pool, operands, tangents) };
    let positions = conv.positions();
    let at = |i: usize| {
        let (plane, p) = (i / positions, i % positions);
        out.at.at(plane / conv.outputs * conv.out_strides[0] + plane % conv.outputs * conv.out_strides[1] + p)
    };
    // SAFETY: an element of the result, which is initialised if it is read.
    let missing = |i: usize| kinds[i] == 0 && (!already || unsafe { (*at(i)).is_nan() });
    let terms = (conv.group_channels() * conv.taps()) as f64;
    let count = AtomicUsize::new(0);
    pool.run_ranges(kinds.len(), GRAIN, &|range| {
        count.fetch_add(range.filter(|&i| missing(i)).count(), Ordering::Relaxed);
    });
    let again = count.into_inner() as f64 * terms * SLOW > conv.flops() / 2.0;
    if again {
        let mut copies = [Vec::new(), Vec::new()];
        let [x, kernel] = std::array::from_fn(|i| {
            if !few.holds(i) {
                return operands[i].at.0.cast_const();
            }
            let zeros = filled("conv", operands[i].len, <T as Element>::ZERO);
            copies[i] = zeros.unwrap_or_else(|kind| fail(kind));
            let to = Elements { at: Shared(copies[i].as_mut_ptr()), len: operands[i].len };
            fill(pool, to, operands[i], Keep::Finite);
            to.at.0.cast_const()
        });
        once(x, kernel, out.at.0, false);
    }
    pool.run_ranges(kinds.len(), GRAIN, &|range| {
        for i in range {
            // SAFETY: an element of the result, which belongs to this task.
            unsafe {
                match kinds[i] {
                    0 if !again && missing(i) => {
                        let place =
                            [i / positions / conv.outputs, i / positions % conv.outputs, i % positions];
                        *at(i) = linear_term(conv, operands[0].at.0, operands[1].at.0, place, tangents);
                    }
                    0 => {}
                    kinds if again => *at(i) = *at(i) + nonfinite::sum(kinds),
                    // What is not NaN has all its terms.
                    _ if already && !(*at(i)).is_nan() => {}
                    kinds => *at(i) = nonfinite::sum(kinds),
                }
            }
        }
    });
    usize::from(already) + usize::from(again)
}

/// Marks results of which no term counts as dead. Only results that may be zero are checked, and mostly it is the first term that
/// counts.
fn mark<T: Float + Element>(
    conv: &Conv,
    pool: &Pool,
    [x, kernel]: [Elements<T>; 2],
    out: Elements<T>,
    tangents: [bool; 2],
    marks: bool,
) {
    if !marks {
        return;
    }
    let smears = conv.smears::<T>();
    let part = if smears { conv.positions() } else { PART };
    pool.run_ranges(out.len.div_ceil(part), (GRAIN / part).max(1), &|range| {
        for from in range.map(|k| k * part) {
            let n = part.min(out.len - from);
            // SAFETY: elements of the result, which belong to this task.
            let results = unsafe { std::slice::from_raw_parts_mut(out.at.at(from), n) };
            let most = if smears {
                results
                    .iter()
                    .fold(<T as Element>::ZERO, |most, x| if x.abs() > most { x.abs() } else { most })
            } else {
                <T as Element>::ZERO
            };
            let most = most * T::from_f64(SMEARED);
            // SAFETY: as above.
            if !smears && !unsafe { matmul::look(matmul::Look::Zero, [1, n], (out.at.at(from), 0, 1)) } {
                continue;
            }
            for (i, to) in results.iter_mut().enumerate() {
                if to.abs() > most {
                    continue;
                }
                // SAFETY: the operands that the results were made from.
                let counts =
                    unsafe { any_term(conv, x.at.at(0), kernel.at.at(0), conv.place_of(from + i), tangents) };
                if !counts {
                    *to = T::DEAD;
                }
            }
        }
    });
}

/// What an operand holds.
fn look<T: Float + Element>(pool: &Pool, x: Elements<T>) -> Seen {
    let seen = Seen::default();
    pool.run_ranges(x.len, GRAIN, &|range| {
        // One check after another, on elements that stay in a cache.
        for from in range.clone().step_by(NEAR) {
            let part = [1, NEAR.min(range.end - from)];
            let asked = [
                (&seen.nan, matmul::Look::Nan),
                (&seen.infinite, matmul::Look::Infinite),
                (&seen.zero, matmul::Look::Zero),
                (&seen.dead, matmul::Look::Dead),
            ];
            for (seen, what) in asked.into_iter().filter(|(seen, _)| !seen.load(Ordering::Relaxed)) {
                // SAFETY: elements of the operand.
                if unsafe { matmul::look(what, part, (x.at.at(from), 0, 1)) } {
                    seen.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    seen
}

/// Copies what is to be kept of an operand.
fn fill<T: Float + Element>(pool: &Pool, to: Elements<T>, from: Elements<T>, keep: Keep) {
    pool.run_ranges(to.len, GRAIN, &|range| {
        for i in range {
            // SAFETY: elements of the operand, and those of the copy that belong to this task.
            unsafe { to.at.at(i).write(keep.of(*from.at.at(i))) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Line;

    /// Small numbers of both signs, `zeros` among them, and some of `odd` at about every `rare`-th place.
    fn drawn(n: usize, seed: u64, rare: u64, odd: &[f32], zeros: bool) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let finite =
            if zeros { [0.0, 1.5, -0.25, f32::DEAD, -1.0, 0.5] } else { [2.0, 1.5, -0.25, -0.5, -1.0, 0.5] };
        (0..n)
            .map(|_| {
                let (which, value) = (next() % rare, next() as usize);
                if which == 0 && !odd.is_empty() { odd[value % odd.len()] } else { finite[value % 6] }
            })
            .collect()
    }

    /// Convolves, checks every result against the definition, and gives the number of convolutions that took.
    fn check(conv: &Conv, x: &[f32], kernel: &[f32], tangents: [bool; 2]) -> usize {
        let results = conv.results();
        let mut lines = vec![Line::ZERO; conv.workspace_sizes::<f32>().workspace.div_ceil(size_of::<Line>())];
        let mut out = vec![0f32; results];
        let of = |x: &[f32]| Elements { at: Shared(x.as_ptr().cast_mut()), len: x.len() };
        let to = Elements { at: Shared(out.as_mut_ptr()), len: results };
        // SAFETY: the operands are as long as the convolution reads, and there is a workspace of the size it asks for.
        let runs = unsafe {
            let workspace = Workspace::new(lines.as_mut_ptr().cast(), size_of_val(&*lines));
            let marks = tangents != [false; 2];
            run(conv, Pool::global(), [of(x), of(kernel)], to, workspace, Linear { tangents, marks })
        };
        for (i, &got) in out.iter().enumerate() {
            // SAFETY: as above.
            let (wanted, alive) = unsafe {
                let (x, kernel, place) = (x.as_ptr(), kernel.as_ptr(), conv.place_of(i));
                let alive = tangents == [false; 2] || any_term(conv, x, kernel, place, tangents);
                (linear_term(conv, x, kernel, place, tangents), alive)
            };
            assert_eq!(got.to_bits() == f32::DEAD.to_bits(), !alive, "{conv:?} at {i}");
            let close = (got - wanted).abs() < 1e-3 || got == wanted || (got.is_nan() && wanted.is_nan());
            assert!(close, "{conv:?} at {i}: {got} for {wanted}");
        }
        runs
    }

    fn convolutions() -> Vec<(Conv, usize, usize)> {
        let make = |batch, inputs, outputs, side: usize, kernel: usize, stride: usize, groups: usize| {
            let half = (kernel / 2) as isize;
            let conv = Conv::new(batch, inputs, outputs, &[side, side], &[kernel, kernel])
                .and_then(|conv| conv.stride(&[stride, stride]))
                .and_then(|conv| conv.padding(&[half, half], &[half, half]))
                .and_then(|conv| conv.groups(groups, 1))
                .expect("a convolution");
            (conv, batch * inputs * side * side, outputs * inputs / groups * kernel * kernel)
        };
        let mut all = vec![
            make(2, 33, 40, 12, 3, 1, 1),
            make(3, 5, 64, 9, 3, 2, 1),
            make(2, 16, 24, 9, 1, 1, 1),
            make(2, 16, 16, 9, 3, 1, 16),
            make(2, 6, 8, 9, 5, 1, 2),
        ];
        // An input gradient, whose input is dilated, and a kernel's gradient, of few results.
        let spread = Conv::new(2, 8, 6, &[5, 5], &[3, 3])
            .and_then(|conv| conv.padding(&[1, 1], &[1, 1]))
            .and_then(|conv| conv.dilation(&[2, 2], &[1, 1]));
        all.push((spread.expect("a convolution"), 2 * 8 * 25, 6 * 8 * 9));
        let weights = Conv::new(3, 4, 5, &[10, 10], &[8, 8]).expect("a convolution");
        all.push((weights, 3 * 4 * 100, 5 * 4 * 64));
        all
    }

    #[test]
    fn dead_terms_do_not_count_on_every_path_and_few_convolutions_do() {
        let (nan, up, down) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        for (conv, x, kernel) in convolutions() {
            for (rare, zeros) in [(1, true), (7, true), (400, true), (7, false), (400, false)] {
                // What the input holds, what the kernel holds, and the most convolutions that takes.
                let cases: [(&[f32], &[f32], usize); 6] = [
                    (&[], &[], 1),
                    (&[nan], &[], 3),
                    (&[], &[nan], 3),
                    (&[up], &[], 4),
                    (&[], &[up, down, nan], 4),
                    (&[nan, down, up], &[nan, up], 6),
                ];
                for (in_x, in_kernel, most) in cases {
                    let x = drawn(x, 1, rare, in_x, zeros);
                    let kernel = drawn(kernel, 2, rare, in_kernel, zeros);
                    for tangents in [[true, false], [false, true], [true, true]] {
                        let runs = check(&conv, &x, &kernel, tangents);
                        assert!(
                            runs <= most,
                            "{conv:?} with {in_x:?} and {in_kernel:?}: {runs} convolutions"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_of_its_neighbours_is_left_where_all_terms_are_dead() {
        let (conv, x, kernel) = convolutions().swap_remove(0);
        assert!(conv.smears::<f32>());
        let mut x = drawn(x, 1, 7, &[], false);
        x.iter_mut().enumerate().filter(|(i, _)| i % 12 > 4).for_each(|(_, x)| *x = f32::DEAD);
        check(&conv, &x, &drawn(kernel, 2, 7, &[], false), [true, false]);
    }

    #[test]
    fn padding_has_no_terms_in_programs_that_are_not_linear() {
        let (nan, up, down) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        for (conv, x, kernel) in convolutions() {
            for (rare, zeros) in [(7, true), (400, false)] {
                for in_x in [&[][..], &[nan, up]] {
                    for in_kernel in [&[nan][..], &[up], &[up, down, nan]] {
                        let x = drawn(x, 1, rare, in_x, zeros);
                        let kernel = drawn(kernel, 2, rare, in_kernel, zeros);
                        check(&conv, &x, &kernel, [false; 2]);
                    }
                }
                // Where the kernel is finite, nothing is done again.
                let x = drawn(x, 1, rare, &[], zeros);
                assert_eq!(check(&conv, &x, &drawn(kernel, 2, rare, &[], zeros), [false; 2]), 1);
            }
        }
    }

    #[test]
    fn where_nothing_is_dead_one_convolution_does() {
        let (conv, x, kernel) = convolutions().swap_remove(0);
        let mut x = vec![1.0; x];
        x[3] = f32::INFINITY;
        assert_eq!(check(&conv, &x, &vec![0.5; kernel], [true, false]), 1);
    }
}
