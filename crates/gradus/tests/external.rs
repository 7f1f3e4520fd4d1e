//! Primitives of users: in every transform, in plans and within budgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gradus::core::Tangents;
use gradus::core::ops::{External, ExternalPrimitive, LinearMul, Purity};
use gradus::core::{Array, Builder, ErrorKind, Type, Unary, Var};
use gradus::{Tensor, checkpoint, cond, external, grad, hvp, jit, jvp, scan, vmap, while_loop};

/// `exp`, as somebody else computes it, and how often it was called.
#[derive(Debug)]
struct Exp {
    calls: Arc<AtomicUsize>,
    purity: Purity,
}

impl ExternalPrimitive for Exp {
    fn name(&self) -> &'static str {
        "their_exp"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        match inputs {
            [x] if x.dtype.is_float() => Ok(vec![x.clone()]),
            _ => Err(ErrorKind::Argument { op: "their_exp", detail: "it takes one tensor of floats".into() }),
        }
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        self.calls.fetch_add(1, Relaxed);
        let x = inputs[0].to_f64();
        if x.iter().any(|x| *x > 700.0) {
            return Err(ErrorKind::Data("their_exp: the argument is above 700".into()));
        }
        Ok(vec![Array::new(inputs[0].shape(), x.into_iter().map(f64::exp).collect())?])
    }
    fn jvp(&self, b: &mut Builder, _: &[Var], y: &[Var], t: &[Option<Var>]) -> gradus::Result<Tangents> {
        let dy = t[0].map(|dx| b.emit1(LinearMul::RESIDUAL, &[y[0], dx])).transpose()?;
        Ok([dy].into_iter().collect())
    }
    fn purity(&self) -> Purity {
        self.purity
    }
}

fn theirs(purity: Purity) -> (impl Fn(&Tensor) -> Tensor + Clone, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let primitive: Arc<dyn ExternalPrimitive> = Arc::new(Exp { calls: calls.clone(), purity });
    (move |x: &Tensor| external(&primitive, &[x]).remove(0), calls)
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.shape() == b.shape() && (a - b).abs().max(()).item::<f64>() < 1e-13
}

/// What is compared: the same function of either exponential.
fn everything(exp: impl Fn(&Tensor) -> Tensor + Clone) -> Vec<Tensor> {
    let x = Tensor::from([0.5, -1.0, 2.0]);
    let f = |x: &Tensor| (exp(x) * x).sum(());
    let steps = |x: &Tensor| {
        let (last, all) = scan(&x.sum(()), x, |c, x| (exp(&(c * 0.1)) + x, c.clone()));
        last + all.sum(())
    };
    let branch = |x: &Tensor| cond(&x.sum(()).greater(0.0), x, |x| exp(x), |x| x * 3.0).sum(());
    let until = |x: &Tensor| {
        let next = |(x, n): &(Tensor, Tensor)| (exp(&(x * -0.5)), n + 1);
        while_loop(&(x.clone(), Tensor::from(0i64)), |(_, n)| n.less(3), next).0.sum(())
    };
    let parts = x.reshape([3, 1]) * Tensor::from([1.0, 0.5]);
    vec![
        exp(&x),
        grad(f)(&x),
        jvp(f, &x, &x).1,
        hvp(f, &x, &Tensor::from([1.0, 2.0, 3.0])),
        grad(|x: &Tensor| grad(f)(x).square().sum(()))(&x),
        vmap(exp.clone())(&parts),
        grad(|x: &Tensor| vmap(|x: &Tensor| exp(x).sum(()))(x).square().sum(()))(&parts),
        grad(steps)(&x),
        grad(branch)(&x),
        grad(until)(&x),
        grad(|x: &Tensor| checkpoint(f)(x))(&x),
        jit(grad(f)).call(&x),
        jit(grad(steps)).call(&x),
        jit(grad(until)).call(&x),
    ]
}

#[test]
fn a_primitive_of_a_user_works_in_every_transform() {
    let (exp, calls) = theirs(Purity::Pure);
    let (theirs, ours) = (everything(exp), everything(|x: &Tensor| x.exp()));
    for (i, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert!(close(theirs, ours), "{i}: {theirs} and {ours}");
    }
    assert!(calls.load(Relaxed) > 0);
}

