//! The same call is the same function: all that a compiled function can read is in the key by which it is found.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use gradus::{DType, Shape, Stencil, Tensor, Tree, grad, jit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Relu,
    Tanh,
}

/// Equal hashes say nothing about equality.
#[derive(Clone, PartialEq, Eq)]
struct Collides(&'static str);

impl Hash for Collides {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

fn plus_one(x: &Tensor) -> Tensor {
    x + 1.0
}
fn times_three(x: &Tensor) -> Tensor {
    x * 3.0
}

#[derive(Clone, Tree)]
struct Model {
    w: Tensor,
    #[tree(skip)]
    act: Act,
    #[tree(skip)]
    scale: f64,
    #[tree(skip)]
    scales: Vec<Option<f32>>,
    #[tree(skip)]
    acts: Vec<(Act, u8)>,
    #[tree(skip)]
    name: Collides,
    #[tree(skip)]
    dtype: DType,
    #[tree(skip)]
    shape: Shape,
    #[tree(skip)]
    stencil: Stencil,
    #[tree(skip)]
    skipped_function: fn(&Tensor) -> Tensor,
    function: fn(&Tensor) -> Tensor,
    wide: (DType, Shape, Stencil, bool, i128),
}

fn model() -> Model {
    Model {
        w: Tensor::from([-1.0, 2.0]),
        act: Act::Relu,
        scale: 1.0,
        scales: vec![Some(0.0)],
        acts: vec![(Act::Relu, 0)],
        name: Collides("a"),
        dtype: DType::F32,
        shape: [2].into(),
        stencil: Stencil::new(1),
        skipped_function: plus_one,
        function: plus_one,
        wide: (DType::F64, [1].into(), Stencil::new(2), false, 0),
    }
}

/// All that is not a tensor, as a number.
fn read(m: &Model) -> f64 {
    let mut sum = if m.act == Act::Relu { 0.0 } else { 1.0 };
    sum += m.scale + f64::from(m.scales[0].unwrap_or(7.0)).to_bits() as f64 / 1e18;
    sum += if m.acts[0].0 == Act::Relu { 0.0 } else { 5.0 };
    sum += m.name.0.as_bytes()[0] as f64;
    sum + m.dtype.size() as f64 + m.shape.size() as f64 + m.wide.1.size() as f64 + m.wide.4 as f64
}

#[test]
fn every_static_field_is_in_the_key() {
    let f = |m: &Model| (m.skipped_function)(&(m.function)(&m.w)) * read(m);
    let compiled = jit(f);
    let changes: [fn(&mut Model); 13] = [
        |_| (),
        |m| m.act = Act::Tanh,
        |m| m.scale = 2.0,
        |m| m.scales = vec![Some(-0.0)],
        |m| m.scales = vec![None],
        |m| m.acts = vec![(Act::Tanh, 0)],
        |m| m.name = Collides("b"),
        |m| m.dtype = DType::F64,
        |m| m.shape = [3].into(),
        |m| m.stencil = Stencil::new(1).padding(1),
        |m| m.skipped_function = times_three,
        |m| m.function = times_three,
        |m| m.wide.4 = 7,
    ];
    for _ in 0..2 {
        for change in changes {
            let mut m = model();
            change(&mut m);
            assert_eq!(compiled.call(&m), f(&m));
        }
        assert_eq!(compiled.programs(), changes.len());
    }
    let why = compiled.why_recompiled();
    assert_eq!(why.lines().count(), changes.len() - 1);
    for line in [
        "program 2: `.act` was Relu, is Tanh",
        "program 3: `.scale` was 1.0, is 2.0",
        "program 4: `.scales.0` was 0.0, is -0.0",
        "program 13: `.wide.4` was 0, is 7",
    ] {
        assert!(why.contains(line), "{why}");
    }
}

#[test]
fn static_parts_of_results_are_those_of_the_argument() {
    let f = jit(grad(|m: &Model| m.w.square().sum(())));
    for act in [Act::Relu, Act::Tanh, Act::Relu] {
        let g = f.call(&Model { act, ..model() });
        assert_eq!(g.act, act);
    }
}

#[test]
fn reasons_name_shapes_and_lengths() {
    let f = jit(|(xs, y): &(Vec<Tensor>, Tensor)| xs.iter().fold(y.sum(()), |s, x| s + x.sum(())));
    let one = Tensor::from([1.0]);
    f.call(&(vec![one.clone()], one.clone()));
    f.call(&(vec![one.clone()], Tensor::from([1.0, 2.0])));
    f.call(&(vec![one.clone(), one.clone()], one.clone()));
    let why = f.why_recompiled();
    assert!(why.contains("program 2: `.1` was f64[1], is f64[2]"), "{why}");
    assert!(why.contains("program 3: `.0` was of 1 items, is of 2 items"), "{why}");
    let g = jit(|x: &Tensor| x + 1.0);
    g.call(&one);
    g.call(&Tensor::from(1.0));
    assert_eq!(g.why_recompiled(), "program 2: the argument was f64[1], is f64[]");
}

#[test]
fn changed_captures_numbers_and_results_are_named() {
    fn says(words: &[&str], f: impl FnOnce() -> gradus::Result<()>) {
        let text = f().unwrap_err().to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
    let x = Tensor::from([1.0, 2.0]);
    let held = Rc::new(std::cell::RefCell::new(Tensor::from([3.0, 4.0])));
    let f = jit(|x: &Tensor| x * &*held.borrow()).check_captures();
    f.call(&x);
    f.call(&x);
    *held.borrow_mut() = Tensor::from([3.0, 5.0]);
    says(&["element 1 of a captured f64[2] was 4.0", "is 5.0", "same_call.rs:"], || f.try_call(&x).map(drop));

    let number = Cell::new(0.5);
    let f = jit(|x: &Tensor| x * number.get()).check_captures();
    f.call(&x);
    number.set(0.25);
    says(&["a captured number was 0.5", "is 0.25", "same_call.rs:"], || f.try_call(&x).map(drop));
    number.set(2.0);
    says(&["2.0", "same_call.rs:"], || f.try_call(&x).map(drop));

    let count = Cell::new(0usize);
    let f = jit(|x: &Tensor| (x.exp(), count.get())).check_captures();
    f.call(&x);
    count.set(3);
    says(&["static part of the result", "`.1` was 0, is 3"], || f.try_call(&x).map(drop));

    let smooth = Cell::new(true);
    let f = jit(|x: &Tensor| if smooth.get() { x.tanh() } else { x.sin() }.sum(())).check_captures();
    f.call(&x);
    smooth.set(false);
    says(&["`tanh` of f64[2] was recorded, `sin` of f64[2] is", "same_call.rs:"], || {
        f.try_call(&x).map(drop)
    });
    smooth.set(true);
    f.call(&x);
}

#[test]
fn callers_of_one_program_keep_their_lines() {
    let x = Tensor::from([1.0, 2.0]);
    let far = Tensor::from([7i64]);
    let near = Tensor::from([1i64]);
    let first = |i: &Tensor| {
        let i = i.clone();
        grad(move |x: &Tensor| x.take(&i, 0).sum(()))
    };
    first(&near)(&x);
    let second = |i: &Tensor| {
        let i = i.clone();
        grad(move |x: &Tensor| x.take(&i, 0).sum(()))
    };
    let line = line!() - 2;
    let error = jit(|_: &Tensor| Tensor::from(0.0)).try_call(&x).map(drop).err();
    assert!(error.is_none());
    let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second(&far)(&x)))
        .unwrap_err()
        .downcast::<String>()
        .unwrap();
    assert!(text.contains(&format!("same_call.rs:{line}:")), "{text}");
}

#[test]
fn many_programs_are_warned_about_once() {
    struct Count;
    static WARNINGS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    impl log::Log for Count {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            WARNINGS.lock().unwrap().push(record.args().to_string());
        }
        fn flush(&self) {}
    }
    log::set_logger(&Count).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let f = jit(|(x, k): &(Tensor, usize)| x * *k as f64);
    for k in 0..8 {
        f.call(&(Tensor::from(1.0), k));
    }
    assert!(WARNINGS.lock().unwrap().is_empty());
    for k in 8..12 {
        f.call(&(Tensor::from(1.0), k));
    }
    let warnings = WARNINGS.lock().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("9 programs") && warnings[0].contains("`.1` was"), "{}", warnings[0]);
}
