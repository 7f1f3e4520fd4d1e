//! The pool runs every task once, whoever runs it, and survives panics, nesting and contention.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gradus_cpu::Pool;

#[test]
fn every_task_runs_once() {
    for threads in [1, 2, 3, 4, 8] {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads);
        for tasks in [0, 1, 2, 3, 7, 64, 1000] {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|task| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn many_jobs_in_a_row_with_pauses() {
    let pool = Pool::new(3);
    let total = AtomicUsize::new(0);
    for round in 0..3000 {
        pool.run(4, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        if round % 300 == 0 {
            // Long enough for the workers to park.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(total.load(Ordering::Relaxed), 12_000);
}

#[test]
fn sleeping_workers_are_woken() {
    let pool = Pool::new(2);
    std::thread::sleep(Duration::from_millis(5));
    let barrier = std::sync::Barrier::new(2);
    // Both tasks have to be in progress at once, so the parked worker must come.
    pool.run(2, &|_| {
        barrier.wait();
    });
}

#[test]
fn nested_runs_are_serial() {
    let pool = Pool::new(4);
    let total = AtomicUsize::new(0);
    pool.run(8, &|_| {
        let me = std::thread::current().id();
        pool.run(5, &|_| {
            assert_eq!(std::thread::current().id(), me);
            total.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(total.load(Ordering::Relaxed), 40);
}

#[test]
fn two_callers_share_a_pool() {
    let pool = Pool::new(2);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..500 {
                    pool.run(3, &|_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.load(Ordering::Relaxed), 4500);
}

#[test]
fn panics_reach_the_caller_and_leave_the_pool_usable() {
    let pool = Pool::new(3);
    for _ in 0..20 {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(16, &|task| assert!(task != 5, "task five"));
        }));
        let payload = caught.expect_err("the panic is passed on");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"task five"));
        let total = AtomicUsize::new(0);
        pool.run(16, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(total.into_inner(), 16);
    }
}

#[test]
fn ranges_cover_everything_in_fixed_pieces() {
    let pool = Pool::new(4);
    for (len, grain) in [(0, 4), (1, 4), (10, 4), (8, 4), (10, 0), (3, 100)] {
        let seen: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
        pool.run_ranges(len, grain, &|range| {
            assert_eq!(range.start % grain.max(1), 0);
            range.for_each(|i| {
                seen[i].fetch_add(1, Ordering::Relaxed);
            });
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}
