//! What compiled functions are found by: each kind of static value, structures that are nearly equal, devices, captures.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use gradus::{
    Bf16, DType, Device, F16, Number, Shape, Stencil, Strategy, Tensor, Tree, cond, grad, jit, jvp, scope,
    vmap, vmap_named,
};

#[derive(Clone, Debug, Tree)]
struct Held<T> {
    w: Tensor,
    held: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Relu,
    Tanh(u8),
}

/// A field that is a tree: each value of it is a program of its own, found again, and comes back as it was given.
fn in_the_key<T: Tree + Clone + Debug + 'static>(values: &[T]) {
    let f = jit(|m: &Held<T>| Held { w: &m.w * 2.0, held: m.held.clone() });
    for round in 0..2 {
        for (i, held) in values.iter().enumerate() {
            let back = f.call(&Held { w: Tensor::from([1.0]), held: held.clone() });
            assert_eq!(format!("{:?}", back.held), format!("{held:?}"));
            let wanted = if round == 0 { i + 1 } else { values.len() };
            assert_eq!(
                f.programs(),
                wanted,
                "{} of {:?}: {}",
                std::any::type_name::<T>(),
                held,
                f.why_recompiled()
            );
        }
    }
    for line in f.why_recompiled().lines() {
        assert!(line.contains("`.held") && line.contains(" was ") && line.contains(", is "), "{line}");
    }
}

#[test]
fn every_kind_of_static_value_is_in_the_key() {
    in_the_key(&[0u8, 1, 255]);
    in_the_key(&[i128::MIN, 0, i128::MAX]);
    in_the_key(&[0.0f32, -0.0, f32::NAN, -f32::NAN, f32::INFINITY]);
    in_the_key(&[0.0f64, -0.0, f64::from_bits(1), f64::NAN, f64::from_bits(f64::NAN.to_bits() | 1)]);
    in_the_key(&[F16::from_f32(0.0), F16::from_f32(-0.0), F16::from_f32(1.5)]);
    in_the_key(&[Bf16::from_f32(0.0), Bf16::from_f32(-0.0), Bf16::from_f32(1.5)]);
    in_the_key(&['a', 'b']);
    in_the_key(&[true, false]);
    in_the_key(&["a".to_string(), "b".to_string(), String::new()]);
    in_the_key(&["a", "b"]);
    in_the_key(&[DType::F32, DType::F64, DType::Bool]);
    in_the_key(&[Shape::from([2, 1]), Shape::from([1, 2]), Shape::from([2])]);
    in_the_key(&[Stencil::new(1), Stencil::new(2), Stencil::new(1).padding(1)]);
    in_the_key(&[Device::cpu(), Device::reference()]);
    in_the_key(&[None, Some(0usize), Some(1)]);
    in_the_key(&[None, Some(None), Some(Some(0u8))]);
    in_the_key(&[vec![], vec![1u8], vec![1, 1], vec![2, 1]]);
    in_the_key(&[vec![vec![1u8], vec![2, 3]], vec![vec![1, 2], vec![3]], vec![vec![1, 2, 3]]]);
    in_the_key(&[[1.0, 2.0], [2.0, 1.0]]);
    in_the_key(&[(1, "a"), (1, "b"), (2, "a")]);
    in_the_key(&[Box::new(1u64), Box::new(2)]);
    in_the_key(&[
        BTreeMap::from([("a", 1)]),
        BTreeMap::from([("b", 1)]),
        BTreeMap::from([("a", 2)]),
        BTreeMap::new(),
    ]);
    in_the_key(&[HashMap::from([(1, 'a')]), HashMap::from([(2, 'a')]), HashMap::from([(1, 'b')])]);
    in_the_key(&[PhantomData::<u8>]);
    in_the_key(&[Number::Float(1.0), Number::Int(1), Number::Bool(true), Number::Float(-1.0)]);
    in_the_key(&[Strategy::Auto, Strategy::Recompute]);
}

/// A field marked `#[tree(skip)]`.
macro_rules! skipped_in_the_key {
    ($($t:ty: $($value:expr),+;)+) => { $( {
        #[derive(Clone, Tree)]
        struct Skipped {
            w: Tensor,
            #[tree(skip)]
            held: $t,
        }
        let values: Vec<$t> = vec![$($value),+];
        let f = jit(|m: &Skipped| Skipped { w: &m.w * 2.0, held: m.held.clone() });
        for round in 0..2 {
            for (i, held) in values.iter().enumerate() {
                let back = f.call(&Skipped { w: Tensor::from([1.0]), held: held.clone() });
                assert_eq!(format!("{:?}", back.held), format!("{held:?}"));
                let wanted = if round == 0 { i + 1 } else { values.len() };
                assert_eq!(f.programs(), wanted, "{}: {}", stringify!($t), f.why_recompiled());
            }
        }
    } )+ };
}

