//! The buffer-writing drivers allocate nothing on repeat calls.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gradus_num::{Dual, Real, forward};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller keeps this function's contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(mut f: impl FnMut()) -> usize {
    f();
    let before = COUNT.with(Cell::get);
    f();
    f();
    COUNT.with(Cell::get) - before
}

fn rosenbrock<R: Real>(x: &[R]) -> R {
    let mut sum = R::zero();
    for w in x.windows(2) {
        sum += (R::one() - w[0]).square() + (w[1] - w[0].square()).square().scale(100.0);
    }
    sum
}

#[test]
fn buffer_forms_do_not_allocate() {
    let x: Vec<f64> = (0..13).map(|i| 0.1 * f64::from(i)).collect();
    let mut work = Vec::<Dual<f64, 4>>::new();
    let mut g = vec![0.0; 13];
    assert_eq!(allocations(|| _ = forward::gradient_into(rosenbrock, &x, &mut work, &mut g)), 0);
    let (mut value, mut jac) = (vec![0.0; 2], vec![0.0; 26]);
    let f = |x: &[Dual<f64, 4>], y: &mut [Dual<f64, 4>]| {
        y[0] = rosenbrock(x);
        y[1] = x[3];
    };
    assert_eq!(allocations(|| forward::jacobian_into(f, &x, &mut work, &mut value, &mut jac)), 0);
    let mut work = Vec::<forward::Dual2<f64, 4>>::new();
    let mut h = vec![0.0; 169];
    assert_eq!(allocations(|| _ = forward::hessian_into(rosenbrock, &x, &mut work, &mut g, &mut h)), 0);
    let v = x.clone();
    assert_eq!(allocations(|| _ = forward::hvp_into(rosenbrock, &x, &v, &mut work, &mut g)), 0);
    let mut work = Vec::new();
    assert_eq!(allocations(|| _ = forward::laplacian_into(rosenbrock, &x, &mut work)), 0);
}
