//! The plan: kernels in order, a place for every value, and the peak in bytes.

use std::sync::Arc;

use gradus_core::{ErrorKind, Graph, Op, Phase, Result, Site, Type, Var, nest};

use crate::arena::{self, Block, Kind};
use crate::fuse::{self, Source, Sources};
use crate::kernel::{Kernel, Work};
use crate::packed::{self, packed_bytes};
use crate::{Costs, Options, Requirements, Strategy, keep, passes};

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The buffer of an argument.
    Argument(usize),
    /// The buffer of a result.
    Result(usize),
    /// An offset in the arena.
    Arena(usize),
    /// A [local value](crate::kernel::Blocked::locals), by its number, inside the kernel that it belongs to.
    Local(usize),
}

/// Where a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Kernels write it.
    Written,
    /// It is an argument.
    Argument(usize),
    /// It is the same as an earlier result.
    Same(usize),
}

/// A compiled program: what to run, where everything lies, and what it costs, known before the first run.
#[derive(Clone, Debug)]
pub struct Plan {
    // Large members are shared among clones.
    pub(crate) graph: Arc<Graph>,
    pub(crate) kernels: Arc<Vec<Kernel>>,
    pub(crate) places: Arc<Vec<Option<Place>>>,
    pub(crate) returns: Vec<Return>,
    pub(crate) in_place: Arc<Vec<Vec<(Var, Var)>>>,
    pub(crate) donations: Vec<(usize, usize)>,
    pub(crate) arena: usize,
    pub(crate) blocks: Vec<Block>,
    pub(crate) block_of: Vec<Option<usize>>,
    pub(crate) packed: Vec<bool>,
    pub(crate) input_types: Vec<Type>,
    pub(crate) output_types: Vec<Type>,
    pub(crate) decision: Decision,
    pub(crate) costs: Costs,
}

impl Drop for Plan {
    /// The kernels of control flow hold plans in turn.
    fn drop(&mut self) {
        nest::level(|| drop(std::mem::take(&mut self.kernels)));
    }
}

/// What was chosen for a plan, and which alternatives were considered.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// How the kept values were chosen.
    pub strategy: Strategy,
    /// In words, why this plan.
    pub why: String,
    /// Other plans that were made: what they do, their peak in bytes, their estimated seconds.
    pub alternatives: Vec<(String, usize, f64)>,
    /// Under a budget, a lower bound on the estimated seconds of expensive work that any plan within it recomputes.
    pub least_again: f64,
    /// The number of derivative levels that keep values. Kernels of lower stages belong to the forward pass.
    pub levels: u32,
    /// Equations that were recorded.
    pub recorded: usize,
    /// Equations left of them by simplification.
    pub simplified: usize,
}

/// A value that the forward pass of a program keeps for the backward pass.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The value.
    pub value: Var,
    /// Its type.
    pub ty: Type,
    /// Bytes that it takes: masks may be [packed](Plan::packed).
    pub bytes: usize,
    /// The primitive that made it.
    pub op: &'static str,
    /// The source line that made it.
    pub site: Site,
    /// Why it is kept.
    pub why: &'static str,
}

impl Plan {
    /// Plans a graph.
    pub(crate) fn new(graph: &Graph, options: &Options) -> Result<Plan> {
        let graph = passes::simplify(graph)?;
        let stages = vec![0; graph.eqns().len()];
        Plan::staged(graph, &stages, options)
    }

    /// Plans a graph as it is; equations of different stages share a kernel only where that costs no memory.
    pub(crate) fn staged(graph: Graph, stages: &[u32], options: &Options) -> Result<Plan> {
        let (graph, stages) = passes::widened(graph, stages, &options.target)?;
        let fused = fuse::fuse(&graph, &stages, options)?;
        let bits = options.strategy != Strategy::Plain;
        Layout::new(graph, fused.kernels, fused.sources, bits).finish(options.target.costs)
    }

