//! What a plan does, and why: in words, as JSON, as a picture of its memory, and as a page.
//!
//! [`Plan::explain`] says what the plan knows of itself. An [`Explanation`] adds a title, how derivatives are taken,
//! alternative plans, and measured times of kernels.

mod json;
mod page;
mod picture;
mod words;

use gradus_core::{Op, Phase, Site, Var};

use crate::fuse::is_movement;
use crate::kernel::{Domain, Kernel, Work};
use crate::{Place, Plan};

pub use json::json_text;

/// An amount of memory for people.
fn mib(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A time for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 10.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// Another plan for the same program.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// What it does differently.
    pub name: String,
    /// Bytes that its forward pass keeps for the backward pass, if it is known.
    pub saved: Option<usize>,
    /// Its peak in bytes.
    pub peak: usize,
    /// Its estimated seconds.
    pub seconds: f64,
    /// Whether it is the plan that was taken.
    pub taken: bool,
}

/// A plan with all that is known of it.
///
/// ```
/// use gradus_core::{Builder, DType, Type, Unary};
/// use gradus_plan::Explanation;
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F32, [1000]));
/// let y = b.emit1(Unary::Tanh, &[x])?;
/// let plan = gradus_plan::plan(&b.finish(vec![y]), &Default::default())?;
/// let told = Explanation { title: "tanh".into(), measured: Some(vec![1e-6]), ..Explanation::of(&plan) };
/// assert!(told.words().contains("tanh") && told.json().starts_with('{') && told.page().contains("<svg"));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the program is.
    pub title: String,
    /// How derivatives are taken, and what other modes would cost.
    pub mode: String,
    /// Other plans for the same program.
    pub alternatives: Vec<Alternative>,
    /// Seconds of each kernel, measured.
    pub measured: Option<Vec<f64>>,
    /// Whether runs own their arguments, so that results written over them are counted once.
    pub donated: bool,
}

impl<'a> Explanation<'a> {
    /// What the plan knows of itself.
    pub fn of(plan: &'a Plan) -> Self {
        let considered = plan.decision().alternatives.iter();
        let alternatives = considered.map(|(name, peak, seconds)| Alternative {
            name: name.clone(),
            saved: None,
            peak: *peak,
            seconds: *seconds,
            taken: false,
        });
        Explanation {
            plan,
            title: String::new(),
            mode: String::new(),
            alternatives: alternatives.collect(),
            measured: None,
            donated: false,
        }
    }

    /// Measured seconds of kernel `k`.
    fn measured(&self, k: usize) -> Option<f64> {
        self.measured.as_ref()?.get(k).copied()
    }

    /// Bytes at the peak.
    fn peak(&self) -> usize {
        if self.donated { self.plan.planned_peak_donated_bytes() } else { self.plan.planned_peak_bytes() }
    }

    /// Bytes in memory throughout: arguments and results.
    fn standing(&self) -> usize {
        self.peak() - self.plan.arena_bytes() - self.plan.outside_bound()
    }

    /// What each pass did: its name, and that in words.
    fn passes(&self) -> Vec<(&'static str, String)> {
        let plan = self.plan;
        let eqns = plan.graph().eqns();
        let decision = plan.decision();
        let mut out = Vec::new();
        if decision.recorded > 0 {
            out.push((
                "simplify",
                format!(
                    "{} recorded equations became {}: equal ones shared, constants folded, what changes nothing and what \
                     nobody reads removed",
                    decision.recorded, decision.simplified
                ),
            ));
        }
        if !plan.residuals().is_empty() {
            out.push((
                "keep",
                format!(
                    "{} equations became {}; {} values, {}, are kept for the backward pass",
                    decision.simplified,
                    eqns.len(),
                    plan.residuals().len(),
                    mib(plan.saved_bytes())
                ),
            ));
        }
        let moves = eqns.iter().filter(|e| is_movement(&e.op)).count();
        let carried = plan.kernels().iter().filter(|k| matches!(k.work, Work::Assemble(_))).count();
        if moves > 0 {
            out.push((
                "layout",
                format!(
                    "{moves} movements (transposes, broadcasts, slices); {carried} kernels move anything"
                ),
            ));
        }
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for kernel in plan.kernels() {
            match kinds.iter_mut().find(|(kind, _)| *kind == kernel.kind()) {
                Some(entry) => entry.1 += 1,
                None => kinds.push((kernel.kind(), 1)),
            }
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        out.push((
            "fuse",
            format!("{} equations in {} kernels: {}", eqns.len(), plan.kernels().len(), kinds.join(", ")),
        ));
        let over: usize = (0..plan.kernels().len()).map(|k| plan.in_place(k).len()).sum();
        if over > 0 {
            out.push((
                "in place",
                format!(
                    "{over} values are written over ones that nobody reads any more, {} of them results over arguments that \
                     are given away",
                    plan.donations().len()
                ),
            ));
        }
        let (arena, bound) = (plan.arena_bytes(), plan.arena_lower_bound());
        out.push((
            "buffers",
            format!(
                "one arena of {}; {} are in use at once at most, {:.1} % are lost between buffers",
                mib(arena),
                mib(bound),
                100.0 * (arena - bound) as f64 / arena.max(1) as f64
            ),
        ));
        out
    }

    /// The kernel at which most of the arena is in use, and the bytes of arena in use there.
    fn top(&self) -> (usize, usize) {
        let curve = self.plan.memory_curve();
        let top = curve.iter().copied().max().unwrap_or(0);
        (curve.iter().position(|&b| b == top).unwrap_or(0), top)
    }
}

impl Kernel {
    /// What kind of kernel it is, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.work {
            Work::Region(region) => match region.domain {
                Domain::Flat { .. } => "element-wise",
                Domain::Rows { .. } => "rows",
                Domain::LongRows { .. } => "long rows",
                Domain::Columns { .. } => "columns",
            },
            Work::Product(_) => "product",
            Work::Blocked(_) => "blockwise",
            Work::Assemble(_) => "movement",
            Work::Convolution(_) | Work::Primitive(Op::Conv(_)) => "convolution",
            Work::Primitive(_) | Work::Unpool(_) => "primitive",
            Work::Control(..) => "control",
        }
    }
}

