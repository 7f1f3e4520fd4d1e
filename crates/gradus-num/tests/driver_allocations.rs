//! After the first call no driver allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gradus_num::{Mode, Real, ScalarDriver, Tape, VectorDriver, reverse, scalar_fn, vector_fn};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// The allocations of the second and third call.
fn on_repeat(what: &str, mut f: impl FnMut()) {
    f();
    let before = ALLOCATIONS.with(Cell::get);
    f();
    f();
    let made = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(made, 0, "{what} allocated");
}

fn scalar<R: Real>(x: &[R]) -> R {
    x.windows(2).map(|w| (w[0] * w[1]).sin() + w[0] / w[1]).sum()
}

fn vector<R: Real>(x: &[R], y: &mut [R]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = x[i % x.len()] * x[(i + 1) % x.len()].exp();
    }
}

#[test]
fn repeated_calls_allocate_nothing() {
    let x: Vec<f64> = (0..37).map(|i| 1.0 + 0.01 * i as f64).collect();
    let n = x.len();
    let (mut g, mut p, mut h) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * n]);
    for mode in [Mode::Forward, Mode::Reverse] {
        let mut driver = ScalarDriver::new(scalar_fn!(scalar), &x).with_mode(mode);
        on_repeat("gradient", || _ = driver.value_and_gradient_into(&x, &mut g));
        on_repeat("hessian", || _ = driver.hessian_into(&x, &mut g, &mut h));
        on_repeat("hvp", || _ = driver.hvp_into(&x, &x, &mut g, &mut p));
        on_repeat("directional", || _ = driver.directional(&x, &x));
        on_repeat("laplacian", || _ = driver.laplacian(&x));
        on_repeat("taylor", || driver.taylor_into(&x, &x, &mut [0.0; 6]));
        let m = 11;
        let mut driver = VectorDriver::new(vector_fn!(vector, 11), &x).with_mode(mode);
        let (mut y, mut w, mut j) = (vec![0.0; m], vec![0.5; m], vec![0.0; m * n]);
        on_repeat("jacobian", || driver.jacobian_into(&x, &mut y, &mut j));
        on_repeat("jvp", || driver.jvp_into(&x, &x, &mut y, &mut w));
        on_repeat("vjp", || driver.vjp_into(&x, &w, &mut y, &mut p));
    }
    let mut tape = Tape::new();
    on_repeat("reverse", || {
        reverse::value_and_gradient_into(&mut tape, |v| scalar(v), &x, &mut g);
    });
}