    /// The program that is run: simplified, with recomputed equations written out.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// The kernels, in order.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }
    /// Where a value lives; `None` for values that never reach memory.
    pub fn place(&self, v: Var) -> Option<Place> {
        self.places[v.index()]
    }
    /// Whether a value is stored in less than its type takes: booleans as bits, element `i` being bit `i % 8` of byte
    /// `i / 8`; indices of a pooling as the numbers of the taps in their windows, a byte each.
    pub fn packed(&self, v: Var) -> bool {
        self.packed[v.index()]
    }
    /// Bytes that a value takes in memory.
    pub fn stored_bytes(&self, v: Var) -> usize {
        let ty = self.graph.ty(v);
        if self.packed[v.index()] { packed_bytes(ty) } else { ty.bytes() }
    }
    /// Where each result comes from.
    pub fn returns(&self) -> &[Return] {
        &self.returns
    }
    /// For kernel `k`, the values it writes over values it reads: `(written, read)`.
    pub fn in_place(&self, k: usize) -> &[(Var, Var)] {
        &self.in_place[k]
    }
    /// Results that can be written into the buffer of an argument, if the caller gives it away: `(argument, result)`.
    pub fn donations(&self) -> &[(usize, usize)] {
        &self.donations
    }
    /// Types of the arguments.
    pub fn input_types(&self) -> &[Type] {
        &self.input_types
    }
    /// Types of the results.
    pub fn output_types(&self) -> &[Type] {
        &self.output_types
    }
    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.arena
    }
    /// The most bytes of the arena in use at once: the arena is larger by what packing lost.
    pub fn arena_lower_bound(&self) -> usize {
        arena::lower_bound(&self.blocks, self.kernels.len())
    }
    /// Bytes of the results that kernels write, rather than pass on from arguments.
    pub fn result_bytes(&self) -> usize {
        let written = self.returns.iter().zip(&self.output_types).filter(|(r, _)| **r == Return::Written);
        written.map(|(_, ty)| ty.bytes()).sum()
    }
    /// Bytes of the arguments.
    pub fn argument_bytes(&self) -> usize {
        self.input_types.iter().map(Type::bytes).sum()
    }
    /// Bytes that one run needs at most: arguments, results, the arena, and what single primitives
    /// [allocate](Self::outside_bound). They follow from the sizes alone and are the same on every machine; each thread keeps
    /// [scratch memory](Self::scratch_bytes) beside. Results written over arguments given away need less: see
    /// [`planned_peak_donated_bytes`](Self::planned_peak_donated_bytes).
    pub fn planned_peak_bytes(&self) -> usize {
        self.argument_bytes() + self.result_bytes() + self.arena + self.outside_bound()
    }
    /// Bytes that one run needs at most when nobody else holds its arguments and all are given away: results that
    /// [take over](Self::donations) an argument's buffer are counted once.
    pub fn planned_peak_donated_bytes(&self) -> usize {
        let twice: usize = self.donations.iter().map(|&(_, r)| self.output_types[r].bytes()).sum();
        self.planned_peak_bytes() - twice
    }
    /// The peak that a budget limits.
    pub(crate) fn peak(&self, options: &Options) -> usize {
        if options.donate { self.planned_peak_donated_bytes() } else { self.planned_peak_bytes() }
    }
    /// Estimated seconds of a run on two threads, for comparing plans of one program.
    pub fn estimated_seconds(&self) -> f64 {
        (0..self.kernels.len()).map(|k| self.kernel_seconds(k)).sum()
    }
    /// Estimated seconds of kernel `k` on two threads.
    pub fn kernel_seconds(&self, k: usize) -> f64 {
        let k = &self.kernels[k];
        if let Work::Blocked(group) = &k.work {
            return group.seconds + self.costs.product(0.0, k.bytes) + self.costs.kernel;
        }
        match k.work {
            Work::Product(_) | Work::Convolution(_) => self.costs.product(k.flops, k.bytes),
            _ => self.costs.kernel(k.flops, k.bytes),
        }
    }
    /// The most that any kernel allocates while it runs. [`Target::requirements`](crate::Target::requirements) bounds
    /// each kernel.
    pub fn outside_bound(&self) -> usize {
        self.largest_requirements().outside
    }
    /// Scratch memory that each thread taking part keeps between kernels, at most: tiles, panels and patches that kernels
    /// work in. It may depend on the instruction set, and is not part of the peak.
    pub fn scratch_bytes(&self) -> usize {
        self.largest_requirements().scratch.iter().sum()
    }
    /// The largest requirements of all kernels.
    pub(crate) fn largest_requirements(&self) -> Requirements {
        self.kernels.iter().fold(Requirements::default(), |most, k| most.either(k.requirements))
    }
    /// The phase of each kernel: that of its last equation, which is what the kernel is for; those before it may be operands
    /// fused in.
    pub fn phases(&self) -> Vec<Phase> {
        let phase = |k: &Kernel| k.eqns.iter().max().map_or(Phase::FORWARD, |&i| self.graph.eqns()[i].phase);
        self.kernels.iter().map(phase).collect()
    }
    /// The decisions behind the plan, with their reasons.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
    /// The values that the forward pass keeps for the backward pass, each buffer once; arguments are there anyway.
    pub fn residuals(&self) -> Vec<Residual> {
        let mut made: Vec<Option<usize>> = vec![None; self.graph.types().len()];
        // Under a budget more stages follow, which compute again.
        let levels = self.decision.levels.max(1);
        for (k, kernel) in self.kernels.iter().enumerate().filter(|(_, k)| k.stage < levels) {
            for v in &kernel.writes {
                made[v.index()] = Some(k);
            }
        }
        let definitions = keep::definitions(&self.graph);
        let why = self.why_kept();
        let mut seen = vec![false; self.graph.types().len()];
        let mut out: Vec<Residual> = Vec::new();
        for kernel in self.kernels.iter().filter(|k| k.stage > 0) {
            for &v in &kernel.reads {
                let Some(k) = made[v.index()].filter(|&k| self.kernels[k].stage < kernel.stage) else {
                    continue;
                };
                if std::mem::replace(&mut seen[v.index()], true) {
                    continue;
                }
                let by = |v: Var| definitions[v.index()].map(|i| &self.graph.eqns()[i]);
                let mut eqn = by(v);
                // A result may live in the buffer of a value made from it by movement.
                while let Some(e) = eqn.filter(|e| fuse::is_movement(&e.op)) {
                    eqn = by(e.inputs[0]);
                }
                let site = eqn.map(|e| e.site.clone()).filter(Site::is_known);
                out.push(Residual {
                    value: v,
                    ty: self.graph.ty(v).clone(),
                    bytes: self.stored_bytes(v),
                    op: eqn.map_or("full", |e| e.op.name()),
                    site: site.unwrap_or_else(|| self.kernels[k].site.clone()),
                    why: why[v.index()],
                });
            }
        }
        out
    }
    /// Bytes that the forward pass keeps for the backward pass.
    pub fn saved_bytes(&self) -> usize {
        self.residuals().iter().map(|r| r.bytes).sum()
    }
    /// For each value that the backward pass reads, why it is kept.
    fn why_kept(&self) -> Vec<&'static str> {
        let n = self.graph.types().len();
        let (mut linear, mut product) = (vec![false; n], vec![false; n]);
        // The values that a region reads and that some equation other than products with them reads.
        let mut other = vec![false; n];
        for kernel in self.kernels.iter().filter(|k| k.stage > 0) {
            match &kernel.work {
                Work::Product(_) | Work::Convolution(_) | Work::Blocked(_) => {
                    kernel.reads.iter().for_each(|v| product[v.index()] = true);
                }
                Work::Region(_) => {
                    let eqns = || kernel.eqns.iter().map(|&i| &self.graph.eqns()[i]);
                    kernel.reads.iter().for_each(|v| other[v.index()] = false);
                    for eqn in eqns().filter(|e| !matches!(e.op, Op::LinearMul(_) | Op::Select(_))) {
                        eqn.inputs.iter().for_each(|v| other[v.index()] = true);
                    }
                    kernel.reads.iter().for_each(|v| linear[v.index()] |= !other[v.index()]);
                }
                _ => {}
            }
        }
        let why = |(product, linear)| match (product, linear) {
            (true, _) => "factor of a product in the backward pass",
            (false, true) => "local derivative of an element-wise region",
            (false, false) => "read again: the rest of its region is computed from it",
        };
        product.into_iter().zip(linear).map(why).collect()
    }
    /// Values alive in the arena during kernel `k`, with their bytes, the largest first.
    pub fn alive_at(&self, k: usize) -> Vec<(Option<Var>, usize)> {
        let mut out = Vec::new();
        for (b, block) in self.blocks.iter().enumerate().filter(|(_, b)| b.from <= k && k <= b.to) {
            // A block may hold several values in turn: the one made last before or at this kernel.
            let holder = self.kernels[..=k]
                .iter()
                .rev()
                .flat_map(|kernel| kernel.writes.iter().copied())
                .find(|v| self.block_of[v.index()] == Some(b));
            out.push((holder, block.bytes));
        }
        out.sort_by_key(|o| std::cmp::Reverse(o.1));
        out
    }
    /// Bytes of the arena in use during each kernel.
    pub fn memory_curve(&self) -> Vec<usize> {
        arena::curve(&self.blocks, self.kernels.len())
    }
}

