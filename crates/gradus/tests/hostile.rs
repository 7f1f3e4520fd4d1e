//! Absurd sizes: every one gives a typed error or the right result, at once, wherever it is asked for.
//!
//! Each row of the table is a function of the public surface with its numbers left open; it is called with all absurd ones,
//! on tensors that compute at once and on recorded ones, and planned where planning alone says enough.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gradus::{
    Array, Axes, Checkpoints, DType, ErrorKind, Key, Result, Stencil, Tensor, grad, jit, scan_with, vmap,
    vmap_named, while_loop_with,
};

/// Numbers that make every product of extents overflow, wrap to something small, or fit by a hair.
const SIZES: [usize; 14] = [
    0,
    1,
    2,
    3,
    1 << 60,
    (1 << 60) + 1,
    1 << 61,
    1 << 62,
    (1 << 62) + 1,
    usize::MAX / 2,
    1 << 63,
    (1 << 63) + 1,
    usize::MAX - 1,
    usize::MAX,
];

/// The same, with either sign.
const PLACES: [isize; 14] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    1 << 60,
    -(1 << 60),
    1 << 62,
    -(1 << 62),
    isize::MAX,
    isize::MAX - 1,
    isize::MIN + 1,
    isize::MIN,
];

/// What comes of it; a panic that is no typed error of ours fails, and so does anything that takes long.
fn outcome<R>(what: &str, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(f));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{what} took {took:?}");
    match result {
        Ok(result) => result,
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
            panic!("{what} panicked: {}", text.unwrap_or_default())
        }
    }
}

/// Runs `f` where errors of the operations in it are typed: on tensors it holds they compute at once.
fn at_once(what: &str, f: impl Fn() -> Tensor) -> Result<Tensor> {
    outcome(what, || jit(|_: &Tensor| f()).try_call(&Tensor::from(0.0)))
}