#[test]
fn skipped_fields_of_every_kind_are_in_the_key() {
    skipped_in_the_key! {
        Act: Act::Relu, Act::Tanh(0), Act::Tanh(1);
        Vec<Act>: vec![], vec![Act::Relu], vec![Act::Relu, Act::Relu];
        f64: 0.0, -0.0, 1.0;
        Option<f32>: None, Some(0.0), Some(-0.0);
        (f64, usize): (0.0, 1), (0.0, 2), (-0.0, 1);
        [f32; 2]: [0.0, 1.0], [1.0, 0.0];
        Vec<(f64, String)>: vec![(1.0, "a".into())], vec![(1.0, "b".into())];
        F16: F16::from_f32(1.0), F16::from_f32(2.0);
        Bf16: Bf16::from_f32(1.0), Bf16::from_f32(2.0);
        HashMap<String, u8>: HashMap::from([("a".into(), 1)]), HashMap::from([("a".into(), 2)]);
        BTreeMap<u8, f64>: BTreeMap::from([(1, 1.0)]), BTreeMap::from([(1, -1.0)]);
        BTreeSet<u8>: BTreeSet::from([1]), BTreeSet::from([2]);
        Arc<str>: "a".into(), "b".into();
        Range<usize>: 0..1, 0..2;
        NonZeroUsize: NonZeroUsize::new(1).unwrap(), NonZeroUsize::new(2).unwrap();
        PathBuf: "a".into(), "b".into();
        Duration: Duration::from_secs(1), Duration::from_secs(2);
        Strategy: Strategy::Auto, Strategy::Recompute;
        std::cmp::Ordering: std::cmp::Ordering::Less, std::cmp::Ordering::Equal;
        DType: DType::F32, DType::F64;
        Box<[u8]>: vec![1].into(), vec![2].into();
        Device: Device::reference(), Device::cpu();
    }
}

#[derive(Clone, Debug, Tree)]
enum Choice {
    First(Tensor),
    Second(Tensor),
    Nothing,
}

#[test]
fn structures_with_equal_tensors_are_told_apart() {
    let x = || Tensor::from([1.0]);
    in_the_key(&[
        vec![vec![x()], vec![x(), x()]],
        vec![vec![x(), x()], vec![x()]],
        vec![vec![x(), x(), x()]],
    ]);
    in_the_key(&[(Some(x()), None), (None, Some(x()))]);
    in_the_key(&[Choice::First(x()), Choice::Second(x()), Choice::Nothing]);
    in_the_key(&[BTreeMap::from([("a", x())]), BTreeMap::from([("b", x())])]);
    in_the_key(&[
        BTreeMap::from([("a", BTreeMap::from([("b.c", x())]))]),
        BTreeMap::from([("a.b", BTreeMap::from([("c", x())]))]),
    ]);
    in_the_key(&[(vec![Some(x())], vec![None]), (vec![None], vec![Some(x())])]);
}

#[test]
fn static_parts_of_results_follow_what_they_are_made_of() {
    let f = jit(|(x, name): &(Tensor, String)| {
        (
            x.shape().to_vec(),
            x.dtype(),
            name.len(),
            vec![x.clone(); x.shape()[0]],
            Some(name.clone()).filter(|n| n != "b"),
        )
    });
    for _ in 0..2 {
        for (n, dtype, name) in
            [(1, DType::F32, "a"), (2, DType::F64, "b"), (1, DType::F64, "a"), (2, DType::F64, "aa")]
        {
            let (shape, ty, length, copies, other) = f.call(&(Tensor::ones([n], dtype), name.to_string()));
            assert_eq!((shape, ty, length, copies.len()), (vec![n], dtype, name.len(), n));
            assert_eq!(other.as_deref(), (name != "b").then_some(name));
        }
    }
    assert_eq!(f.programs(), 4);
}

