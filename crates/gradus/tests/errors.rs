//! Each mistake has its own message, with the source line and what to try.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use gradus::{
    Checkpoints, DType, ErrorKind, Tensor, Tree, custom_jvp, grad, jit, jvp, scan, vmap, while_loop,
    while_loop_with,
};

/// The message that `f` panics with.
fn message<R>(f: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it must fail");
    payload.downcast_ref::<String>().expect("a message").clone()
}

fn says<R>(parts: &[&str], f: impl FnOnce() -> R) {
    let text = message(f);
    for part in parts {
        assert!(text.contains(part), "no \"{part}\" in: {text}");
    }
}

#[test]
fn shapes_name_both_the_line_and_a_remedy() {
    let (a, b) = (Tensor::zeros([2, 3], DType::F64), Tensor::zeros([4], DType::F64));
    says(&["add", "[2, 3] and [4]", "errors.rs:", "reshape"], || &a + &b);
    says(&["matmul", "[2, 3]", "[4]", "transpose", "errors.rs:"], || a.matmul(&b));
    says(&["reshape", "6 elements cannot be arranged as 5"], || a.reshape([5]));
    says(&["concat", "all axes but axis 0"], || Tensor::concat(&[&a, &Tensor::zeros([1, 2], DType::F64)], 0));
    says(&["stack", "use `concat`"], || Tensor::stack(&[&a, &b], 0));
    says(&["einsum", "'j'"], || Tensor::einsum("ij,j->i", &[&a, &b]));
    says(&["broadcast_to", "[4] and [3]"], || b.broadcast_to([3]));
}

#[test]
fn dtypes_never_promote() {
    let (x, y) = (Tensor::from([1.0f64]), Tensor::from([1.0f32]));
    says(&["mul", "f64 and f32", "cast", "errors.rs:"], || &x * &y);
    says(&["literal", "0.5 is no integer", "cast"], || Tensor::from([1i64]) * 0.5);
    says(&["exp", "i64", "cast"], || Tensor::from([1i64]).exp());
    says(&["and", "f64", "compare"], || &x & &x);
    says(&["select", "boolean"], || x.select(1.0, 2.0));
}

#[test]
fn axes_and_indices_out_of_range() {
    let x = Tensor::zeros([2, 3], DType::F64);
    says(&["sum", "axis 2", "-2..2", "errors.rs:"], || x.sum(2));
    says(&["index", "index 5", "3 elements", "-3..3"], || x.index(1, 5));
    says(&["slice", "axis 1", "[2, 3]"], || x.slice(1, 0..9));
    says(&["gather", "7", "errors.rs:"], || x.take(&Tensor::from([7i64]), 0));
    says(&["max", "nothing"], || Tensor::zeros([0], DType::F64).max(()));
}

#[test]
fn gradients_of_the_wrong_thing() {
    let x = Tensor::from([1.0, 2.0]);
    says(&["grad", "f64[2]", "scalar", "vjp", "errors.rs:"], || grad(|x: &Tensor| x.sin())(&x));
    says(&["grad", "i64", "argument 1", "cast"], || {
        grad(|(x, _): &(Tensor, Tensor)| x.sum(()))(&(x.clone(), Tensor::from([1i64])))
    });
    says(&["jvp", "expected (f64[2])", "found (f64[1])"], || {
        jvp(|x: &Tensor| x.sin(), &x, &Tensor::from([1.0]))
    });
    says(&["while_loop", "at least one checkpoint", "errors.rs:"], || {
        while_loop_with(Checkpoints::Slots(0), &Tensor::from(1.0), |x| x.less(10.0), |x| x * 2.0)
    });
    says(&["while_loop", "goes on depends on", "linear"], || {
        let rule = |_: &Tensor, dx: &Tensor| while_loop(dx, |d| d.less(10.0), |d| d * 2.0);
        let f = custom_jvp(|x: &Tensor| x.sin(), rule);
        grad(|x: &Tensor| f(x).sum(()))(&Tensor::from(1.0))
    });
    says(&["custom_jvp", "linear"], || {
        let f = custom_jvp(|x: &Tensor| x.sin(), |_: &Tensor, dx: &Tensor| dx * dx);
        grad(|x: &Tensor| f(x).sum(()))(&x)
    });
    says(&["scan", "carry like the one it got"], || {
        scan(&Tensor::from(0.0), &x, |c, x| ((c + x).expand_dims(0), ()))
    });
    says(&["vmap", "3 examples", "2"], || {
        vmap(|(a, b): &(Tensor, Tensor)| a + b)(&(x.clone(), Tensor::from([1.0, 2.0, 3.0])))
    });
}