/// A function of a tensor with one number left open.
type Sized = (&'static str, fn(&Tensor, usize) -> Tensor);
/// The same with a number that may be negative.
type Placed = (&'static str, fn(&Tensor, isize) -> Tensor);

fn sized() -> Vec<Sized> {
    vec![
        ("zeros", |_, n| Tensor::zeros([n, 4], DType::F32)),
        ("ones", |_, n| Tensor::ones([4, n], DType::Bool)),
        ("full", |_, n| Tensor::full([n, n], DType::F64, 2.0)),
        ("full of nothing", |_, n| Tensor::full([n, 0, n], DType::U8, 2.0)),
        ("new", |_, n| Tensor::new([n, 4], vec![1f32; 4]).unwrap_or_else(|_| Tensor::from(0.0))),
        ("new of nothing", |_, n| {
            Tensor::new([n, 0], Vec::<i64>::new()).unwrap_or_else(|_| Tensor::from(0.0))
        }),
        ("arange", |_, n| Tensor::arange(n, DType::I64)),
        ("arange of bytes", |_, n| Tensor::arange(n, DType::U8)),
        ("iota", |_, n| Tensor::iota([2, n], 1, DType::I32)),
        ("iota axis", |_, n| Tensor::iota([2, 2], n, DType::I32)),
        ("linspace", |_, n| Tensor::linspace(0.0, 1.0, n, DType::F64)),
        ("eye", |_, n| Tensor::eye(n, DType::F64)),
        ("reshape", |x, n| x.reshape([n, 3])),
        ("reshape to three", |x, n| x.reshape([n, n, 3])),
        ("broadcast_to", |x, n| x.index(0, 0).broadcast_to([n, 3])),
        ("broadcast_to square", |x, n| x.index(0, 0).slice(0, ..1).broadcast_to([n, n])),
        ("tile", |x, n| x.tile(n, 0)),
        ("tile within", |x, n| x.tile(n, 1)),
        ("repeat", |x, n| x.repeat(n, 0)),
        ("repeat within", |x, n| x.repeat(n, -1)),
        ("pad before", |x, n| x.pad(&[(n, 0), (0, 0)])),
        ("pad after", |x, n| x.pad(&[(0, 0), (0, n)])),
        ("pad around", |x, n| x.pad(&[(n, n), (n, n)])),
        ("split", |x, n| x.split(&[n, 2usize.wrapping_sub(n)], 0).remove(0)),
        ("flatten_from", |x, n| x.flatten_from(n as isize)),
        ("sum", |x, n| x.sum(n)),
        ("sum over two", |x, n| x.sum([0, n].as_slice())),
        ("mean kept", |x, n| x.mean(Axes::keep(n))),
        ("var", |x, n| x.var((), n)),
        ("std", |x, n| x.std(0, n)),
        ("one_hot", |x, n| x.cast(DType::I64).one_hot(n, DType::F32)),
        ("one_hot of bytes", |x, n| x.cast(DType::U8).one_hot(n, DType::F32)),
        ("top_k", |x, n| x.top_k(n, 0).0),
        ("top_k within", |x, n| x.top_k(n, -1).1.cast(DType::F64)),
        ("concat of nothing", |x, n| {
            let part = Tensor::zeros([n, 0], DType::F64);
            Tensor::concat(&[&part, &part, &x.slice(1, ..0)], 0)
        }),
        ("add", |x, n| x + Tensor::full([n, 1, 1], DType::F64, 1.0)),
        ("number", |x, n| x.cast(DType::I64).equal(n).cast(DType::F64)),
        ("avg_pool", |x, n| x.avg_pool(&[n], &Stencil::new(1))),
        ("avg_pool padding", |x, n| x.avg_pool(&[2], &Stencil::new(1).padding(n).stride(n))),
        ("avg_pool of padding", |x, n| x.avg_pool(&[n], &Stencil::new(1).paddings(&[(n / 2, n - n / 2)]))),
        ("avg_pool stride", |x, n| x.avg_pool(&[2], &Stencil::new(1).stride(n))),
        ("avg_pool dilation", |x, n| x.avg_pool(&[2], &Stencil::new(1).dilation(n))),
        ("avg_pool dilation of one", |x, n| x.avg_pool(&[1], &Stencil::new(1).dilation(n))),
        ("avg_pool all", |x, n| x.avg_pool(&[n, n], &Stencil::new(2).padding(n).stride(n).dilation(n))),
        ("max_pool", |x, n| x.max_pool(&[n], &Stencil::new(1))),
        ("max_pool padding", |x, n| x.max_pool(&[2], &Stencil::new(1).padding(n))),
        ("max_pool after", |x, n| x.max_pool(&[2], &Stencil::new(1).paddings(&[(0, n)]).stride(n))),
        ("max_pool stride", |x, n| x.max_pool(&[2], &Stencil::new(1).stride(n))),
        ("max_pool dilation", |x, n| x.max_pool(&[2], &Stencil::new(1).dilation(n))),
        ("max_pool padded dilation", |x, n| {
            x.max_pool(&[2], &Stencil::new(1).dilation(n).padding(n).stride(n))
        }),
        ("max_pool dilation of one", |x, n| x.max_pool(&[1], &Stencil::new(1).dilation(n))),
        ("max_pool2d", |x, n| x.max_pool2d(n)),
        ("avg_pool2d", |x, n| x.avg_pool2d(n)),
        ("conv stride", |x, n| convolved(x, Stencil::new(1).stride(n))),
        ("conv padding", |x, n| convolved(x, Stencil::new(1).padding(n))),
        ("conv padding with steps", |x, n| convolved(x, Stencil::new(1).padding(n).stride(n))),
        ("conv before", |x, n| convolved(x, Stencil::new(1).paddings(&[(n, 0)]).stride(n))),
        ("conv dilation", |x, n| convolved(x, Stencil::new(1).dilation(n))),
        ("conv padded dilation", |x, n| convolved(x, Stencil::new(1).padding(n).dilation(n))),
        ("conv groups", |x, n| convolved(x, Stencil::new(1).groups(n))),
        ("conv groups of nothing", |_, n| {
            let kernel = Tensor::zeros([0, 2, 2], DType::F64);
            Tensor::zeros([1, 0, 3], DType::F64).conv(&kernel, &Stencil::new(1).groups(n))
        }),
        ("conv of one tap", |x, n| {
            x.reshape([1, 2, 3]).conv(&Tensor::ones([1, 2, 1], DType::F64), &Stencil::new(1).dilation(n))
        }),
        ("stencil", |x, n| x.avg_pool(&[1, 1], &Stencil::new(n))),
        ("stencil strides", |x, n| x.avg_pool(&[1, 2], &Stencil::new(2).strides(&[n, n]))),
        ("stencil strides of one", |x, n| x.max_pool(&[1, 2], &Stencil::new(2).strides(&[n]))),
        ("conv2d stride", |x, n| image(x).conv2d(&Tensor::ones([1, 1, 2, 2], DType::F64), n, 0)),
        ("conv2d padding", |x, n| image(x).conv2d(&Tensor::ones([1, 1, 2, 2], DType::F64), 1, n)),
        ("conv2d both", |x, n| image(x).conv2d(&Tensor::ones([1, 1, 2, 2], DType::F64), n, n)),
        ("polygamma", |x, n| x.polygamma(n as u32)),
        ("polygamma of one digit", |x, n| x.cast(DType::F32).polygamma((n >> 32) as u32).cast(DType::F64)),
        ("gradient of polygamma", |x, n| grad(|x: &Tensor| x.polygamma(n as u32).sum(()))(x)),
        ("key bits", |_, n| Key::new(0).bits([n, 3], 31)),
        ("key bits as many", |_, n| Key::new(0).bits([3], n as u32)),
        ("key uniform", |_, n| Key::new(0).uniform([n, n], DType::F32)),
        ("key normal", |_, n| Key::new(0).normal([n], DType::F64)),
        ("key bernoulli", |_, n| Key::new(0).bernoulli(0.5, [n, 1])),
        ("key permutation", |_, n| Key::new(0).permutation(n)),
        ("key fold_in", |_, n| Key::new(0).fold_in(n.min(isize::MAX as usize)).uniform([2], DType::F64)),
        ("keys", |_, n| {
            let keys = Key::new(0).split_n(n);
            Tensor::from(keys.len() as f64)
        }),
        ("scan_with", |x, n| {
            let step = |c: &Tensor, x: &Tensor| (c * x.sum(()), ());
            grad(|x: &Tensor| scan_with(Checkpoints::Slots(n), &Tensor::from(1.0), x, step).0)(x)
        }),
        ("while_loop_with", |x, n| {
            let body = |y: &Tensor| y * 2.0;
            let loops =
                |x: &Tensor| while_loop_with(Checkpoints::Slots(n), x, |y| y.sum(()).less(40.0), body);
            grad(|x: &Tensor| loops(x).sum(()))(x)
        }),
        ("vmap", |_, n| vmap(|v: &Tensor| v.sum(()))(&Tensor::zeros([n, 0], DType::F64))),
        ("vmap of rows", |x, n| vmap(|v: &Tensor| v.tile(n, 0))(x)),
        ("vmap of pads", |x, n| vmap(|v: &Tensor| v.pad(&[(n, 1)]))(x)),
        ("gradient of a tile", |x, n| grad(|x: &Tensor| x.tile(n, 0).sum(()))(x)),
        ("gradient of a pad", |x, n| grad(|x: &Tensor| x.pad(&[(n, 0), (0, 1)]).sum(()))(x)),
        ("gradient of a pool", |x, n| {
            grad(|x: &Tensor| x.avg_pool(&[2], &Stencil::new(1).stride(n).dilation(1)).sum(()))(x)
        }),
        ("gradient of a convolution", |x, n| {
            grad(|x: &Tensor| convolved(x, Stencil::new(1).stride(n)).sum(()))(x)
        }),
        ("bincount", |x, n| x.cast(DType::I64).bincount(n)),
        ("dynamic_slice", |x, n| x.dynamic_slice(&Tensor::from(0i64), n, 1)),
        ("new_iota", |x, n| x.new_iota([n, 2], 0, DType::I64)),
        ("new_full", |x, n| x.new_full([n, 2], DType::F64, 1.0)),
        ("gradient of a kernel", |x, n| {
            let stencil = Stencil::new(1).stride(n).padding(1);
            grad(|k: &Tensor| x.reshape([1, 2, 3]).conv(k, &stencil).sum(()))(&Tensor::ones(
                [1, 2, 2],
                DType::F64,
            ))
        }),
    ]
}

fn image(x: &Tensor) -> Tensor {
    x.reshape([1, 1, 2, 3])
}

fn convolved(x: &Tensor, stencil: Stencil) -> Tensor {
    x.reshape([1, 2, 3]).conv(&Tensor::ones([2, 2, 2], DType::F64), &stencil)
}

fn placed() -> Vec<Placed> {
    vec![
        ("slice from", |x, i| x.slice(1, i..)),
        ("slice to", |x, i| x.slice(1, ..i)),
        ("slice to, included", |x, i| x.slice(1, ..=i)),
        ("slice", |x, i| x.slice(1, i..i)),
        ("slice axis", |x, i| x.slice(i, ..)),
        ("slice_step", |x, i| x.slice_step(1, .., i)),
        ("slice_step of one", |x, i| x.slice_step(1, 1..2, i)),
        ("slice_step of none", |x, i| x.slice_step(1, 1..1, i)),
        ("index", |x, i| x.index(1, i)),
        ("index axis", |x, i| x.index(i, 0)),
        ("at", |x, i| x.at(i)),
        ("reshape", |x, i| x.reshape([i, -1])),
        ("dynamic_slice", |x, i| x.dynamic_slice(&Tensor::from(i as i64), 1, 1)),
        ("dynamic_slice axis", |x, i| x.dynamic_slice(&Tensor::from(0i64), 1, i)),
        ("dynamic_update_slice", |x, i| {
            x.dynamic_update_slice(&Tensor::ones([2, 1], DType::F64), &Tensor::from(i as i64), 1)
        }),
        ("dynamic_update_slice axis", |x, i| {
            x.dynamic_update_slice(&Tensor::ones([2, 1], DType::F64), &Tensor::from(0i64), i)
        }),
        ("scatter", |x, i| x.scatter(&Tensor::from([i as i64, 0]), &Tensor::ones([2, 2], DType::F64), 1)),
        ("scatter axis", |x, i| x.scatter(&Tensor::from([0i64, 0]), &Tensor::ones([2, 2], DType::F64), i)),
        ("scatter_mul", |x, i| {
            x.scatter_mul(&Tensor::from([i as i64, 0]), &Tensor::ones([2, 2], DType::F64), 1)
        }),
        ("scatter_max axis", |x, i| {
            x.scatter_max(&Tensor::from([0i64, 0]), &Tensor::ones([2, 2], DType::F64), i)
        }),
        ("scatter_min", |x, i| {
            x.scatter_min(&Tensor::from([i as i64, 0]), &Tensor::ones([2, 2], DType::F64), 1)
        }),
        ("gather_nd", |x, i| x.gather_nd(&Tensor::from([[0, i as i64]]))),
        ("quantile", |x, i| x.quantile(0.3, i)),
        ("median", |x, i| x.median(i)),
        ("cummax", |x, i| x.cummax(i)),
        ("cummin", |x, i| x.cummin(i)),
        ("logcumsumexp", |x, i| x.logcumsumexp(i)),
        ("reverse_cumsum", |x, i| x.reverse_cumsum(i)),
        ("all_gather", |x, i| vmap_named("axis", |x: &Tensor| gradus::all_gather(x, "axis", i))(x)),
        ("roll", |x, i| x.roll(i, 1)),
        ("roll axis", |x, i| x.roll(1, i)),
        ("tril", |x, i| x.tril(i)),
        ("triu", |x, i| x.triu(i)),
        ("permute", |x, i| x.permute([i, 0])),
        ("swap_axes", |x, i| x.swap_axes(i, 0)),
        ("move_axis", |x, i| x.move_axis(0, i)),
        ("expand_dims", |x, i| x.expand_dims(i)),
        ("squeeze", |x, i| x.expand_dims(0).squeeze(i)),
        ("flip", |x, i| x.flip(i)),
        ("concat", |x, i| Tensor::concat(&[x, x], i)),
        ("stack", |x, i| Tensor::stack(&[x, x], i)),
        ("split", |x, i| x.split(&[1, 1], i).remove(0)),
        ("tile axis", |x, i| x.tile(2, i)),
        ("repeat axis", |x, i| x.repeat(2, i)),
        ("take", |x, i| x.take(&Tensor::from([i as i64]), 0)),
        ("take short", |x, i| {
            x.take(&Tensor::from([i.clamp(i32::MIN as isize, i32::MAX as isize) as i32]), 0)
        }),
        ("take axis", |x, i| x.take(&Tensor::from([0i64]), i)),
        ("take_along_axis", |x, i| x.take_along_axis(&Tensor::from([[i as i64], [0]]), 1)),
        ("scatter_add", |x, i| {
            x.scatter_add(&Tensor::from([i as i64]), &Tensor::ones([1, 3], DType::F64), 0)
        }),
        ("scatter_add axis", |x, i| {
            x.scatter_add(&Tensor::from([0i64]), &Tensor::ones([1, 3], DType::F64), i)
        }),
        ("sort", |x, i| x.sort(i)),
        ("argsort", |x, i| x.argsort(i).cast(DType::F64)),
        ("argmax", |x, i| x.argmax(i).cast(DType::F64)),
        ("argmin", |x, i| x.argmin(i).cast(DType::F64)),
        ("any", |x, i| x.greater(2.0).any(i).cast(DType::F64)),
        ("norm", |x, i| x.norm(i)),
        ("norm_p", |x, i| x.norm_p(i as f64, i)),
        ("standardize", |x, i| x.standardize(i, 1e-5)),
        ("log_softmax", |x, i| x.log_softmax(i)),
        ("cumsum", |x, i| x.cumsum(i)),
        ("cumprod", |x, i| x.cumprod(i)),
        ("softmax", |x, i| x.softmax(i)),
        ("logsumexp", |x, i| x.logsumexp(i)),
        ("sum", |x, i| x.sum(i)),
        ("prod", |x, i| x.prod(Axes::keep(i))),
        ("tensordot", |x, i| x.tensordot(x, &[i], &[0])),
        ("tensordot twice", |x, i| x.matmul(&x.t()).tensordot(&x.matmul(&x.t()), &[0, i], &[0, 0])),
        ("powi", |x, i| x.powi(i.clamp(i32::MIN as isize, i32::MAX as isize) as i32)),
        ("gradient of powi", |x, i| {
            grad(|x: &Tensor| x.powi(i.clamp(i32::MIN as isize, i32::MAX as isize) as i32).sum(()))(x)
        }),
        ("number", |x, i| x.cast(DType::I64) * (i as i64)),
        ("gradient of a step", |x, i| grad(|x: &Tensor| x.slice_step(1, .., i).sum(()))(x)),
        ("gradient of a roll", |x, i| grad(|x: &Tensor| (x.roll(i, 0) * x).sum(()))(x)),
        ("vmap of steps", |x, i| vmap(|v: &Tensor| v.slice_step(0, .., i))(x)),
    ]
}

fn x() -> Tensor {
    Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
}

#[test]
fn absurd_sizes_are_errors_or_answers() {
    for (name, f) in sized() {
        for n in SIZES {
            let what = format!("{name} of {n}");
            let now = at_once(&what, || f(&x(), n));
            let recorded = outcome(&what, || jit(|x: &Tensor| f(x, n)).try_call(&x()));
            agree(&what, now, recorded);
        }
    }
}

#[test]
fn absurd_places_are_errors_or_answers() {
    for (name, f) in placed() {
        for i in PLACES {
            let what = format!("{name} at {i}");
            let now = at_once(&what, || f(&x(), i));
            let recorded = outcome(&what, || jit(|x: &Tensor| f(x, i)).try_call(&x()));
            agree(&what, now, recorded);
        }
    }
}

/// Every public function that takes an extent, a place or an axis is called above.
#[test]
fn all_functions_of_sizes_are_called() {
    let here = include_str!("hostile.rs");
    let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut functions = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for signature in text.split("\n    pub fn ").chain(text.split("\npub fn ")).skip(1) {
            let Some((name, rest)) = signature.split_once(['(', '<']) else { continue };
            let parameters = rest.split(['{', ';']).next().unwrap().split("->").next().unwrap();
            let sizes = ["usize", "isize", "Shape", "RangeBounds", "Axes", "u32", "i32", "Stencil"];
            if name.chars().all(|c| c.is_alphanumeric() || c == '_')
                && sizes.iter().any(|s| parameters.contains(s))
            {
                functions += 1;
                let called = [".", "::", "("].iter().any(|before| here.contains(&format!("{before}{name}(")));
                assert!(called, "{}: `{name}` is not called with absurd sizes", path.display());
            }
        }
    }
    assert!(functions > 60, "{functions}");
}

/// Computed at once or as a program, it is the same result or an error.
fn agree(what: &str, now: Result<Tensor>, recorded: Result<Tensor>) {
    match (now, recorded) {
        (Ok(a), Ok(b)) => {
            let read = |t: &Tensor| t.cast(DType::F64).to_vec::<f64>();
            let equal = read(&a).iter().zip(read(&b)).all(|(&a, b)| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
            });
            assert!(a.shape() == b.shape() && equal, "{what}: {a} at once, {b} recorded");
        }
        (Err(_), Err(_)) => {}
        (now, recorded) => panic!("{what}: {now:?} at once, {recorded:?} recorded"),
    }
}