fn says(words: &[&str], text: &str) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn captures_that_change_are_named() {
    let x = Tensor::from([1.0, 2.0]);
    let check = |was: Tensor, is: Tensor, words: &[&str]| {
        let held = RefCell::new(was);
        let f = jit(|x: &Tensor| (x * 2.0, held.borrow().clone())).check_captures();
        f.call(&x);
        f.call(&x);
        *held.borrow_mut() = is;
        says(words, &f.try_call(&x).map(drop).unwrap_err().to_string());
    };
    let of = "of a captured";
    check(Tensor::from([1.0, 2.0]), Tensor::from([1.0]), &["other values were returned"]);
    check(Tensor::from([1.0f32, 2.0]), Tensor::from([1.0, 2.0]), &["other values were returned"]);
    check(Tensor::from([0.0, 2.0]), Tensor::from([-0.0, 2.0]), &["element 0", of, "was 0.0", "is -0.0"]);
    check(Tensor::from([0.0, 2.0]), Tensor::from([0.0, f64::NAN]), &["element 1", of, "was 2.0", "is NaN"]);
    check(
        Tensor::from([true, false]),
        Tensor::from([true, true]),
        &["element 1", of, "bool[2] was 0", "is 1"],
    );
    check(Tensor::from([1i64, 7]), Tensor::from([1i64, 8]), &["element 1", of, "i64[2] was 7", "is 8"]);
    check(Tensor::from(1i64), Tensor::from(2i64), &["a captured number was 1 ", "is 2"]);
    let sixteen = |x: f64| Tensor::from([x]).cast(DType::Bf16);
    check(sixteen(1.0), sixteen(1.5), &["element 0", of, "bf16[1] was 1.0", "is 1.5"]);
}

/// A compiled function that takes a value from an outer transform goes on with the first it saw.
#[test]
fn captures_that_are_recorded_later_are_named() {
    let x = Tensor::from([1.0, 2.0]);
    let held = RefCell::new(x.clone());
    let f = jit(|x: &Tensor| (x * &*held.borrow()).sum(())).check_captures();
    f.call(&x);
    grad(|w: &Tensor| {
        *held.borrow_mut() = w.clone();
        let error = f.try_call(&x).unwrap_err().to_string();
        says(&["a captured f64[2] was a value", "traced f64[2] in grad", "compiled_keys.rs:"], &error);
        w.sum(())
    })(&x);
}

#[test]
fn reasons_say_what_is_different() {
    fn reasons<A: Tree>(arguments: &[A], expected: &[&str]) {
        let f =
            jit(|x: &A| x.tensors().iter().fold(Tensor::from(0.0), |s, x| s + x.cast(DType::F64).sum(())));
        for x in arguments {
            f.call(x);
        }
        let expected: Vec<String> =
            expected.iter().enumerate().map(|(i, why)| format!("program {}: {why}", i + 2)).collect();
        assert_eq!(f.why_recompiled(), expected.join("\n"));
    }
    let x = Tensor::from([1.0]);
    reasons(&[x.clone(), Tensor::from([1.0f32])], &["the argument was f64[1], is f32[1]"]);
    reasons(&[(x.clone(), 0.5), (x.clone(), -0.0)], &["`.1` was 0.5, is -0.0"]);
    let choices = [Choice::First(x.clone()), Choice::Second(x.clone()), Choice::Nothing];
    reasons(&choices, &["the argument was First, is Second", "the argument was Second, is Nothing"]);
    let map = |keys: &[&str]| keys.iter().map(|k| (k.to_string(), x.clone())).collect::<BTreeMap<_, _>>();
    let arguments = [map(&["a", "b"]), map(&["a", "c"]), map(&["a"])];
    let expected = ["the argument was \"b\", is \"c\"", "the argument was of 2 entries, is of 1 entries"];
    reasons(&arguments, &expected);
    let arguments =
        [(None, None), (Some(x.clone()), None), (Some(x.clone()), Some(2.0)), (Some(x.clone()), Some(3.0))];
    reasons(&arguments, &["`.0` was None, is Some", "`.1` was None, is Some", "`.1` was 2.0, is 3.0"]);
}

#[test]
fn reasons_name_devices_axes_and_programs_given_up() {
    let x = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let here = Device::default();
    let there = if here == Device::cpu() { Device::reference() } else { Device::cpu() };
    let f = jit(|x: &Tensor| x * 2.0);
    f.call(&x);
    f.call(&x.cast(DType::F32));
    f.call(&x.to(&there).unwrap());
    let wanted = format!("program 3: the argument was on `{here:?}`, is on `{there:?}`");
    assert_eq!(f.why_recompiled().lines().nth(1), Some(&*wanted));

    let g = jit(|x: &Tensor| x * 2.0);
    vmap_named("a", |x: &Tensor| g.call(x))(&x);
    vmap_named("b", |x: &Tensor| g.call(x))(&x);
    vmap(|x: &Tensor| g.call(x))(&x);
    let wanted = [
        "program 2: the named axes were `a` of 3, are `b` of 3",
        "program 3: the named axes were `b` of 3, are none",
    ];
    assert_eq!(g.why_recompiled(), wanted.join("\n"));
}

