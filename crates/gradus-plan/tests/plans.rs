//! Plans of small programs, as text that a person can check: which kernels, what each computes, what is written in place, what is
//! kept for the backward pass.

use gradus_core::ops::{
    Axes, Broadcast, Compare, Concat, Dot, Iota, Permute, Reduce, ReduceKind, Scan, Select,
};
use gradus_core::transforms::{jvp, value_and_grad};
use gradus_core::{Binary, Builder, DType, Graph, Op, Phase, Type, Unary, Var};
use gradus_plan::{Budget, Options, Plan, Strategy, plan};
use std::fmt::Write;
use std::sync::Arc;

/// A program under construction, with less to write.
struct Program(Builder);

impl Program {
    fn new() -> Self {
        Program(Builder::new())
    }
    fn input(&mut self, shape: &[usize]) -> Var {
        self.0.input(Type::new(DType::F32, shape))
    }
    fn emit(&mut self, op: impl Into<Op>, inputs: &[Var]) -> Var {
        self.0.emit1(op, inputs).unwrap()
    }
    fn reduced(&mut self, kind: ReduceKind, axes: &[usize], x: Var) -> Var {
        self.emit(Reduce { kind, axes: Axes::from_slice(axes) }, &[x])
    }
    fn total(&mut self, x: Var) -> Var {
        let axes: Vec<usize> = (0..self.0.shape(x).rank()).collect();
        self.reduced(ReduceKind::Sum, &axes, x)
    }
    fn stretched(&mut self, x: Var, like: Var, axes: &[usize]) -> Var {
        let shape = self.0.shape(like).clone();
        self.emit(Broadcast { shape, axes: Axes::from_slice(axes) }, &[x])
    }
    fn done(self, outputs: &[Var]) -> Graph {
        self.0.finish(outputs.to_vec())
    }
}

/// The kernels of a plan with what they compute, the values kept, and the sizes of memory.
fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    for (k, kernel) in plan.kernels().iter().enumerate() {
        let phase = plan.phases()[k];
        let phase = if phase == Phase::FORWARD { String::new() } else { format!(" [{phase}]") };
        write!(text, "{} {}: {}{phase}", kernel.kind(), plan.shape_of(k), plan.operations(k)).unwrap();
        for (new, old) in plan.in_place(k) {
            write!(text, "; {new} over {old}").unwrap();
        }
        text.push('\n');
    }
    for kept in plan.residuals() {
        writeln!(text, "kept: {} {} {}, {} B", kept.value, kept.ty, kept.op, kept.bytes).unwrap();
    }
    writeln!(text, "arena {} B, peak {} B", plan.arena_bytes(), plan.planned_peak_bytes()).unwrap();
    text
}

fn planned(graph: &Graph) -> String {
    shown(&plan(graph, &Options::default()).unwrap())
}

/// The sum of `sin(exp(x))`.
fn waves(n: usize) -> Graph {
    let mut p = Program::new();
    let x = p.input(&[n]);
    let y = p.emit(Unary::Exp, &[x]);
    let y = p.emit(Unary::Sin, &[y]);
    let y = p.total(y);
    p.done(&[y])
}

/// Two layers with `tanh` between them, and the mean square of what comes out.
fn network() -> Graph {
    let mut p = Program::new();
    let (x, v, w) = (p.input(&[64, 32]), p.input(&[32, 32]), p.input(&[32, 8]));
    let y = p.emit(Dot::matmul(0), &[x, v]);
    let y = p.emit(Unary::Tanh, &[y]);
    let y = p.emit(Dot::matmul(0), &[y, w]);
    let y = p.emit(Binary::Mul, &[y, y]);
    let y = p.total(y);
    p.done(&[y])
}

#[test]
fn element_wise_equations_are_one_region() {
    let mut p = Program::new();
    let (x, y) = (p.input(&[1000]), p.input(&[1000]));
    let a = p.emit(Binary::Mul, &[x, y]);
    let b = p.emit(Unary::Exp, &[a]);
    let c = p.emit(Binary::Add, &[b, x]);
    insta::assert_snapshot!(planned(&p.done(&[c])));
}