/// Plans of programs whose values no machine holds are made or refused; nothing is run.
#[test]
fn absurd_programs_are_planned_or_refused() {
    let sizes = [1usize << 31, 1 << 40, 1 << 50, (1 << 57) + 1, 1 << 58, 1 << 59];
    let functions: [Sized; 13] = [
        ("chain", |x, n| x.sum(()).broadcast_to([n]).sin().exp().sum(())),
        ("wide", |x, n| {
            let y = x.sum(()).broadcast_to([n]);
            let parts: Vec<Tensor> = (0..40).map(|i| (&y * i as f64).cumsum(0)).collect();
            parts.iter().skip(1).fold(parts[0].clone(), |sum, p| sum + p.sort(0))
        }),
        ("tile", |x, n| x.tile(n / 2, 0).cumsum(0).sum(())),
        ("pad", |x, n| x.pad(&[(n / 4, 0), (0, 0)]).cumsum(0).sum(())),
        ("outer", |x, n| x.sum(()).broadcast_to([n]).outer(&x.sum(()).broadcast_to([n]))),
        ("product", |x, n| {
            let y = x.sum(()).broadcast_to([1 << 20, n]);
            y.matmul(&y.t())
        }),
        ("concat", |x, n| {
            let y = x.sum(()).broadcast_to([n]);
            Tensor::concat(&[&y, &y, &y, &y, &y], 0).sort(0)
        }),
        ("pool", |x, n| x.avg_pool(&[n], &Stencil::new(1).padding(n).stride(n))),
        ("windows", |x, n| x.max_pool(&[2], &Stencil::new(1).paddings(&[(0, 1)]).stride(n))),
        ("convolution", |x, n| convolved(x, Stencil::new(1).padding(n).stride(n))),
        ("taps", |x, n| convolved(x, Stencil::new(1).padding(n).dilation(n).stride(n))),
        ("gradient", |x, n| grad(|x: &Tensor| (x.tile(n / 2, 0).cumsum(0) * x.sum(())).sum(()))(x)),
        ("vmap", |x, n| vmap(|v: &Tensor| v.tile(n / 4, 0).sort(0))(x)),
    ];
    for (name, f) in functions {
        for n in sizes {
            let what = format!("the plan of {name} of {n}");
            // Either is fine; what matters is that it is said, and soon.
            let _ = outcome(&what, || jit(|x: &Tensor| f(x, n)).try_plan(&x()));
        }
    }
}