impl Plan {
    /// The primitives that kernel `k` stands for, repeated ones counted.
    pub fn operations(&self, k: usize) -> String {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for &i in &self.kernels()[k].eqns {
            let name = self.graph().eqns()[i].op.name();
            match names.iter_mut().find(|n| n.0 == name) {
                Some(n) => n.1 += 1,
                None => names.push((name, 1)),
            }
        }
        if names.is_empty() {
            return "copy".into();
        }
        let one = |&(name, n): &(&str, usize)| if n == 1 { name.to_string() } else { format!("{name}×{n}") };
        names.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The sizes of kernel `k`: of a product `m×k · k×n`, of others the types of what they write.
    pub fn shape_of(&self, k: usize) -> String {
        let kernel = &self.kernels()[k];
        match &kernel.work {
            Work::Product(p) => {
                let [m, n, inner] = p.size;
                let batch: usize = p.batch.iter().map(|b| b.0).product();
                let batch = if batch > 1 { format!("{batch} of ") } else { String::new() };
                format!("{batch}{m}×{inner} · {inner}×{n}")
            }
            Work::Blocked(s) => {
                let blocks = if s.block < s.rows { format!(", {} at once", s.block) } else { String::new() };
                let masked = if s.masked.is_some() { ", without masked columns" } else { "" };
                format!("{} of {} rows{blocks}{masked}", s.count, s.rows)
            }
            _ => kernel.writes.iter().map(|&v| self.graph().ty(v).to_string()).collect::<Vec<_>>().join(" "),
        }
    }

    /// The plan in words: the kernels, the residuals with their reasons, and the memory over time.
    pub fn explain(&self) -> String {
        Explanation::of(self).words()
    }

    /// The plan as one JSON object.
    pub fn explain_json(&self) -> String {
        Explanation::of(self).json()
    }

    /// The memory in use over the step, kernel by kernel, as an SVG picture.
    pub fn memory_svg(&self) -> String {
        Explanation::of(self).memory_svg()
    }

    /// The plan as a self-contained HTML page: a picture of its memory, tables of its kernels and residuals.
    pub fn explain_html(&self) -> String {
        Explanation::of(self).page()
    }

    /// A value in words: its type, the primitive that made it and where.
    fn described(&self, v: Option<Var>) -> String {
        let Some(v) = v else { return "scratch".into() };
        let eqn = self.graph().eqns().iter().find(|e| e.outputs.contains(&v));
        let name = eqn.map_or("full", |e| e.op.name());
        format!("{v}: {} = {name}{}", self.graph().ty(v), eqn.map_or(String::new(), |e| at(&e.site)))
    }

    /// What kernel `k` writes over what it reads, in words.
    fn overwritten(&self, k: usize) -> impl Iterator<Item = String> + '_ {
        self.in_place(k).iter().map(|(written, read)| {
            let given = matches!(self.place(*read), Some(Place::Argument(_)));
            let when = if given { " if the argument is given away" } else { "" };
            format!("{written} is written over {read}{when}")
        })
    }
}

/// Totals of the kernels of each phase: their number, estimated and measured seconds.
fn by_phase(told: &Explanation<'_>) -> Vec<(Phase, usize, f64, Option<f64>)> {
    let phases = told.plan.phases();
    let each = picture::distinct(&phases).into_iter().map(|phase| {
        let mine: Vec<usize> = (0..phases.len()).filter(|&k| phases[k] == phase).collect();
        let estimated = mine.iter().map(|&k| told.plan.kernel_seconds(k)).sum();
        let measured = told.measured.is_some().then(|| mine.iter().filter_map(|&k| told.measured(k)).sum());
        (phase, mine.len(), estimated, measured)
    });
    each.collect()
}

/// The place in the source, if it is known.
fn at(site: &Site) -> String {
    if site.is_known() { format!("  at {site}") } else { String::new() }
}