#[test]
fn a_sum_along_rows_joins_what_it_reads() {
    insta::assert_snapshot!(planned(&waves(1000)));
}

#[test]
fn softmax_is_one_pass_over_rows() {
    let mut p = Program::new();
    let x = p.input(&[16, 100]);
    let most = p.reduced(ReduceKind::Max, &[1], x);
    let most = p.stretched(most, x, &[0]);
    let e = p.emit(Binary::Sub, &[x, most]);
    let e = p.emit(Unary::Exp, &[e]);
    let sum = p.reduced(ReduceKind::Sum, &[1], e);
    let sum = p.stretched(sum, x, &[0]);
    let y = p.emit(Binary::Div, &[e, sum]);
    insta::assert_snapshot!(planned(&p.done(&[y])));
}

#[test]
fn sums_down_columns_are_a_kernel_of_their_own() {
    let mut p = Program::new();
    let x = p.input(&[200, 30]);
    let y = p.emit(Unary::Exp, &[x]);
    let y = p.reduced(ReduceKind::Sum, &[0], y);
    insta::assert_snapshot!(planned(&p.done(&[y])));
}

#[test]
fn movements_are_views() {
    let mut p = Program::new();
    let (x, y) = (p.input(&[20, 30]), p.input(&[30, 20]));
    let t = p.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[x]);
    let z = p.emit(Binary::Add, &[t, y]);
    insta::assert_snapshot!(planned(&p.done(&[z])));
}

#[test]
fn a_transposed_operand_is_read_where_it_lies() {
    let mut p = Program::new();
    let (x, y) = (p.input(&[64, 48]), p.input(&[64, 32]));
    let t = p.emit(Permute { axes: Axes::from_slice(&[1, 0]) }, &[x]);
    let z = p.emit(Dot::matmul(0), &[t, y]);
    insta::assert_snapshot!(planned(&p.done(&[z])));
}

#[test]
fn parts_are_joined_by_a_kernel_that_moves_them() {
    let mut p = Program::new();
    let (x, y) = (p.input(&[100]), p.input(&[50]));
    let (a, b) = (p.emit(Unary::Exp, &[x]), p.emit(Unary::Sin, &[y]));
    let z = p.emit(Concat { axis: 0 }, &[a, b]);
    insta::assert_snapshot!(planned(&p.done(&[z])));
}

#[test]
fn what_is_equal_is_computed_once_and_what_nobody_reads_not_at_all() {
    let mut p = Program::new();
    let x = p.input(&[10]);
    let (a, b) = (p.emit(Unary::Exp, &[x]), p.emit(Unary::Exp, &[x]));
    let _ = p.emit(Unary::Log, &[x]);
    let y = p.emit(Binary::Add, &[a, b]);
    insta::assert_snapshot!(planned(&p.done(&[y])));
}

#[test]
fn a_gradient_that_reads_its_argument_alone_keeps_nothing() {
    insta::assert_snapshot!(planned(&value_and_grad(&waves(1000), &[true]).unwrap()));
}

#[test]
fn tangents_are_computed_beside_their_values() {
    insta::assert_snapshot!(planned(&jvp(&waves(1000), &[true]).unwrap()));
}