#[test]
fn what_is_too_large_says_so() {
    let too_large = |what: &str, op: &str, f: &dyn Fn() -> Tensor| {
        let error = at_once(what, f).expect_err(what);
        match error.kind() {
            ErrorKind::TooLarge { op: named, shape, bytes } => {
                assert_eq!(*named, op, "{what}");
                assert!(*bytes > isize::MAX as u128 && shape.rank() > 0, "{what}: {error}");
            }
            _ => panic!("{what}: {error}"),
        }
        let text = error.to_string();
        assert!(text.contains("too large") && text.contains("hostile.rs:"), "{what}: {text}");
    };
    let x = x();
    too_large("zeros", "full", &|| Tensor::zeros([1 << 32, 1 << 32], DType::F32));
    too_large("broadcast_to", "broadcast_to", &|| Tensor::from(1.0).broadcast_to([1 << 32, 1 << 32]));
    too_large("tile", "tile", &|| x.tile(1 << 62, 0));
    too_large("repeat", "repeat", &|| x.repeat(usize::MAX, 0));
    too_large("one_hot", "one_hot", &|| x.cast(DType::I64).one_hot(1 << 60, DType::F32));
    too_large("pad", "pad", &|| x.pad(&[(usize::MAX - 900, 0), (0, 0)]));
    too_large("eye", "eye", &|| Tensor::eye(1 << 31, DType::Bool));
    too_large("arange", "iota", &|| Tensor::arange(usize::MAX, DType::I64));
    too_large("dilation", "conv", &|| convolved(&x, Stencil::new(1).padding(usize::MAX / 2)));
    too_large("pool", "max_pool", &|| x.max_pool(&[2], &Stencil::new(1).padding(usize::MAX / 2)));
    let wraps = Tensor::new([(1usize << 62) + 1, 4], vec![1f32; 4]).expect_err("2^64 + 4 elements are not 4");
    assert!(matches!(wraps.kind(), ErrorKind::TooLarge { op: "array", .. }), "{wraps}");
    let strides = Tensor::new([1usize << 63, 0], Vec::<f32>::new()).expect_err("its strides do not fit");
    assert!(matches!(strides.kind(), ErrorKind::TooLarge { .. }), "{strides}");
    let same = Array::new([4], vec![1f32; 4]).unwrap();
    assert!(matches!(same.reshaped([(1usize << 62) + 1, 4]), Err(ErrorKind::TooLarge { .. })));
    assert!(matches!(same.reshaped([5]), Err(ErrorKind::Shape { .. })));
}

