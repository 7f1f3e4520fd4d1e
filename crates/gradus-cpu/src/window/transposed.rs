//! The transposes of pooling: cotangents of windows go back to the elements.
//!
//! Invariant: a task writes the planes of its own; elements of windows are those inside the plane.

use super::{Window, WindowError};
use crate::Pool;
use crate::reduce::{Shared, expect_len};
use crate::vmath::Float;

impl Window {
    /// The transpose of [`sum`](Window::sum): each cotangent is added to every element of its window.
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn sum_transposed<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        out: &mut [T],
    ) -> Result<(), WindowError> {
        self.scatter(pool, planes, cotangent, out, &|result, i, plane| {
            for (_, at) in self.elements(i) {
                plane[at] = plane[at] + cotangent[result];
            }
        })
    }

    /// The transpose of [`max`](Window::max) at recorded taps: each cotangent goes to the element it came from.
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn max_transposed<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        taps: &[u16],
        out: &mut [T],
    ) -> Result<(), WindowError> {
        expect_len("the indices of a pooling", taps.len(), cotangent.len())?;
        let output = self.output()?;
        self.scatter(pool, planes, cotangent, out, &|result, i, plane| {
            let place = [i / output[2] / output[1], i / output[2] % output[1], i % output[2]];
            if let Some(at) = self.place_of(place, taps[result] as usize) {
                plane[at] = plane[at] + cotangent[result];
            }
        })
    }

    /// Calls `f(result, result in its plane, plane)` for every result, plane by plane, on planes of zeros.
    fn scatter<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        out: &mut [T],
        f: &(dyn Fn(usize, usize, &mut [T]) + Sync),
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        expect_len("the cotangent of a pooling", cotangent.len(), results)?;
        expect_len("the input cotangent of a pooling", out.len(), inputs)?;
        if inputs == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let out = Shared(out.as_mut_ptr());
        pool.run_ranges(planes, (super::run::GRAIN / plane.max(1)).max(1), &|range| {
            for p in range {
                // SAFETY: plane `p` of the output belongs to this task alone.
                let to = unsafe { std::slice::from_raw_parts_mut(out.at(p * plane), plane) };
                to.fill(T::ZERO);
                for i in 0..result {
                    f(p * result + i, i, to);
                }
            }
        });
        Ok(())
    }
}