#[test]
fn reading_while_recording() {
    let x = Tensor::from([1.0, 2.0]);
    says(&["item", "jit", "cond", "select"], || jit(|x: &Tensor| x * x.sum(()).item::<f64>()).call(&x));
    says(&["item", "vmap"], || vmap(|x: &Tensor| x * x.item::<f64>())(&x));
    // A gradient under jit is recorded, too.
    says(&["item", "jit"], || jit(grad(|x: &Tensor| x.sum(()) * x.sum(()).item::<f64>())).call(&x));
    says(&["item", "[2]", "to_vec"], || x.item::<f64>());
}

#[test]
fn escaped_tracers() {
    let kept = Mutex::new(None);
    let x = Tensor::from([1.0, 2.0]);
    grad(|x: &Tensor| {
        *kept.lock().unwrap() = Some(x.exp());
        x.sum(())
    })(&x);
    let escaped = kept.into_inner().unwrap().unwrap();
    assert!(escaped.to_string().contains("traced f64[2] in grad"));
    says(&["add", "`grad` that has ended", "return it", "errors.rs:"], || &escaped + &x);
    says(&["sin", "`grad` that has ended", "errors.rs:"], || escaped.sin());
    says(&["to_vec", "ended", "errors.rs:"], || escaped.to_vec::<f64>());
    says(&["ended"], || grad(|x: &Tensor| (x * &escaped).sum(()))(&x));
}

#[test]
fn try_call_gives_the_error_as_a_value() {
    let f = jit(|(a, b): &(Tensor, Tensor)| a + b);
    let bad = (Tensor::zeros([2], DType::F64), Tensor::zeros([3], DType::F64));
    let error = f.try_call(&bad).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shape { op: "add", .. }));
    assert!(error.site().location.unwrap().file().ends_with("errors.rs"));
    let index = jit(|(x, i): &(Tensor, Tensor)| x.take(i, 0));
    let args = (Tensor::from([1.0, 2.0]), Tensor::from([5i64]));
    assert!(matches!(
        index.try_call(&args).unwrap_err().kind(),
        ErrorKind::Index { index: 5, extent: 2, .. }
    ));
    // A panic of the user's own goes on as it is.
    let own =
        catch_unwind(AssertUnwindSafe(|| jit(|_: &Tensor| -> Tensor { panic!("mine") }).try_call(&bad.0)));
    assert_eq!(own.err().unwrap().downcast_ref::<&str>(), Some(&"mine"));
}

#[test]
fn scopes_are_named() {
    let text = message(|| {
        gradus::scope("layers", || {
            gradus::scope("0", || Tensor::zeros([2], DType::F64) + Tensor::zeros([3], DType::F64))
        })
    });
    assert!(text.contains("in layers.0"), "{text}");
}

#[test]
fn scalar_functions_that_branch() {
    use gradus::num::{Real, Scalar, scalar_fn};
    fn branching<R: Real>(x: &[R]) -> R {
        if x[0] > x[1] { x[0] } else { x[1] }
    }
    fn reading<R: Real>(x: &[R]) -> R {
        R::from_f64(x[0].value())
    }
    fn selecting<R: Real>(x: &[R]) -> R {
        R::select(&Scalar::gt(&x[0], &x[1]), &x[0], &x[1])
    }
    let x = Tensor::from([[1.0, 2.0], [4.0, 3.0]]);
    says(&["comparing", "R::select", "errors.rs"], || gradus::tensor_fn(scalar_fn!(branching))(&x));
    says(&["reading", "R::select"], || gradus::tensor_fn(scalar_fn!(reading))(&x));
    assert_eq!(gradus::tensor_fn(scalar_fn!(selecting))(&x), Tensor::from([2.0, 4.0]));
    says(&["last axis"], || gradus::tensor_fn(scalar_fn!(selecting))(&Tensor::from(1.0)));
}