/// Finds a place for every value.
struct Layout {
    graph: Graph,
    kernels: Vec<Kernel>,
    places: Vec<Option<Place>>,
    returns: Vec<Return>,
    /// For each value, the kernel that writes it and the last that reads it.
    life: Vec<Option<(usize, usize)>>,
    packed: Vec<bool>,
}

impl Layout {
    fn new(graph: Graph, kernels: Vec<Kernel>, sources: Sources, bits: bool) -> Self {
        let n = graph.types().len();
        let mut places = vec![None; n];
        for (i, v) in graph.inputs().iter().enumerate() {
            places[v.index()] = Some(Place::Argument(i));
        }
        let mut returns = Vec::new();
        for (i, v) in graph.outputs().iter().enumerate() {
            let Source::View(root, _) = &sources[v.index()] else { unreachable!("results are made whole") };
            returns.push(match places[root.index()] {
                Some(Place::Argument(a)) => Return::Argument(a),
                Some(Place::Result(r)) => Return::Same(r),
                _ => {
                    places[root.index()] = Some(Place::Result(i));
                    Return::Written
                }
            });
        }
        let mut life: Vec<Option<(usize, usize)>> = vec![None; n];
        for (k, kernel) in kernels.iter().enumerate() {
            for v in &kernel.reads {
                let life = life[v.index()].get_or_insert((0, k));
                life.1 = k;
            }
            // An assembled value has several writers.
            for v in &kernel.writes {
                life[v.index()].get_or_insert((k, k)).1 = k;
            }
        }
        for kernel in &kernels {
            if let Work::Blocked(group) = &kernel.work {
                for (i, local) in group.locals.iter().enumerate() {
                    places[local.value.index()] = Some(Place::Local(i));
                }
            }
        }
        let packed = if bits {
            packed::packed(&graph, &kernels, |v| places[v.index()].is_none())
        } else {
            vec![false; n]
        };
        Layout { graph, kernels, places, returns, life, packed }
    }