#[test]
fn absurd_numbers_that_make_sense_have_their_answer() {
    let x = x();
    assert_eq!(x.slice_step(1, .., isize::MIN), Tensor::from([[3.0], [6.0]]));
    assert_eq!(x.slice_step(1, .., isize::MAX), Tensor::from([[1.0], [4.0]]));
    assert_eq!(x.slice_step(1, .., -2), Tensor::from([[3.0, 1.0], [6.0, 4.0]]));
    assert_eq!(x.tril(isize::MAX), x);
    assert_eq!(x.triu(isize::MIN), x);
    assert_eq!(x.tril(isize::MIN), x.zeros_like());
    assert_eq!(x.roll(isize::MIN, 1), x.roll(isize::MIN.rem_euclid(3), 1));
    let steps = Stencil::new(1).stride(usize::MAX);
    assert_eq!(x.avg_pool(&[2], &steps), Tensor::from([[1.5], [4.5]]));
    assert_eq!(x.max_pool(&[2], &steps), Tensor::from([[2.0], [5.0]]));
    assert_eq!(convolved(&x, steps), Tensor::from([[[12.0], [12.0]]]));
    let apart = Stencil::new(1).dilation(usize::MAX);
    assert_eq!(x.max_pool(&[1], &apart), x);
    // As many padded elements as there are numbers, all but a few of them zero.
    let wide = Stencil::new(1).padding(1 << 40).stride(1 << 40);
    assert_eq!(convolved(&x, wide.clone()), Tensor::from([[[0.0, 12.0, 0.0], [0.0, 12.0, 0.0]]]));
    assert_eq!(x.avg_pool(&[2], &wide), Tensor::from([[0.0, 1.5, 0.0], [0.0, 4.5, 0.0]]));
    let all = x.avg_pool(&[1 << 40], &Stencil::new(1).padding(1 << 39).stride(1 << 40));
    assert_eq!(all * 2f64.powi(40), Tensor::from([[6.0], [15.0]]));
    for n in [1usize << 26, 1 << 40] {
        // As programs, forward and backward, with nothing but padding around a few elements.
        let wide = Stencil::new(1).padding(n).stride(n);
        let kernel = Tensor::ones([2, 2, 2], DType::F64);
        let f = |x: &Tensor, k: &Tensor| x.reshape([1, 2, 3]).conv(k, &wide);
        assert_eq!(jit(|x: &Tensor| f(x, &kernel)).call(&x), convolved(&x, wide.clone()));
        let to_x = jit(grad(|x: &Tensor| f(x, &kernel).sum(()))).call(&x);
        assert_eq!(to_x, Tensor::from([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0]]));
        let to_kernel = jit(grad(|k: &Tensor| f(&x, k).sum(()))).call(&kernel);
        assert_eq!(to_kernel, Tensor::from([[[1.0, 2.0], [4.0, 5.0]], [[1.0, 2.0], [4.0, 5.0]]]));
        let mean = jit(|x: &Tensor| x.avg_pool(&[2], &wide)).call(&x);
        assert_eq!(mean, Tensor::from([[0.0, 1.5, 0.0], [0.0, 4.5, 0.0]]));
    }
    let bytes = Tensor::from([0u8, 255]).one_hot(257, DType::F64);
    assert_eq!(bytes.sum(1), Tensor::from([1.0, 1.0]));
    for (trips, slots) in [(0, 1), (1, 1), (10, 1), (10, 3), (50, 7), (9, 64)] {
        let counted = gradus_core::ops::Sweep::new(2, false, slots).count(trips)[0] + 2 * trips as u64;
        assert_eq!(Checkpoints::Slots(slots).evaluations(trips), counted);
    }
    for n in SIZES {
        assert!(Checkpoints::Slots(n.max(1)).evaluations(usize::MAX) > 1 << 63);
    }
}