#[test]
fn an_axis_given_twice() {
    let x = Tensor::zeros([2, 3], DType::F64);
    says(&["flip", "axis 0 is given twice", "errors.rs:"], || x.flip([0, 0]));
    says(&["flip", "axis 1 is given twice"], || x.flip([1, -1]));
    says(&["sum", "axis 0 is given twice"], || x.sum([0, -2]));
    says(&["mean", "axis 1 is given twice"], || x.mean([1, 1]));
    says(&["squeeze", "axis 0 is given twice"], || x.squeeze([0, 0]));
    says(&["permute", "axes"], || x.permute([0, 0]));
    says(&["dot", "axis 1 is given twice"], || {
        x.tensordot(&Tensor::zeros([3, 3], DType::F64), &[1, 1], &[0, 1])
    });
}

#[test]
fn integers_are_read_as_they_are() {
    says(&["item", "1.5 cannot be read as i64", "errors.rs:"], || Tensor::from(1.5).item::<i64>());
    says(&["item", "NaN"], || Tensor::from(f64::NAN).item::<i32>());
    says(&["item", "300"], || Tensor::from(300i64).item::<u8>());
    says(&["item", "9223372036854775807"], || Tensor::from(i64::MAX).item::<i32>());
    says(&["item", "922337203685477"], || Tensor::from(9_223_372_036_854_775_808.0).item::<i64>());
    says(&["to_vec", "-1"], || Tensor::from([3.0, -1.0]).to_vec::<u8>());
    assert_eq!(Tensor::from([3.0f32, -1.0]).to_vec::<i64>(), [3, -1]);
    assert_eq!(Tensor::from(-9_223_372_036_854_775_808.0).item::<i64>(), i64::MIN);
    assert_eq!(Tensor::from([true, false]).to_vec::<i32>(), [1, 0]);
    assert_eq!(Tensor::from(7i64).item::<f32>(), 7.0);
}

#[test]
fn the_largest_elements_begin_with_the_largest() {
    let x = Tensor::from([[1.0, f64::NAN, 3.0, 3.0], [2.0, 2.0, f64::INFINITY, f64::NAN]]);
    let x = Tensor::concat(&[&x, &Tensor::from([[0.0, -1.0, 0.0, -0.0]])], 0);
    let (values, indices) = x.top_k(2, -1);
    assert_eq!(indices.slice(1, ..1).squeeze(-1), x.argmax(-1));
    assert_eq!(indices, Tensor::from([[1i64, 2], [3, 2], [0, 2]]));
    assert!(values.index(0, 0).index(0, 0).item::<f64>().is_nan());
    assert_eq!(x.argsort(-1).index(1, -1).to_vec::<i64>()[..2], [1, 3]);
}

