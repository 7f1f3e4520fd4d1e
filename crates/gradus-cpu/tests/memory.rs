//! A run never needs more memory than its plan says: every allocation of the process is counted.

#[allow(dead_code)]
#[path = "../examples/steps/models.rs"]
mod models;
#[allow(dead_code)]
mod programs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_core::Graph;
use gradus_cpu::exec::Executable;
use gradus_plan::{Budget, Options, Strategy, plan};
use programs::arguments;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a run allocates at its peak, its arguments not counted, and what the plan says.
fn measured(graph: &Graph, options: &Options) -> (usize, usize) {
    let args = arguments(graph, 1);
    let planned = plan(graph, options).unwrap();
    let peak =
        if options.donate { planned.planned_peak_donated_bytes() } else { planned.planned_peak_bytes() };
    let claim = peak - planned.argument_bytes();
    let executable = Executable::new(planned);
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = if options.donate { executable.run_owned(args) } else { executable.run(&args) }.unwrap();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    drop(out);
    (peak, claim)
}

fn close(graph: &Graph, options: &Options) {
    let (peak, claim) = measured(graph, options);
    assert!(peak <= claim, "{options:?}: measured {peak}, planned {claim}");
    assert!(
        peak * 10 >= claim * 9,
        "{options:?}: measured {peak}, planned {claim}: the plan claims too much"
    );
}

#[test]
fn measured_peaks_stay_within_planned_ones() {
    let g = models::mlp(&[256, 512, 512, 512, 512, 512, 10], 1024, models::mish_of);
    let options = |strategy, memory_budget| Options { strategy, memory_budget, ..Options::default() };
    let mut all = vec![];
    for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested, Strategy::Auto] {
        all.push(options(strategy, None));
    }
    for share in [0.9, 0.8, 0.7] {
        all.push(options(Strategy::Auto, Some(Budget::Share(share))));
    }
    // The threads' own memory is there after a first run.
    measured(&g, &all[0]);
    for options in &all {
        close(&g, options);
    }
    // Whole steps, parameters written over.
    for rule in [models::Update::Sgd, models::Update::Adam] {
        let step = models::step(&[256, 512, 512, 512, 512, 512, 10], 1024, models::mish_of, rule);
        for options in &all[..5] {
            close(&step, &Options { donate: true, ..options.clone() });
        }
    }
    // A second run allocates results only.
    let args = arguments(&g, 1);
    let executable = Executable::new(plan(&g, &Options::default()).unwrap());
    drop(executable.run(&args).unwrap());
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = executable.run(&args).unwrap();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(peak <= executable.plan().result_bytes() + executable.plan().outside_bound(), "{peak}");
    drop(out);
}
