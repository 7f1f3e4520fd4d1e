//! What is kept between calls is bounded and told, and can be given back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gradus::{
    DType, ErrorKind, Key, Tensor, grad, jit, memory, release_memory, set_kept_limit, set_memory_limit,
};

/// One test at a time: what a process holds is that of all of them, where they do not run in processes of their own. Limits
/// start anew.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::env::var_os("GRADUS_MEMORY_KEPT").is_none() {
        set_kept_limit("50%").unwrap();
        set_memory_limit("100%").unwrap();
    }
    release_memory();
    guard
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4096
}

fn loss(x: &Tensor) -> Tensor {
    let y = x.matmul(&x.t()).tanh();
    (&y * y.sin()).sum(())
}

#[test]
fn shapes_in_rotation_are_planned_once() {
    let _alone = alone();
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

/// 10⁵ calls, nearly each of another shape, which takes minutes: `just shapes` runs it.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_random_shapes_stay_flat() {
    let _alone = alone();
    let f = jit(grad(loss));
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut held = Vec::new();
    for n in 1..=100_000 {
        let x = Tensor::ones([1 + below(200) as usize, 1 + below(600) as usize], DType::F32);
        if n % 2 == 0 {
            drop(f.call(&x));
        } else {
            drop(grad(loss)(&x));
        }
        if n % 10_000 == 0 {
            held.push(resident());
            println!("{n} calls: {} MB resident, {} programs made", resident() / 1_000_000, f.programs());
        }
    }
    let (least, most) = (held.iter().min().expect("ten"), held.iter().max().expect("ten"));
    assert!(most - least <= 16 << 20, "{held:?}");
    assert!(f.programs() > 20_000, "{} programs: shapes were not random", f.programs());
}

#[test]
fn programs_that_nobody_uses_are_given_up() {
    let _alone = alone();
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
    let _alone = alone();
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
    let _alone = alone();
    set_kept_limit("1 MiB").unwrap();
    let f = jit(|x: &Tensor| x.exp().matmul(&x.sin()).sum(1));
    for n in [100, 500, 1000] {
        drop(f.call(&Tensor::ones([n, n], DType::F32)));
        assert!(memory().kept() <= 1 << 20, "{:?}", memory());
    }
    assert!(set_kept_limit("a lot").is_err());
}

fn gradus_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

const HUGE: usize = 1 << 44;

fn refused<R>(f: impl FnOnce() -> R) -> String {
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).err().expect("it is refused");
    *payload.downcast::<String>().expect("a message")
}

#[test]
fn operations_say_what_cannot_be_allocated() {
    let _alone = alone();
    let x = Tensor::from([1f32, 2.0, 3.0]);
    let messages = [
        refused(|| Tensor::zeros([HUGE], DType::F32)),
        refused(|| Tensor::arange(HUGE, DType::I64)),
        refused(|| Tensor::linspace(0.0, 1.0, HUGE, DType::F64)),
        refused(|| Key::new(1).split_n(HUGE)),
        refused(|| x.broadcast_to([HUGE, 3])),
        refused(|| Key::new(1).normal([HUGE], DType::F64)),
        refused(|| Tensor::from([0i64]).one_hot(HUGE, DType::F32)),
        refused(|| Tensor::eye(1 << 22, DType::F64)),
        refused(|| x.pad(&[(HUGE, 0)])),
    ];
    for message in messages {
        assert!(message.contains("cannot allocate") && message.contains("TB"), "{message}");
    }
    // Everything goes on as before.
    assert_eq!(x.exp().to_vec::<f32>().len(), 3);
}

#[test]
fn programs_that_do_not_fit_are_errors_and_write_nothing() {
    let _alone = alone();
    let wide = jit(|x: &Tensor| (x.broadcast_to([HUGE / 4, 3]).cumsum(0), x * 2.0));
    let deep = jit(|x: &Tensor| x.broadcast_to([HUGE / 4, 3]).cumsum(0).sort(0).sum(()));
    let x = Tensor::from([1f32, 2.0, 3.0]);
    for _ in 0..2 {
        let error = wide.try_call(&x).unwrap_err();
        let ErrorKind::Memory { bytes, left, .. } = *error.kind() else { panic!("{error}") };
        assert!(bytes >= 3 * HUGE && left < bytes, "{error}");
        assert!(matches!(deep.try_call(&x).unwrap_err().kind(), ErrorKind::Memory { .. }));
        assert!(matches!(grad_of(&x).unwrap_err().kind(), ErrorKind::Memory { .. }));
    }
    assert!(refused(|| wide.call(&x)).contains("cannot allocate"));
    assert_eq!((wide.programs(), memory().arenas), (1, 0));
}