/// Values that are written the same, and are not.
#[test]
fn reasons_do_not_say_that_a_thing_was_what_it_is() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Silent(u8);
    #[derive(Clone, Tree)]
    struct Model {
        w: Tensor,
        #[tree(skip)]
        silent: Silent,
    }
    let f = jit(|m: &Model| &m.w * f64::from(m.silent.0));
    for silent in [1, 2] {
        assert_eq!(
            f.call(&Model { w: Tensor::from(1.0), silent: Silent(silent) }).item::<f64>(),
            f64::from(silent)
        );
    }
    let why = f.why_recompiled();
    assert!(
        why.starts_with("program 2: `.silent` was a `") && why.ends_with("Silent`, is another one"),
        "{why}"
    );
}

#[test]
fn what_two_threads_compile_at_once_is_one_program() {
    let (both, recordings) = (Barrier::new(2), AtomicUsize::new(0));
    let f = jit(|x: &Tensor| {
        if recordings.fetch_add(1, Relaxed) < 2 {
            both.wait();
        }
        x * 2.0
    });
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| assert_eq!(f.call(&Tensor::from([1.0])).to_vec::<f64>(), [2.0]));
        }
    });
    assert_eq!((recordings.load(Relaxed), f.programs(), f.why_recompiled()), (2, 1, String::new()));
}

/// Where a message says that it happened: `file:line:column in scope`.
fn place(f: impl FnOnce() -> Tensor) -> String {
    let failed = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    let text = failed.downcast_ref::<String>().expect("a message");
    says(&["index 9", "compiled_keys.rs:"], text);
    text.lines().last().unwrap_or_default().to_string()
}

/// The same program from two places, in several scopes, at once and in every transform: each error is at the caller's.
#[test]
fn callers_of_equal_programs_keep_their_lines_and_scopes() {
    type Call = fn(&Tensor, &Tensor) -> Tensor;
    let one: [Call; 6] = [
        |x, i| x.take(i, 0),
        |x, i| grad(|x: &Tensor| x.take(i, 0).sum(()))(x),
        |x, i| jvp(|x: &Tensor| x.take(i, 0), x, x).1,
        |x, i| vmap(|x: &Tensor| x.expand_dims(0).take(i, 0))(x),
        |x, i| jit(|x: &Tensor| x.take(i, 0)).call(x),
        |x, i| cond(&Tensor::from(true), x, |x| x.take(i, 0), |x| x.take(i, 0)),
    ];
    let two: [Call; 6] = [
        |x, i| x.take(i, 0),
        |x, i| grad(|x: &Tensor| x.take(i, 0).sum(()))(x),
        |x, i| jvp(|x: &Tensor| x.take(i, 0), x, x).1,
        |x, i| vmap(|x: &Tensor| x.expand_dims(0).take(i, 0))(x),
        |x, i| jit(|x: &Tensor| x.take(i, 0)).call(x),
        |x, i| cond(&Tensor::from(true), x, |x| x.take(i, 0), |x| x.take(i, 0)),
    ];
    let x = Tensor::from([1.0, 2.0]);
    let (near, far) = (Tensor::from([0i64]), Tensor::from([9i64]));
    for (one, two) in one.iter().zip(&two) {
        scope("one", || one(&x, &near));
        let places = [("one", one), ("two", two), ("three", one)];
        let places = places.map(|(name, call)| {
            let place = place(|| scope(name, || call(&x, &far)));
            place.strip_suffix(&format!(" in {name}")).expect("the scope of the caller").to_string()
        });
        assert!(places[0] == places[2] && places[0] != places[1], "{places:?}");
    }
    // A function that both call has one line, and the scope of its caller.
    let slope = || grad(|x: &Tensor| x.take(&far, 0).sum(()))(&x);
    let places = ["one", "two"].map(|name| place(|| scope(name, slope)));
    assert_eq!(places[0].replace(" in one", " in two"), places[1]);
}

/// Bounds as they are written: with and without a comma at their end, on lifetimes and lengths.
#[test]
fn types_with_bounds_are_trees() {
    #[derive(Clone, Tree)]
    struct Bounded<T>
    where
        T: Clone,
    {
        x: T,
    }
    #[derive(Clone, Tree)]
    #[rustfmt::skip]
    struct Many<'a, const N: usize, T: Clone + 'a> where T: Send {
        x: [T; N],
        name: PhantomData<&'a str>,
    }
    #[derive(Clone, Tree)]
    enum Either<A, B>
    where
        A: Clone,
        B: Clone,
    {
        Left(A),
        Right { b: B },
    }
    let x = || Tensor::from(1.0);
    assert_eq!(Bounded { x: x() }.tensors().len(), 1);
    assert_eq!(Many { x: [x(), x()], name: PhantomData }.tensors().len(), 2);
    let either: [Either<Tensor, (Tensor, Tensor)>; 2] = [Either::Left(x()), Either::Right { b: (x(), x()) }];
    assert_eq!(either.map(|e| e.tensors().len()), [1, 2]);
}
