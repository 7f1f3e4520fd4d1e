//! What is kept between calls is bounded and told, and can be given back.

use gradus::{DType, Key, Tensor, grad, jit, memory, release_memory, set_kept_limit};

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4096
}

fn loss(x: &Tensor) -> Tensor {
    let y = x.matmul(&x.transpose(())).tanh();
    (&y * y.sin()).sum(())
}

/// Calls of many shapes, each planned by the device and by `jit`, hold no more than calls of a few.
#[test]
fn programs_of_many_shapes_share_their_memory() {
    let f = jit(grad(loss));
    let call = |n: usize| {
        let x = Key::new(n as u64).normal([n % 151 + 100, n / 151 % 7 + 40], DType::F32);
        drop(f.call(&x));
        drop(grad(loss)(&x));
    };
    (0..60).for_each(|n| call(n * 7));
    let arenas = memory().idle_arenas;
    let before = resident();
    (60..400).for_each(|n| call(n * 11));
    let now = memory();
    // Blocks of a few sizes, not one for each program.
    assert!(now.idle_arenas <= arenas + (2 << 20), "{} and then {}", arenas, now.idle_arenas);
    assert_eq!((now.arenas, f.programs()), (0, 400));
    let grown = resident().saturating_sub(before);
    let made = now.programs;
    assert!(grown < made + (24 << 20), "resident grew by {grown} with programs of {made} bytes");
    assert!(now.kept() <= now.kept_limit && now.peak >= now.in_use());
    release_memory();
    let now = memory();
    assert_eq!(now.kept(), 0);
    call(1);
    assert_eq!(f.programs(), 401, "planned again");
}

#[test]
fn shapes_in_rotation_are_planned_once() {
    let f = jit(grad(loss));
    for _ in 0..5 {
        for n in 0..64 {
            f.call(&Tensor::ones([n + 1, 30], DType::F32));
        }
    }
    assert_eq!(f.programs(), 64);
    f.clear();
    f.call(&Tensor::ones([1, 30], DType::F32));
    assert_eq!(f.programs(), 65);
}

#[test]
fn programs_that_nobody_uses_are_given_up() {
    let f = jit(|x: &Tensor| x.exp().sum(()));
    let often = Tensor::ones([3], DType::F64);
    for n in 0..2500 {
        f.call(&Tensor::ones([n + 10], DType::F32));
        f.call(&often);
    }
    assert_eq!(f.programs(), 2501, "the one in use stays");
    let kept = memory().programs;
    f.clear();
    assert_eq!(memory().programs, 0);
    let g = jit(|x: &Tensor| x.exp().sum(()));
    g.call(&often);
    let one = memory().programs;
    assert!(kept < 1100 * 2 * one, "{kept} bytes, one program takes {one}");
}

#[test]
fn failed_programs_leave_nothing() {
    let before = memory();
    for n in 0..100 {
        let f = jit(|x: &Tensor| x.matmul(&Tensor::ones([3, 3], DType::F32)));
        assert!(f.try_call(&Tensor::ones([n + 4, n + 4], DType::F32)).is_err());
        assert_eq!(f.programs(), 0);
    }
    assert_eq!(memory().programs, before.programs);
}

#[test]
fn nothing_waits_beyond_the_limit() {
    set_kept_limit("1 MiB").unwrap();
    let f = jit(|x: &Tensor| x.exp().matmul(&x.sin()).sum(1));
    for n in [100, 500, 1000] {
        drop(f.call(&Tensor::ones([n, n], DType::F32)));
        assert!(memory().kept() <= 1 << 20, "{:?}", memory());
    }
    assert!(set_kept_limit("a lot").is_err());
}

#[test]
fn threads_share_arenas_and_leave_no_scratch() {
    let f = jit(grad(loss));
    let x = Tensor::ones([300, 50], DType::F32);
    let want = f.call(&x);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(f.call(&x), want);
                }
            });
        }
    });
    let arena = f.plan(&x).arena_bytes();
    assert!(memory().idle_arenas <= 5 * arena, "{:?}", memory());
    release_memory();
    assert!(memory().scratch <= 4 * (64 << 10) * gradus_threads(), "{:?}", memory());
}

fn gradus_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