/// A derivative whose arena does not fit.
fn grad_of(x: &Tensor) -> gradus::Result<Tensor> {
    jit(grad(|x: &Tensor| x.broadcast_to([HUGE / 4, 3]).cumsum(0).square().cumsum(0).square().sum(())))
        .try_call(x)
}

/// The limits of the environment hold, and those that make no sense are errors that say so.
#[test]
fn variables_of_the_environment_are_checked() {
    let _alone = alone();
    let x = Tensor::ones([1000], DType::F32);
    let f = jit(|x: &Tensor| x.exp());
    if let Ok(want) = std::env::var("EXPECTED_ERROR") {
        let error = f.try_call(&x).err().map_or(String::new(), |e| e.to_string());
        assert!(error.contains(&want) && error.is_empty() == want.is_empty(), "{error}");
        if want.is_empty() {
            assert_eq!((memory().limit, memory().kept_limit), (8 << 20, 1 << 20));
            assert!(refused(|| Tensor::ones([3 << 20], DType::F32)).contains("cannot allocate 12.6 MB"));
        }
        return;
    }
    let cases = [
        ("8 MiB", "1 MiB", ""),
        ("plenty", "1 MiB", "GRADUS_MEMORY_LIMIT: \"plenty\" is no amount"),
        ("0", "1 MiB", "GRADUS_MEMORY_LIMIT: the limit must be above 0"),
        ("8 MiB", "1 MB/s", "GRADUS_MEMORY_KEPT: \"1 MB/s\" is no amount"),
    ];
    for (limit, kept, error) in cases {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "variables_of_the_environment_are_checked"])
            .envs([("GRADUS_MEMORY_LIMIT", limit), ("GRADUS_MEMORY_KEPT", kept), ("EXPECTED_ERROR", error)])
            .output()
            .unwrap();
        assert!(done.status.success(), "{limit}, {kept}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    /// Calls of many shapes, each planned by the device and by `jit`, hold no more than calls of a few.
    #[test]
    fn programs_of_many_shapes_share_their_memory() {
        let _alone = alone();
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

    /// A new length rarely makes a new arena: most find one that is large enough.
    #[test]
    fn lengths_that_grow_share_few_arenas() {
        let _alone = alone();
        let f =
            jit(grad(|x: &Tensor| x.matmul(&x.t()).softmax(1).matmul(x).tanh().square().cumsum(0).sum(())));
        let mut sizes = Vec::new();
        for length in 265..=280 {
            f.call(&Tensor::ones([length, 64], DType::F32));
            sizes.push(memory().idle_arenas);
        }
        sizes.dedup();
        assert!(sizes[0] > 0 && sizes.len() <= 3, "{sizes:?}");
    }

    #[test]
    fn threads_share_arenas_and_leave_no_scratch() {
        let _alone = alone();
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

    #[test]
    fn limits_hold_and_can_be_raised() {
        let _alone = alone();
        let f = jit(|x: &Tensor| x.exp().cumsum(0).cumsum(1));
        let x = Tensor::ones([1000, 1000], DType::F32);
        set_memory_limit(memory().in_use() + (1 << 20)).unwrap();
        let error = f.try_call(&x).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Memory { .. }), "{error}");
        // What was given away is not half-written: there was no run.
        assert!(f.try_call(&x).is_err());
        set_memory_limit("100%").unwrap();
        assert_eq!(f.call(&x).shape(), x.shape());
        // What is kept makes place for what is needed.
        drop(f.call(&x));
        assert!(memory().kept() >= 4_000_000);
        set_memory_limit(memory().in_use() + 9_000_000).unwrap();
        drop(Tensor::ones([2_000_000], DType::F32));
        assert!(set_memory_limit(0).is_err() && set_memory_limit("x").is_err());
    }
}