#[test]
fn nothing_runs_again_what_runs_once() {
    let (exp, calls) = theirs(Purity::Once);
    let x = Tensor::from([1.0, 2.0]);
    let slope = jit(grad(|x: &Tensor| exp(x).sum(())));
    slope.call(&x);
    assert_eq!(calls.load(Relaxed), 1, "the backward pass reads the value");

    let error = jit(|x: &Tensor| checkpoint(|x: &Tensor| exp(x).sum(()))(x)).try_call(&x).unwrap_err();
    assert!(error.to_string().contains("runs only once"), "{error}");
    let until = |x: &Tensor| while_loop(x, |x| x.sum(()).less(100.0), |x| exp(x)).sum(());
    assert!(close(&until(&x), &until(&x)));
    let error = jit(grad(until)).try_call(&x).unwrap_err();
    assert!(error.to_string().contains("runs only once"), "{error}");
}

/// What a user's primitive fails on nobody else knows: in a branch that an example does not take it sees none of its data.
#[test]
fn what_an_example_does_not_take_reaches_no_primitive() {
    let (exp, calls) = theirs(Purity::Pure);
    let small = |x: &Tensor| cond(&x.less(700.0), x, |x| exp(x), |x| x * 2.0);
    let until = |x: &Tensor| while_loop(x, |x| x.less(700.0), |x| exp(x) + 1.0);
    let x = Tensor::from([800.0, 0.5, 900.0, 1.0]);
    let want = Tensor::from([1600.0, 0.5f64.exp(), 1800.0, 1f64.exp()]);
    let slope = Tensor::from([2.0, 0.5f64.exp(), 2.0, 1f64.exp()]);
    for compiled in [false, true] {
        let call = |f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| if compiled { jit(f).call(x) } else { f(x) };
        assert!(close(&call(&vmap(small), &x), &want));
        assert!(close(&call(&vmap(grad(small)), &x), &slope));
        assert!(close(&call(&grad(|x: &Tensor| vmap(small)(x).sum(())), &x), &slope));
        let squares = |x: &Tensor| vmap(vmap(small))(&x.reshape([2, 2])).flatten();
        assert!(close(&call(&squares, &x), &want));
        let ends = call(&vmap(until), &x).to_vec::<f64>();
        assert!(ends[0] == 800.0 && ends[2] == 900.0 && ends[1] >= 700.0 && ends[3] >= 700.0, "{ends:?}");
    }
    // Nobody takes it: it does not run.
    let before = calls.load(Relaxed);
    assert_eq!(vmap(small)(&Tensor::from([800.0, 900.0])).to_vec::<f64>(), [1600.0, 1800.0]);
    assert_eq!(calls.load(Relaxed), before);
    // What is taken fails where it fails.
    let wrong = |x: &Tensor| cond(&x.less(850.0), x, |x| exp(x), |x| x * 2.0);
    let error = jit(vmap(wrong)).try_call(&x).unwrap_err().to_string();
    assert!(error.contains("above 700") && error.contains("external.rs"), "{error}");
}

/// A primitive that breaks its promises.
#[derive(Debug)]
struct Liar;

impl ExternalPrimitive for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        Ok(inputs.to_vec())
    }
    fn eval(&self, _: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        Ok(vec![Array::new([1], vec![1f32])?])
    }
}

#[test]
fn broken_promises_and_bad_values_are_errors_with_a_line() {
    let (exp, _) = theirs(Purity::Pure);
    let wide = |n: usize| Tensor::ones([n], gradus::DType::F64) * 800.0;
    for n in [2, 5000] {
        let error = jit(|x: &Tensor| exp(x)).try_call(&wide(n)).unwrap_err().to_string();
        assert!(error.contains("above 700") && error.contains("external.rs"), "{error}");
    }
    let liar: Arc<dyn ExternalPrimitive> = Arc::new(Liar);
    let f = jit(|x: &Tensor| external(&liar, &[x]).remove(0));
    for n in [2, 5000] {
        let error = f.try_call(&wide(n)).unwrap_err().to_string();
        assert!(error.contains("it gave [f32[1]], and promised [f64["), "{error}");
    }
    let error =
        jit(grad(|x: &Tensor| external(&liar, &[x]).remove(0).sum(()))).try_call(&wide(2)).unwrap_err();
    assert!(error.to_string().contains("states no derivative"), "{error}");
    let error = jit(|x: &Tensor| exp(&x.cast(gradus::DType::I64))).try_call(&wide(2)).unwrap_err();
    assert!(error.to_string().contains("tensor of floats"), "{error}");
}

