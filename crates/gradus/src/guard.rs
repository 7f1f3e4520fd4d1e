//! Panics of the library itself, told from those of the user's functions.
//!
//! A user's function is called between the pieces of the library that record, transform, plan and run; each of those pieces
//! runs under [`guarded`], no user's function does. So what unwinds out of such a piece is a defect of the library, and
//! becomes an error wherever a `try_` form has been called; what a user's function panics with passes through. Without a
//! `try_` form a panic stays a panic.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use gradus_core::{Error, ErrorKind, Result, Site};

use crate::trace::here;

thread_local! {
    /// The line that called the innermost `try_` form on the stack: errors then unwind silently, with their type.
    static CALLED: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs `f`, giving the typed error of an operation that failed in it. Panics that are not errors go on.
#[track_caller]
pub(crate) fn catch<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Leave(Option<&'static Location<'static>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            CALLED.set(self.0);
        }
    }
    let leave = Leave(CALLED.replace(Some(Location::caller())));
    let result = catch_unwind(AssertUnwindSafe(f));
    drop(leave);
    match result {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Error>() {
            Ok(error) => Err(*error),
            Err(other) => resume_unwind(other),
        },
    }
}

/// Ends an operator expression that cannot go on: unwinds to the next `try_` form, or panics with the message.
#[track_caller]
pub(crate) fn fail(error: Error) -> ! {
    if CALLED.get().is_some() {
        resume_unwind(Box::new(error));
    }
    panic!("{error}")
}

/// Ends a function of tensors that cannot go on, as the functions of this crate do: the error becomes the `Err` of
/// [`Jit::try_call`](crate::Jit::try_call), or else a panic with its message, and names the line that called the function
/// if that has `#[track_caller]`.
///
/// ```
/// use gradus::{ErrorKind, Tensor, jit, raise};
/// #[track_caller]
/// fn halves(x: &Tensor) -> Tensor {
///     if x.size() % 2 == 1 {
///         let detail = "an odd number of elements has no halves".into();
///         raise(ErrorKind::Argument { op: "halves", detail });
///     }
///     x.reshape([2, x.size() / 2])
/// }
/// let error = jit(halves).try_call(&Tensor::from([1.0, 2.0, 3.0])).unwrap_err();
/// assert!(error.to_string().contains("no halves"));
/// ```
#[track_caller]
pub fn raise(kind: ErrorKind) -> ! {
    fail(Error::new(kind, here()))
}

/// Runs a piece of the library in which no function of the user is called: inside of a `try_` form a panic becomes an
/// error, at `site` or else at the line of that form.
pub(crate) fn guarded<R>(
    doing: &'static str,
    site: Option<&Site>,
    piece: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let Some(called) = CALLED.get() else { return piece() };
    let piece = || {
        #[cfg(test)]
        fault::here(doing);
        piece()
    };
    catch_unwind(AssertUnwindSafe(piece)).unwrap_or_else(|payload| {
        // An error on its way to the form that was called.
        if payload.is::<Error>() {
            resume_unwind(payload);
        }
        let kind = ErrorKind::Internal { doing, message: message(&*payload) };
        let called = Site { location: Some(called), ..Site::default() };
        Err(Error::new(kind, site.filter(|site| site.is_known()).cloned().unwrap_or(called)))
    })
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// Panics on demand, for tests.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;

    thread_local! {
        static ARMED: Cell<Option<(&'static str, usize)>> = const { Cell::new(None) };
    }

    /// Lets the piece that is `doing` this panic, after so many times that it does not.
    pub(crate) fn arm(doing: &'static str, after: usize) {
        ARMED.set(Some((doing, after)));
    }

    pub(super) fn here(doing: &'static str) {
        match ARMED.get() {
            Some((armed, 0)) if armed == doing => {
                ARMED.set(None);
                panic!("planted while {doing}");
            }
            Some((armed, n)) if armed == doing => ARMED.set(Some((armed, n - 1))),
            _ => {}
        }
    }

    /// Whether what was armed has not panicked.
    pub(crate) fn disarm() -> bool {
        ARMED.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::fault;
    use crate::{ErrorKind, Jit, Tensor, checkpoint, cond, custom_jvp, grad, jit, jvp, vmap};

    /// A program that goes through every piece.
    fn program() -> Jit<Tensor, Tensor, impl Fn(&Tensor) -> Tensor> {
        jit(|x: &Tensor| {
            let cube = custom_jvp(|x: &Tensor| x * x * x, |x, dx| dx * (x * x) * 3.0);
            let f = move |x: &Tensor| cube(&checkpoint(|x: &Tensor| x.sin())(x)).sum(());
            let twice = vmap(|x: &Tensor| x * 2.0)(x);
            let (_, along) = jvp(f, x, &x.ones_like());
            let chosen = cond(&twice.sum(()).greater(0.0), x, |x: &Tensor| x + 1.0, |x: &Tensor| x - 1.0);
            grad(|x: &Tensor| x.exp().sum(()))(&chosen) + twice + along
        })
    }

    #[test]
    fn a_defect_is_an_error_wherever_it_is_and_the_program_runs_after() {
        let x = Tensor::from([0.5, 1.5, -0.25]);
        let wanted = program().call(&x);
        let mut met = Vec::new();
        for doing in ["recording", "transforming", "planning", "running"] {
            for after in 0..200 {
                let f = program();
                fault::arm(doing, after);
                let got = f.try_call(&x);
                if fault::disarm() {
                    assert_eq!(got.expect("nothing was planted"), wanted);
                    break;
                }
                met.push(doing);
                let error = got.expect_err("a fault was planted");
                let text = error.to_string();
                assert!(matches!(error.kind(), ErrorKind::Internal { .. }), "{text}");
                assert!(text.contains("planted") && text.contains("guard.rs"), "{text}");
                assert_eq!(f.try_call(&x).expect("the fault is gone"), wanted);
                assert_eq!(f.call(&x), wanted);
            }
        }
        for doing in ["recording", "transforming", "planning", "running"] {
            assert!(met.contains(&doing), "{doing}");
        }
    }

    #[test]
    fn what_the_users_function_panics_with_passes_through() {
        let x = Tensor::from([1.0, 2.0]);
        let f = jit(|x: &Tensor| {
            grad(|x: &Tensor| if x.shape()[0] == 2 { panic!("mine") } else { x.sum(()) })(x)
        });
        let payload = catch_unwind(AssertUnwindSafe(|| f.try_call(&x))).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
        let longer = Tensor::from([1.0, 2.0, 3.0]);
        assert_eq!(f.try_call(&longer).expect("no panic"), longer.ones_like());
    }

    #[test]
    fn errors_of_shapes_stay_what_they_are() {
        let f = jit(|x: &Tensor| x.matmul(&Tensor::from([[1.0, 2.0]])));
        let error = f.try_call(&Tensor::from([[1.0, 2.0]])).expect_err("shapes do not fit");
        assert!(matches!(error.kind(), ErrorKind::Shape { op: "matmul", .. }), "{error}");
    }
}