    fn finish(mut self, costs: Costs) -> Result<Plan> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut block_of: Vec<Option<usize>> = vec![None; self.graph.types().len()];
        let mut in_place = Vec::with_capacity(self.kernels.len());
        let mut donations: Vec<(usize, usize)> = Vec::new();
        let mut scratch = vec![None; self.kernels.len()];
        // Arguments that are results, or whose buffers are given to one.
        let mut passed = vec![false; self.graph.inputs().len()];
        for r in &self.returns {
            if let Return::Argument(a) = r {
                passed[*a] = true;
            }
        }
        for (k, kernel) in self.kernels.iter().enumerate() {
            let ends = |v: &Var| !self.packed[v.index()] && self.life[v.index()].is_some_and(|l| l.1 == k);
            let read = |v: Var| match self.places[Some(v).filter(ends)?.index()] {
                Some(Place::Argument(a)) => (!passed[a]).then_some(Kind::Argument),
                None => Some(Kind::Inside),
                _ => None,
            };
            let written = |v: Var| match self.places[v.index()] {
                _ if self.packed[v.index()] => None,
                Some(Place::Result(_)) => Some(Kind::Result),
                None => Some(Kind::Inside),
                _ => None,
            };
            let width = |v: Var| self.graph.ty(v).dtype.size();
            let pairs = arena::in_place(kernel, read, written, width, |v| self.graph.ty(v).bytes());
            let mut kept = Vec::new();
            for (written, read) in pairs {
                match (self.places[written.index()], self.places[read.index()]) {
                    (Some(Place::Result(r)), Some(Place::Argument(a))) => {
                        donations.push((a, r));
                        passed[a] = true;
                        kept.push((written, read));
                    }
                    (None, None) => {
                        let block = block_of[read.index()].expect("written before it is read");
                        block_of[written.index()] = Some(block);
                        blocks[block].to = self.life[written.index()].map_or(k, |l| l.1);
                        kept.push((written, read));
                    }
                    _ => {}
                }
            }
            if let Work::Blocked(group) = &kernel.work {
                kept.extend(&group.in_place);
            }
            in_place.push(kept);
            for &v in &kernel.writes {
                if self.places[v.index()].is_none() && block_of[v.index()].is_none() {
                    let to = self.life[v.index()].map_or(k, |l| l.1);
                    let ty = self.graph.ty(v);
                    let bytes = if self.packed[v.index()] { packed_bytes(ty) } else { ty.bytes() };
                    block_of[v.index()] = Some(blocks.len());
                    blocks.push(Block { from: k, to, bytes, offset: 0 });
                }
            }
            if kernel.workspace > 0 {
                scratch[k] = Some(blocks.len());
                blocks.push(Block { from: k, to: k, bytes: kernel.workspace, offset: 0 });
            }
        }
        let arena = arena::pack(&mut blocks);
        if isize::try_from(arena).is_err() {
            let (shape, bytes) = ([arena].into(), arena as u128);
            return Err(ErrorKind::TooLarge { op: "plan", shape, bytes }.into());
        }
        for (kernel, block) in self.kernels.iter_mut().zip(scratch) {
            kernel.workspace_at = block.map_or(0, |b: usize| blocks[b].offset);
        }
        for (place, block) in self.places.iter_mut().zip(&block_of) {
            if let Some(block) = block {
                *place = Some(Place::Arena(blocks[*block].offset));
            }
        }
        Ok(Plan {
            input_types: self.graph.input_types(),
            output_types: self.graph.output_types(),
            graph: self.graph.into(),
            kernels: self.kernels.into(),
            places: self.places.into(),
            returns: self.returns,
            in_place: in_place.into(),
            donations,
            arena,
            blocks,
            block_of,
            packed: self.packed,
            decision: Decision::default(),
            costs,
        })
    }
}