/// A primitive with a fault of its own.
#[derive(Debug)]
struct Faulty;

impl ExternalPrimitive for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        assert!(inputs[0].shape.size() < 6000, "too much for me");
        Ok(inputs.to_vec())
    }
    fn eval(&self, _: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        panic!("I cannot")
    }
}

#[test]
fn a_panic_of_a_primitive_is_an_error_that_names_it() {
    let faulty: Arc<dyn ExternalPrimitive> = Arc::new(Faulty);
    let f = jit(|x: &Tensor| external(&faulty, &[x]).remove(0) + 1.0);
    for (n, said) in [(2, "I cannot"), (5000, "I cannot"), (7000, "too much for me")] {
        let x = Tensor::ones([n], gradus::DType::F64);
        let error = f.try_call(&x).unwrap_err().to_string();
        assert!(error.contains("faulty: the primitive panicked") && error.contains(said), "{error}");
        assert!(error.contains("external.rs"), "{error}");
        let message =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| external(&faulty, &[&x]))).unwrap_err();
        assert!(message.downcast_ref::<String>().is_some_and(|text| text.contains(said)));
    }
}

/// Programs that hold calls of equal primitives are one program.
#[test]
fn equal_primitives_share_programs() {
    #[derive(Debug)]
    struct Scale(f64);
    impl ExternalPrimitive for Scale {
        fn name(&self) -> &'static str {
            "scale"
        }
        fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
            Ok(inputs.to_vec())
        }
        fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
            let y = inputs[0].to_f64().into_iter().map(|x| x * self.0).collect();
            Ok(vec![Array::new(inputs[0].shape(), y)?])
        }
        fn same(&self, other: &dyn ExternalPrimitive) -> bool {
            (other as &dyn std::any::Any).downcast_ref::<Scale>().is_some_and(|other| other.0 == self.0)
        }
    }
    let program = |factor: f64| {
        let mut b = Builder::new();
        let x = b.input(Type::new(gradus::DType::F64, [2]));
        let y = b.emit1(External::new(Scale(factor)), &[x]).unwrap();
        let z = b.emit1(Unary::Neg, &[y]).unwrap();
        b.finish(vec![z])
    };
    assert!(program(2.0) == program(2.0) && program(2.0) != program(3.0));
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn equal_calls_are_merged_and_unread_ones_dropped_but_not_those_that_run_once() {
        let twice = |exp: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| {
            let _ = exp(&(x * 2.0));
            exp(x) + exp(x)
        };
        for (purity, expected) in [(Purity::Pure, 1), (Purity::Once, 2)] {
            let (exp, calls) = theirs(purity);
            jit(|x: &Tensor| twice(&exp, x)).call(&Tensor::from([1.0]));
            assert_eq!(calls.load(Relaxed), expected, "{purity:?}");
        }
    }

    /// A deep chain in which only recomputation saves memory.
    #[test]
    fn budgets_compute_again_what_may_be() {
        let x = Tensor::ones([4096], gradus::DType::F64) * 1e-3;
        for purity in [Purity::Pure, Purity::Once] {
            let (exp, _) = theirs(purity);
            let f =
                |x: &Tensor| (0..40).fold(x.clone(), |x, _| exp(&(x * 0.5)).sin().cumsum(0) * 1e-3).sum(());
            let plain = jit(grad(f));
            let within = jit(grad(f)).memory_budget("70%");
            match (purity, within.try_call(&x)) {
                (Purity::Pure, Ok(slope)) => assert_eq!(slope, plain.call(&x)),
                (Purity::Once, Err(error)) => assert!(error.to_string().contains("smallest"), "{error}"),
                (_, result) => panic!("{purity:?}: {result:?}"),
            }
        }
    }
}
