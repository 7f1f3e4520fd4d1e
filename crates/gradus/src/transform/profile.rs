//! A compiled function run with a clock beside it.

use gradus_core::ErrorKind;
use gradus_cpu::exec::{Executable, Profile};

use super::jit::Jit;
use crate::guard::catch;
use crate::trace::OrFail;
use crate::{Result, Tensor, Tree};

impl<A: Tree, B: Tree, F: Fn(&A) -> B> Jit<A, B, F> {
    /// What each kernel takes for an argument like `x`, beside what the machine can do: the function is run some times
    /// with a clock, about half a second in all, as [`call`](Jit::call) would run it. The result prints as a table;
    /// [`Profile::to_json`] and [`Profile::chrome_trace`] give it to other programs.
    ///
    /// ```
    /// use gradus::{Tensor, jit, value_and_grad};
    /// let f = jit(value_and_grad(|w: &Tensor| w.matmul(w).tanh().sum(())));
    /// let profile = f.profile(&Tensor::from([[1f32, 2.0], [3.0, 4.0]]));
    /// println!("{profile}");
    /// assert!(profile.kernels.iter().any(|k| k.is_product() && k.phase.is_backward()));
    /// ```
    ///
    /// # Panics
    /// Where the function would, and if `x` is being recorded by another transform.
    #[track_caller]
    pub fn profile(&self, x: &A) -> Profile {
        self.profiled(x, false).or_fail()
    }

    /// As [`profile`](Jit::profile), run as [`call_owned`](Jit::call_owned) would: each run is given copies of the tensors,
    /// made while its clock stands.
    ///
    /// # Panics
    /// As [`profile`](Jit::profile).
    #[track_caller]
    pub fn profile_owned(&self, x: &A) -> Profile {
        self.profiled(x, true).or_fail()
    }

    fn profiled(&self, x: &A, owned: bool) -> Result<Profile> {
        catch(|| {
            let compiled = self.compiled(x)?;
            let mut args = x.tensors();
            args.extend(compiled.captures().iter().cloned());
            let arrays = args.iter().map(|t| t.read("profile")).collect::<Result<Vec<_>>>()?;
            drop::<Vec<Tensor>>(args);
            let program = compiled.program();
            let Some(executable) = program.executable().as_any().downcast_ref::<Executable>() else {
                let detail = format!("the device `{}` has no clock beside its runs", program.device_name());
                return Err(ErrorKind::Argument { op: "profile", detail }.into());
            };
            if owned { executable.profile_owned(&arrays) } else { executable.profile(&arrays) }
        })
    }
}
