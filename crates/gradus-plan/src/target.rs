//! What the planner knows of the machine: the description given by a back end, or that of a typical machine.

use gradus_core::{DType, Op};

use crate::requirements::{self, RequirementsQuery};

/// A machine with a back end, as a planner sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The memory that kernels use beside the values they read and write.
    pub requirements: RequirementsQuery,
    /// Whether its kernels evaluate a primitive in this 16-bit float type by themselves; other arithmetic in such a
    /// type is planned in `f32`, with rounded results.
    pub computes: fn(&Op, DType) -> bool,
    /// The costs of work.
    pub costs: Costs,
    /// The sizes of the pieces of work that suit it.
    pub limits: Limits,
}

/// Seconds of work, estimated. A plan depends on their ratios alone.
///
/// The default was measured on two threads with AVX-512, in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Of a multiplication or an addition of a matrix product or a convolution.
    pub product_flop: f64,
    /// Of a byte that a product reads or writes, beside its arithmetic.
    pub product_byte: f64,
    /// Of an operation on an element: [`gradus_core::Cost::flops`] counts them.
    pub flop: f64,
    /// Of a byte read from memory or written to it.
    pub byte: f64,
    /// Of an element in a fused region, beside its operations.
    pub element: f64,
    /// Of starting a kernel.
    pub kernel: f64,
}

/// Sizes that suit a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The most equations in one fused region.
    pub region: usize,
    /// Bytes of a block of the widest value of a group of kernels that is run block by block: a few of them should stay in
    /// a cache.
    pub block: usize,
    /// The least rows of such a block: with fewer, products would spend their time on packing.
    pub rows: usize,
    /// Bytes below which keeping values out of memory gains nothing.
    pub bytes: usize,
    /// The least columns of a causal mask whose unused part is left out.
    pub columns: usize,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            requirements: requirements::unknown,
            computes: |_, _| false,
            costs: Costs::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            product_flop: 6e-12,
            product_byte: 2e-11,
            flop: 3e-11,
            byte: 5e-11,
            element: 2.5e-11,
            kernel: 5e-7,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { region: 96, block: 512 << 10, rows: 32, bytes: 32 << 10, columns: 48 }
    }
}

impl Costs {
    /// Seconds of a matrix product, or of a convolution, which counts as one.
    pub(crate) fn product(&self, flops: f64, bytes: f64) -> f64 {
        flops * self.product_flop + bytes * self.product_byte
    }

    /// Seconds of any other kernel.
    pub(crate) fn kernel(&self, flops: f64, bytes: f64) -> f64 {
        (flops * self.flop).max(bytes * self.byte) + self.kernel
    }

    /// Bytes that a nanosecond is worth where only time counts: a kept byte costs its writing and reading.
    pub(crate) fn worth(&self) -> f64 {
        1e-9 / self.byte
    }
}

#[cfg(test)]
mod tests {
    use gradus_core::ops::{Axes, Dot, Reduce, ReduceKind};
    use gradus_core::transforms::value_and_grad;
    use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

    use super::*;
    use crate::{Budget, Options, plan};

    /// Layers whose features are standardised and gated, with their gradient.
    fn step(layers: usize) -> Graph {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [256, 128]));
        let layer = |b: &mut Builder, x: Var| {
            let w = b.input(Type::new(DType::F32, [128, 128]));
            let y = b.emit1(Dot::matmul(0), &[x, w]).unwrap();
            let gate = b.emit1(Unary::Sigmoid, &[y]).unwrap();
            let y = b.emit1(Binary::Mul, &[y, gate]).unwrap();
            b.emit1(Unary::Tanh, &[y]).unwrap()
        };
        let y = (0..layers).fold(x, |y, _| layer(&mut b, y));
        let axes = Axes::from_iter(0..2);
        let loss = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
        let graph = b.finish(vec![loss]);
        let wrt = vec![true; graph.inputs().len()];
        value_and_grad(&graph, &wrt).unwrap()
    }

    #[test]
    fn only_ratios_of_costs_choose() {
        let Costs { product_flop, product_byte, flop, byte, element, kernel } = Costs::default();
        let twice = Costs {
            product_flop: 2.0 * product_flop,
            product_byte: 2.0 * product_byte,
            flop: 2.0 * flop,
            byte: 2.0 * byte,
            element: 2.0 * element,
            kernel: 2.0 * kernel,
        };
        for layers in [1, 3, 8] {
            let graph = step(layers);
            let budget = (layers > 3).then_some(Budget::Share(0.9));
            for memory_budget in [None, budget] {
                let [once, twice] = [Costs::default(), twice].map(|costs| {
                    let target = Target { costs, ..Target::default() };
                    plan(&graph, &Options { memory_budget, target, ..Options::default() }).unwrap()
                });
                assert_eq!(once.graph(), twice.graph(), "{layers} layers, {memory_budget:?}");
                assert_eq!(once.planned_peak_bytes(), twice.planned_peak_bytes());
                let ratio = twice.estimated_seconds() / once.estimated_seconds();
                assert!((ratio - 2.0).abs() < 1e-12, "{ratio}");
            }
        }
    }

    #[test]
    fn what_is_dear_to_compute_again_is_kept() {
        let graph = step(3);
        let kept = |costs: Costs| {
            let target = Target { costs, ..Target::default() };
            let plan = plan(&graph, &Options { target, ..Options::default() }).unwrap();
            plan.residuals().iter().map(|r| r.bytes).sum::<usize>()
        };
        let usual = Costs::default();
        let work = Costs { flop: 1e3 * usual.flop, element: 1e3 * usual.element, ..usual };
        let memory = Costs { byte: 1e3 * usual.byte, ..usual };
        assert!(kept(memory) < kept(work), "{} and {}", kept(memory), kept(work));
    }
}