#[test]
fn errors_name_the_line_of_the_program_and_the_truth() {
    let whole = Tensor::from([1i64, 2]);
    says(&["mean", "i64", "cast", "errors.rs:"], || whole.mean(()));
    says(&["var", "i64", "cast", "errors.rs:"], || whole.var((), 0));
    // The function is named, not the first part of it that does not take integers.
    let functions: [(&str, fn(&Tensor) -> Tensor); 15] = [
        ("norm", |x| x.norm(())),
        ("norm_p", |x| x.norm_p(3.0, ())),
        ("softmax", |x| x.softmax(0)),
        ("log_softmax", |x| x.log_softmax(0)),
        ("logsumexp", |x| x.logsumexp(())),
        ("leaky_relu", |x| x.leaky_relu(0.1)),
        ("elu", |x| x.elu(1.0)),
        ("selu", |x| x.selu()),
        ("hard_sigmoid", |x| x.hard_sigmoid()),
        ("hard_swish", |x| x.hard_swish()),
        ("gelu", |x| x.gelu()),
        ("gelu_tanh", |x| x.gelu_tanh()),
        ("silu", |x| x.silu()),
        ("mish", |x| x.mish()),
        ("powf", |x| x.powf(0.5)),
    ];
    for (name, f) in functions {
        says(&[&format!("{name}: dtype i64"), "cast", "errors.rs:"], || f(&whole));
    }
    says(&["einsum", "2 terms for 1 tensors", "errors.rs:"], || Tensor::einsum("i,i", &[&whole]));
    says(&["einsum", "'k' of the result", "errors.rs:"], || Tensor::einsum("i->k", &[&whole]));
    says(&["einsum", "errors.rs:"], || Tensor::einsum("", &[]));
    says(&["literal", "0.5 is no integer", "errors.rs:"], || &whole * 0.5);
    says(&["literal", "300 does not fit into u8", "errors.rs:"], || Tensor::from([1u8]) + 300);
    says(&["zip_map", "2 and 1 tensors", "errors.rs:"], || {
        vec![whole.clone(), whole.clone()].zip_map(&vec![whole.clone()], |x, y| x + y)
    });
    let f = jit(|x: &Vec<Tensor>| x.zip_map(&vec![x[0].clone()], |x, y| x + y));
    assert!(matches!(
        f.try_call(&vec![whole.clone(), whole]).unwrap_err().kind(),
        ErrorKind::Argument { .. }
    ));
}

/// Reading, filling and literals give the number or an error, whatever the pair of types.
#[test]
fn numbers_are_exact_or_refused() {
    let refused = |f: &dyn Fn() -> bool| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let odd = (1i64 << 53) + 1;
    let (exact, wide) = (Tensor::from(1i64 << 53), Tensor::from(odd));
    assert_eq!((exact.item::<f64>(), exact.item::<f32>()), (9007199254740992.0, 9007199254740992.0));
    assert_eq!(wide.item::<i64>(), odd);
    assert!(refused(&|| wide.item::<f64>() > 0.0) && refused(&|| wide.item::<f32>() > 0.0));
    assert!(refused(&|| Tensor::from([1i64, odd]).to_vec::<f64>().is_empty()));
    assert!(refused(&|| Tensor::from(16_777_217i32).item::<f32>() > 0.0));
    assert!(refused(&|| Tensor::from(i64::MAX).item::<f64>() > 0.0));
    assert_eq!(Tensor::from(16_777_217i32).item::<f64>(), 16_777_217.0);
    assert_eq!(Tensor::from(0.1).item::<f32>(), 0.1);
    assert!(
        refused(&|| Tensor::from(300i64).item::<u8>() > 0) && refused(&|| Tensor::from(2.5).item::<u8>() > 0)
    );
    assert!(refused(&|| Tensor::from(2i64).item::<bool>()) && refused(&|| Tensor::from(0.5).item::<bool>()));
    assert!(refused(&|| Tensor::from(f64::NAN).item::<i32>() > 0) && Tensor::from(1.0).item::<bool>());
    // Literals.
    let x = Tensor::from([1.0, 2.0]);
    assert!(refused(&|| (&x + odd).size() > 0) && refused(&|| x.maximum(odd as usize).size() > 0));
    assert!(refused(&|| x.maximum(u64::MAX as usize).size() > 0));
    assert_eq!(&x + (1i64 << 53), &x + 9007199254740992.0);
    assert_eq!((Tensor::from([odd]) + 1).item::<i64>(), odd + 1);
    // Filling and counting.
    for (dtype, value) in [
        (DType::U8, 256.0),
        (DType::U8, -1.0),
        (DType::I32, 2147483648.0),
        (DType::I64, 9.3e18),
        (DType::I64, 0.5),
        (DType::I32, f64::NAN),
        (DType::Bool, 2.0),
    ] {
        assert!(refused(&|| Tensor::full([2], dtype, value).size() > 0), "{dtype} {value}");
    }
    assert!(refused(&|| Tensor::linspace(0.0, 1.0, 3, DType::I64).size() > 0));
    assert!(refused(&|| Tensor::arange((1 << 24) + 2, DType::F32).size() > 0));
}
