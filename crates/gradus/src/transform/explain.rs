//! What a compiled function will do, before it runs.

use gradus_plan::Plan;

use super::jit::Jit;
use crate::trace::catch;
use crate::{Result, Tree};

impl<A: Tree, B: Tree, F: Fn(&A) -> B> Jit<A, B, F> {
    /// The plan for an argument like `x`: kernels, what is kept and why, memory over time. It explains itself in words, as
    /// JSON, and as a page.
    ///
    /// # Errors
    /// If a shape or dtype does not fit, or no plan stays within the budget of memory; the error names the smallest that
    /// would do.
    ///
    /// ```
    /// use gradus::{Tensor, grad, jit};
    /// let x = Tensor::ones([1000], gradus::DType::F32);
    /// let f = || jit(grad(|x: &Tensor| x.tanh().sum(())));
    /// assert!(f().try_plan(&x)?.planned_peak_bytes() >= 8000);
    /// assert!(f().memory_budget(100).try_plan(&x).unwrap_err().to_string().contains("the smallest"));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn try_plan(&self, x: &A) -> Result<Plan> {
        catch(|| Ok(self.compiled(x)?.program().plan().clone()))
    }
}
