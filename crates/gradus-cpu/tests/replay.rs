//! Loops of unknown length run by the executor: what the interpreter gives, the same bits from any number of slots,
//! and never more memory than the plan says, whatever the number of steps.

#[allow(dead_code)]
mod programs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use gradus_core::ops::{Compare, Dot, Reduce, ReduceKind, While};
use gradus_core::transforms::{jvp, value_and_grad, vmap};
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};
use gradus_cpu::exec::Executable;
use gradus_cpu::pool::Pool;
use gradus_plan::{Options, plan};
use programs::Rng;

/// Counts what the calling thread allocates: the harness and the other tests do not show.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn add(bytes: isize) {
    NOW.set(NOW.get() + bytes);
    PEAK.set(PEAK.get().max(NOW.get()));
}

// SAFETY: every call is passed on to the system's allocator; the counters need no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn ready(graph: &Graph) -> Executable {
    Executable::new(plan(graph, &Options::default()).unwrap())
}

fn bits(arrays: &[Array]) -> Vec<Vec<u64>> {
    arrays.iter().map(|a| a.to_f64().iter().map(|v| v.to_bits()).collect()).collect()
}

fn check(graph: &Graph, args: &[Array], what: &str) {
    let (want, executable) = (interpret(graph, args).unwrap(), ready(graph));
    let got = executable.run(args).unwrap();
    for (g, w) in got.iter().zip(&want) {
        assert_eq!((g.dtype(), g.shape()), (w.dtype(), w.shape()), "{what}");
        for (g, w) in g.to_f64().iter().zip(w.to_f64()) {
            assert!((g - w).abs() <= 1e-11 * w.abs().max(1.0), "{what}: {g}, should be {w}");
        }
    }
    assert_eq!(bits(&executable.run(args).unwrap()), bits(&got), "{what}: a second run");
    assert_eq!(bits(&executable.run_owned(args.to_vec()).unwrap()), bits(&got), "{what}: given away");
}

fn graph(types: &[Type], f: impl FnOnce(&mut Builder, &[Var]) -> gradus_core::Result<Vec<Var>>) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = types.iter().map(|ty| b.input(ty.clone())).collect();
    let results = f(&mut b, &args).expect("well typed");
    b.finish(results)
}

fn sum_of(b: &mut Builder, v: Var) -> gradus_core::Result<Var> {
    let axes = (0..b.shape(v).rank()).collect();
    b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[v])
}

/// `x ← tanh(x W) + x / 2, k ← k - 1 while k > 0`, a count carried along, and then `Σ x`.
fn network(rows: usize, n: usize, dtype: DType, checkpoints: Option<usize>) -> Graph {
    let (w, x, k) = (Type::new(dtype, [n, n]), Type::new(dtype, [rows, n]), Type::new(DType::I64, []));
    let types = [w, x.clone(), k.clone()];
    let cond = graph(&types, |b, a| {
        let zero = b.zeros_like(a[2]);
        Ok(vec![b.emit1(Compare::Gt, &[a[2], zero])?])
    });
    let body = graph(&types, |b, a| {
        let y = b.emit1(Dot::matmul(0), &[a[1], a[0]])?;
        let y = b.emit1(Unary::Tanh, &[y])?;
        let half = b.full(&x, 0.5);
        let rest = b.emit1(Binary::Mul, &[a[1], half])?;
        let y = b.emit1(Binary::Add, &[y, rest])?;
        let one = b.full(&k, 1.0);
        Ok(vec![y, b.emit1(Binary::Sub, &[a[2], one])?])
    });
    graph(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints };
        let out = b.emit(w, a)?;
        Ok(vec![sum_of(b, out[0])?])
    })
}

fn arguments(graph: &Graph, trips: i64) -> Vec<Array> {
    let mut rng = Rng::new(5);
    let types = graph.input_types();
    let floats = types.iter().filter(|ty| ty.dtype.is_float()).map(|ty| rng.array(ty));
    let mut args: Vec<Array> = floats.collect();
    args.push(Array::scalar(trips));
    args
}

/// `Σ` of all float results.
fn total(of: &Graph) -> Graph {
    graph(&of.input_types(), |b, a| {
        let mut sum = None;
        for v in b.inline(of, a)? {
            if b.dtype(v).is_float() {
                let v = sum_of(b, v)?;
                sum = b.add_tangents(sum, Some(v))?;
            }
        }
        Ok(vec![sum.expect("there is a float")])
    })
}

const WRT: [bool; 3] = [true, true, false];

#[test]
fn every_order_and_batch_as_the_interpreter() {
    for slots in [None, Some(1), Some(3)] {
        let g = network(2, 3, DType::F64, slots);
        let grad = value_and_grad(&g, &WRT).unwrap();
        let hessian = value_and_grad(&total(&grad), &WRT).unwrap();
        let third = value_and_grad(&total(&hessian), &WRT).unwrap();
        for trips in [0, 1, 6] {
            let args = arguments(&g, trips);
            for (order, g) in [&g, &grad, &hessian, &third].into_iter().enumerate() {
                check(g, &args, &format!("order {order}, {trips} trips, {slots:?} slots"));
            }
        }
        let forward_over_reverse = jvp(&total(&grad), &WRT).unwrap();
        let mut args = arguments(&g, 5);
        args.extend(args[..2].to_vec());
        check(&forward_over_reverse, &args, "forward over reverse");
        let (batched, second) =
            (vmap(&grad, &[false, true, true], 3).unwrap(), vmap(&hessian, &[true; 3], 3).unwrap());
        let stacked = |g: &Graph| -> Vec<Array> {
            let mut args = arguments(g, 0);
            args.pop();
            args.push(Array::new([3], vec![4i64, 0, 7]).unwrap());
            args
        };
        check(&batched, &stacked(&batched), "a batch of gradients");
        check(&second, &stacked(&second), "a batch of second derivatives");
    }
}

#[test]
fn the_same_bits_from_any_number_of_slots() {
    for dtype in [DType::F32, DType::F64] {
        let g = |slots| value_and_grad(&network(4, 8, dtype, slots), &WRT).unwrap();
        let args = arguments(&g(None), 40);
        let want = bits(&ready(&g(Some(64))).run(&args).unwrap());
        for slots in [1, 2, 3, 7, 20] {
            assert_eq!(bits(&ready(&g(Some(slots))).run(&args).unwrap()), want, "{slots} slots");
        }
    }
}

#[test]
fn memory_is_planned_and_does_not_grow_with_the_steps() {
    let g = value_and_grad(&network(256, 16, DType::F32, Some(6)), &WRT).unwrap();
    let planned = plan(&g, &Options::default()).unwrap();
    let claim = (planned.planned_peak_bytes() - planned.argument_bytes()) as isize;
    // One thread, which is the one that counts.
    let pool = Arc::new(Pool::serial());
    let ready = || Executable::with_pool(planned.clone(), pool.clone());
    let mut peaks = Vec::new();
    for trips in [1, 10, 100, 2000] {
        let args = arguments(&g, trips);
        // The thread's own memory is there after a first run.
        ready().run(&arguments(&g, 1)).unwrap();
        let executable = ready();
        let before = NOW.get();
        PEAK.set(before);
        executable.run(&args).unwrap();
        peaks.push(PEAK.get() - before);
    }
    assert!(peaks.iter().all(|&p| p <= claim), "measured {peaks:?}, planned {claim}");
    assert_eq!(peaks[1], peaks[3], "{peaks:?}");
    // Six states of 16 KiB and little else.
    assert!(claim < 600 << 10, "planned {claim}");
}