#[test]
fn what_strategies_keep() {
    let graph = value_and_grad(&network(), &[false, true, true]).unwrap();
    let strategies = [Strategy::Plain, Strategy::Recompute, Strategy::Rederive, Strategy::Nested];
    let mut text = String::new();
    for strategy in strategies {
        let options = Options { strategy, ..Options::default() };
        writeln!(text, "{strategy:?}\n{}", shown(&plan(&graph, &options).unwrap())).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_budget_computes_again_what_it_cannot_keep() {
    let graph = value_and_grad(&network(), &[false, true, true]).unwrap();
    let free = plan(&graph, &Options::default()).unwrap().planned_peak_bytes();
    let least = (0..free).rev().step_by(64).find_map(|bytes| {
        let options = Options { memory_budget: Some(Budget::Bytes(bytes)), ..Options::default() };
        plan(&graph, &options).err().map(|_| bytes + 64)
    });
    let options = Options { memory_budget: least.map(Budget::Bytes), ..Options::default() };
    let text = format!("of {free} B\n{}", shown(&plan(&graph, &options).unwrap()));
    insta::assert_snapshot!(text);
}

#[test]
fn an_update_is_written_over_what_it_updates() {
    let mut p = Program::new();
    let (w, x) = (p.input(&[64, 32]), p.input(&[16, 64]));
    let step = value_and_grad(
        &{
            let mut p = Program::new();
            let (w, x) = (p.input(&[64, 32]), p.input(&[16, 64]));
            let y = p.emit(Dot::matmul(0), &[x, w]);
            let y = p.emit(Binary::Mul, &[y, y]);
            let y = p.total(y);
            p.done(&[y])
        },
        &[true, false],
    )
    .unwrap();
    let results = p.0.inline(&step, &[w, x]).unwrap();
    let rate = p.0.full(&Type::new(DType::F32, [64, 32]), 0.1);
    let change = p.emit(Binary::Mul, &[results[1], rate]);
    let new = p.emit(Binary::Sub, &[w, change]);
    let graph = p.done(&[results[0], new]);
    let options = Options { donate: true, ..Options::default() };
    let plan = plan(&graph, &options).unwrap();
    let text = format!("{}given away: {:?}\n", shown(&plan), plan.donations());
    insta::assert_snapshot!(text);
}

#[test]
fn attention_runs_block_by_block() {
    let mut p = Program::new();
    let (q, k, v) = (p.input(&[4, 512, 64]), p.input(&[4, 512, 64]), p.input(&[4, 512, 64]));
    let kt = p.emit(Permute { axes: Axes::from_slice(&[0, 2, 1]) }, &[k]);
    let s = p.emit(Dot::matmul(1), &[q, kt]);
    let index = |axis| Iota { dtype: DType::I64, shape: [4, 512, 512].into(), axis };
    let (row, column) = (p.emit(index(1), &[]), p.emit(index(2), &[]));
    let mask = p.emit(Compare::Ge, &[row, column]);
    let never = p.0.full(&Type::new(DType::F32, [4, 512, 512]), f64::NEG_INFINITY);
    let s = p.emit(Select, &[mask, s, never]);
    let most = p.reduced(ReduceKind::Max, &[2], s);
    let most = p.stretched(most, s, &[0, 1]);
    let e = p.emit(Binary::Sub, &[s, most]);
    let e = p.emit(Unary::Exp, &[e]);
    let sum = p.reduced(ReduceKind::Sum, &[2], e);
    let sum = p.stretched(sum, s, &[0, 1]);
    let a = p.emit(Binary::Div, &[e, sum]);
    let y = p.emit(Dot::matmul(1), &[a, v]);
    insta::assert_snapshot!(planned(&p.done(&[y])));
}

#[test]
fn a_loop_is_a_kernel_with_a_plan_inside() {
    let mut f = Program::new();
    let (c, x) = (f.input(&[8]), f.input(&[8]));
    let y = f.emit(Binary::Mul, &[c, x]);
    let y = f.emit(Unary::Sin, &[y]);
    let body = Arc::new(f.done(&[y]));
    let mut p = Program::new();
    let (start, rows) = (p.input(&[8]), p.input(&[5, 8]));
    let scan = Scan { constants: 0, carry: 1, length: 5, reverse: false, body, checkpoints: None };
    let y = p.emit(scan, &[start, rows]);
    let y = p.total(y);
    let graph = value_and_grad(&p.done(&[y]), &[true, false]).unwrap();
    insta::assert_snapshot!(planned(&graph));
}

/// The whole explanation of one plan, as people read it.
#[test]
fn an_explanation() {
    let graph = value_and_grad(&network(), &[false, true, true]).unwrap();
    insta::assert_snapshot!(plan(&graph, &Options::default()).unwrap().explain());
}
