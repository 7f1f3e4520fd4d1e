//! Plans run by the executor give what the interpreter gives.

mod programs;

use std::sync::Arc;

use gradus_core::ops::*;
use gradus_core::transforms::{value_and_grad, vmap};
use gradus_core::{Array, Binary, Builder, DType, Graph, Shape, Type, Unary, Var, interpret};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::{Limits, Options, Target, plan};
use programs::{Rng, arguments};

fn ready(graph: &Graph) -> Executable {
    Executable::new(plan(graph, &Options::default()).unwrap())
}

fn close(got: &Array, want: &Array, tolerance: f64, what: &dyn std::fmt::Display) {
    assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{what}");
    let (g, w) = (got.to_f64(), want.to_f64());
    let scale = w.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in g.iter().zip(&w).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * scale;
        assert!(same, "element {i} is {g}, should be {w}\n{what}");
    }
}

fn check(graph: &Graph, args: &[Array], tolerance: f64) {
    let want = interpret(graph, args).unwrap();
    let executable = ready(graph);
    let got = executable.run(args).unwrap();
    for (g, w) in got.iter().zip(&want) {
        close(g, w, tolerance, graph);
    }
    // Once more, in the used arena; then with arguments given away.
    assert!(same_bits(&executable.run(args).unwrap(), &got), "a second run differs\n{graph}");
    let copies = args.iter().map(|a| a.cast(DType::F64).cast(a.dtype())).collect();
    let owned: Vec<Array> = if args.iter().any(|a| a.dtype() == DType::I64) { args.to_vec() } else { copies };
    assert!(same_bits(&executable.run_owned(owned).unwrap(), &got), "given away\n{graph}");
}

fn same_bits(a: &[Array], b: &[Array]) -> bool {
    let bits = |x: &[Array]| -> Vec<Vec<u64>> {
        x.iter()
            .map(|a| a.to_f64().iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect())
            .collect()
    };
    bits(a) == bits(b)
}

fn build(inputs: &[Type], f: impl FnOnce(&mut Builder, &[Var]) -> Vec<Var>) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = inputs.iter().map(|ty| b.input(ty.clone())).collect();
    let out = f(&mut b, &args);
    b.finish(out)
}

fn f32s(shape: &[usize]) -> Type {
    Type::new(DType::F32, shape)
}

fn axes<const N: usize>(a: [usize; N]) -> Axes {
    a.into_iter().collect()
}

#[test]
fn chains_have_the_bits_of_their_steps() {
    type Chain = fn(&mut Builder, &[Var]) -> Vec<Var>;
    fn two(b: &mut Builder, op: impl Into<Op>, x: Var, y: Var) -> Var {
        b.emit1(op, &[x, y]).unwrap()
    }
    // Each gives every value on the way, the last one last.
    let chains: [Chain; 14] = [
        |b, a| {
            let x = two(b, LinearMul::RESIDUAL, a[0], a[1]);
            vec![x, two(b, LinearMul::RESIDUAL, x, a[2])]
        },
        |b, a| {
            let (x, y) = (two(b, Binary::Mul, a[0], a[1]), two(b, Binary::Mul, a[2], a[3]));
            vec![x, y, two(b, Binary::Add, x, y)]
        },
        |b, a| {
            let (x, y) = (two(b, Binary::Mul, a[0], a[1]), b.emit1(Unary::Powi(2), &[a[2]]).unwrap());
            let z = two(b, Binary::Mul, a[3], y);
            vec![x, y, z, two(b, Binary::Add, z, x)]
        },
        |b, a| {
            let (x, y) = (two(b, Binary::Mul, a[0], a[1]), two(b, Binary::Div, a[2], a[3]));
            let root = b.emit1(Unary::Sqrt, &[y]).unwrap();
            let under = two(b, Binary::Add, a[3], root);
            let over = two(b, Binary::Div, x, under);
            vec![x, y, root, under, over, two(b, Binary::Sub, a[1], over)]
        },
        |b, a| {
            let (x, y) = (two(b, LinearMul::RESIDUAL, a[0], a[1]), two(b, Binary::Mul, a[2], a[3]));
            vec![x, y, two(b, Binary::Add, x, y)]
        },
        |b, a| {
            let (x, y) = (two(b, LinearMul::RESIDUAL, a[0], a[1]), two(b, LinearMul::RESIDUAL, a[2], a[3]));
            vec![x, y, two(b, Binary::Add, x, y)]
        },
        |b, a| {
            let (x, y) = (two(b, Binary::Mul, a[0], a[1]), two(b, Binary::Mul, a[2], a[3]));
            let sum = two(b, Binary::Add, x, y);
            vec![x, y, sum, two(b, LinearMul::RESIDUAL, sum, a[1])]
        },
        |b, a| {
            let (x, y) = (two(b, LinearMul::RESIDUAL, a[0], a[1]), two(b, Binary::Mul, a[2], a[3]));
            let sum = two(b, Binary::Add, x, y);
            vec![x, y, sum, two(b, LinearMul::RESIDUAL, a[2], sum)]
        },
        |b, a| {
            let (x, y) = (two(b, LinearMul::RESIDUAL, a[0], a[1]), two(b, LinearMul::RESIDUAL, a[2], a[3]));
            let sum = two(b, Binary::Add, x, y);
            vec![x, y, sum, two(b, LinearMul::RESIDUAL, a[2], sum)]
        },
        |b, a| {
            let x = two(b, Binary::Sub, a[0], a[1]);
            vec![x, b.emit1(Unary::Exp, &[x]).unwrap()]
        },
        |b, a| {
            let x = two(b, Binary::Mul, a[0], a[1]);
            vec![x, b.emit1(Unary::Exp, &[x]).unwrap()]
        },
        |b, a| {
            let x = two(b, Binary::Mul, a[0], a[0]);
            let y = two(b, Binary::Mul, a[1], x);
            vec![x, y, b.emit1(Unary::Exp, &[y]).unwrap()]
        },
        |b, a| {
            let x = two(b, Binary::Mul, a[0], a[0]);
            let y = b.emit1(Unary::Neg, &[x]).unwrap();
            vec![x, y, b.emit1(Unary::Exp, &[y]).unwrap()]
        },
        |b, a| {
            let x = two(b, Binary::Mul, a[0], a[1]);
            vec![x, b.emit1(Unary::Erf, &[x]).unwrap()]
        },
    ];
    for dtype in [DType::F32, DType::F64] {
        for (i, chain) in chains.iter().enumerate() {
            // Whole vectors and a rest; one operand is the same for all points, in one of the forms.
            for scalar in 0..5 {
                let n = 1003;
                let inputs: Vec<Type> = (0..4)
                    .map(|k| if k == scalar { Type::new(dtype, []) } else { Type::new(dtype, [n]) })
                    .collect();
                let graph = |all: bool| {
                    build(&inputs, |b, a| {
                        let shape = Shape::from([n]);
                        let wide: Vec<Var> = (a.iter().zip(&inputs))
                            .map(|(&v, ty)| match ty.shape.rank() {
                                0 => {
                                    b.emit1(Broadcast { shape: shape.clone(), axes: axes([]) }, &[v]).unwrap()
                                }
                                _ => v,
                            })
                            .collect();
                        let mut out = chain(b, &wide);
                        if all { out } else { vec![out.pop().unwrap()] }
                    })
                };
                let args = arguments(&graph(true), 7);
                let apart = ready(&graph(true)).run(&args).unwrap().pop().unwrap();
                let together = ready(&graph(false)).run(&args).unwrap().pop().unwrap();
                assert!(
                    same_bits(&[apart], &[together]),
                    "chain {i} of {dtype}, operand {scalar} the same for all"
                );
            }
        }
    }
}

/// Rows so wide that a tile holds one: what is the same along a row is read by every kind of step, from either side.
#[test]
fn what_is_the_same_along_a_row() {
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-14)] {
        for cols in [700, 4096] {
            let shape = [5, cols];
            let inputs = [Type::new(dtype, shape), Type::new(dtype, shape), Type::new(dtype, [])];
            let g = build(&inputs, |b, a| {
                let (x, y) = (a[0], a[1]);
                let row = |b: &mut Builder, v: Var, kind| {
                    let r = b.emit1(Reduce { kind, axes: axes([1]) }, &[v]).unwrap();
                    b.emit1(Broadcast { shape: shape.into(), axes: axes([0]) }, &[r]).unwrap()
                };
                let largest = row(b, x, ReduceKind::Max);
                let sum = row(b, y, ReduceKind::Sum);
                let one = b.emit1(Broadcast { shape: shape.into(), axes: axes([]) }, &[a[2]]).unwrap();
                let two = b.full(&Type::new(dtype, shape), 2.0);
                let mut out = vec![];
                for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max] {
                    let left = b.emit1(op, &[x, largest]).unwrap();
                    let right = b.emit1(op, &[largest, left]).unwrap();
                    let both = b.emit1(op, &[right, one]).unwrap();
                    out.push(b.emit1(Binary::Mul, &[both, two]).unwrap());
                }
                let product = b.emit1(LinearMul::RESIDUAL, &[largest, y]).unwrap();
                let less = b.emit1(Compare::Lt, &[x, largest]).unwrap();
                let chosen = b.emit1(Select, &[less, largest, product]).unwrap();
                let other = b.emit1(Select, &[less, two, sum]).unwrap();
                let both = b.emit1(Binary::Mul, &[sum, largest]).unwrap();
                let bent = b.emit1(Unary::Tanh, &[both]).unwrap();
                let apart = b.emit1(Binary::Sub, &[bent, x]).unwrap();
                let columns = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([0]) }, &[largest]).unwrap();
                out.extend([chosen, other, apart, largest, columns]);
                out
            });
            check(&g, &arguments(&g, 3), tolerance);
        }
    }
}

#[test]
fn softmax_is_one_kernel() {
    let g = build(&[f32s(&[64, 37])], |b, a| {
        let max = b.emit1(Reduce { kind: ReduceKind::Max, axes: axes([1]) }, &[a[0]]).unwrap();
        let max = b.emit1(Broadcast { shape: [64, 37].into(), axes: axes([0]) }, &[max]).unwrap();
        let e = b.emit1(Binary::Sub, &[a[0], max]).unwrap();
        let e = b.emit1(Unary::Exp, &[e]).unwrap();
        let s = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([1]) }, &[e]).unwrap();
        let s = b.emit1(Reshape([64, 1].into()), &[s]).unwrap();
        let s = b.emit1(Broadcast { shape: [64, 37].into(), axes: axes([0, 1]) }, &[s]).unwrap();
        vec![b.emit1(Binary::Div, &[e, s]).unwrap()]
    });
    assert_eq!(ready(&g).plan().kernels().len(), 1);
    assert_eq!(ready(&g).plan().arena_bytes(), 0);
    check(&g, &[Rng::new(1).array(&f32s(&[64, 37]))], 1e-6);
}

/// Sums along the rows and sums of the columns of one matrix, what follows from both written over the operand, as in the
/// gradient of a normalisation.
#[test]
fn rows_and_columns_are_reduced_in_one_kernel() {
    for (rows, cols) in [(2, 5), (7, 3), (300, 64), (2048, 256), (5000, 33), (40, 3000)] {
        let g = build(&[f32s(&[rows, cols]), f32s(&[rows, cols]), f32s(&[cols])], |b, a| {
            let sum = |b: &mut Builder, x, axis| {
                b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([axis]) }, &[x]).unwrap()
            };
            let shape = [rows, cols];
            // A product stands before it, so that the operand can be written over.
            let ct =
                b.emit1(Cumulative { kind: CumulativeKind::Sum, axis: 1, reverse: false }, &[a[0]]).unwrap();
            let bias = sum(b, ct, 0);
            let scaled = b.emit1(Binary::Mul, &[ct, a[1]]).unwrap();
            let weight = sum(b, scaled, 0);
            let wide = b.emit1(Broadcast { shape: shape.into(), axes: axes([1]) }, &[a[2]]).unwrap();
            let own = b.emit1(Binary::Mul, &[ct, wide]).unwrap();
            let both = b.emit1(Binary::Mul, &[own, a[1]]).unwrap();
            let (first, second) = (sum(b, own, 1), sum(b, both, 1));
            let row = b.emit1(Binary::Add, &[first, second]).unwrap();
            let row = b.emit1(Broadcast { shape: shape.into(), axes: axes([0]) }, &[row]).unwrap();
            let out = b.emit1(Binary::Sub, &[own, row]).unwrap();
            let after = sum(b, out, 0);
            vec![bias, weight, out, after]
        });
        let args = arguments(&g, 5);
        let together = plan(&g, &Options::default()).unwrap();
        assert_eq!(together.kernels().len(), 2, "{}", together.explain());
        check(&g, &args, 1e-4);
        let mut bits = Vec::new();
        for threads in [1, 2, 4] {
            let pool = Arc::new(Pool::new(threads));
            bits.push(Executable::with_pool(together.clone(), pool).run(&args).unwrap());
        }
        let limits = Limits { region: 0, ..Limits::default() };
        let target = Target { limits, ..Target::default() };
        let apart = plan(&g, &Options { target, ..Options::default() }).unwrap();
        assert!(apart.kernels().len() > 2);
        bits.push(Executable::new(apart).run(&args).unwrap());
        assert!(bits.iter().all(|b| same_bits(b, &bits[0])), "{rows} × {cols}");
    }
}

#[test]
fn reductions_of_every_layout() {
    for shape in [[3, 5, 7], [1, 9000, 2], [2, 3, 9000], [40, 300, 1], [4, 1, 5], [600, 2, 30]] {
        for (k, reduced) in
            [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2], &[]].iter().enumerate()
        {
            for kind in ReduceKind::ALL {
                let g = build(&[f32s(&shape)], |b, a| {
                    let half = b.full(&f32s(&shape), 0.999);
                    let x = b.emit1(Binary::Mul, &[a[0], half]).unwrap();
                    vec![b.emit1(Reduce { kind, axes: reduced.iter().copied().collect() }, &[x]).unwrap(), x]
                });
                check(&g, &[Rng::new(k as u64).array(&f32s(&shape))], 3e-5);
            }
        }
    }
}

#[test]
fn products_through_views() {
    let (x, w) = (f32s(&[4, 33, 17]), f32s(&[9, 17]));
    let g = build(&[x.clone(), w.clone()], |b, a| {
        let wt = b.emit1(Permute { axes: axes([1, 0]) }, &[a[1]]).unwrap();
        let flat = b.emit1(Reshape([132, 17].into()), &[a[0]]).unwrap();
        let y = b.emit1(Dot::matmul(0), &[flat, wt]).unwrap();
        let turned = b.emit1(Permute { axes: axes([1, 0]) }, &[y]).unwrap();
        let both = Dot {
            lhs_batch: axes([0]),
            rhs_batch: axes([0]),
            lhs_contract: axes([1]),
            rhs_contract: axes([1]),
            tangents: [true, false],
            numbers: false,
        };
        vec![turned, b.emit1(both, &[a[0], a[0]]).unwrap()]
    });
    let executable = ready(&g);
    assert_eq!(executable.plan().kernels().len(), 2, "no copies: {:?}", executable.plan().kernels());
    let mut rng = Rng::new(3);
    check(&g, &[rng.array(&x), rng.array(&w)], 1e-5);
}

#[test]
fn strong_zeros_absorb_infinities() {
    let g = build(&[f32s(&[2, 2]), f32s(&[2, 2])], |b, a| {
        vec![b.emit1(Dot { tangents: [true, true], ..Dot::matmul(0) }, a).unwrap()]
    });
    let x = Array::new([2, 2], vec![0.0f32, 1.0, f32::NAN, 1.0]).unwrap();
    let y = Array::new([2, 2], vec![f32::INFINITY, 2.0, 3.0, 4.0]).unwrap();
    check(&g, &[x, y], 0.0);
}

#[test]
fn threads_do_not_change_bits() {
    let ty = f32s(&[500, 700]);
    let g = build(std::slice::from_ref(&ty), |b, a| {
        let t = b.emit1(Unary::Tanh, &[a[0]]).unwrap();
        let cols = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([0]) }, &[t]).unwrap();
        let rows = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([1]) }, &[t]).unwrap();
        let e = b.emit1(Unary::Exp, &[t]).unwrap();
        let all = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([0, 1]) }, &[e]).unwrap();
        let p = b.emit1(Dot { lhs_contract: axes([0]), rhs_contract: axes([0]), ..Dot::matmul(0) }, &[t, e]);
        vec![cols, rows, all, p.unwrap()]
    });
    let args = [Rng::new(5).array(&ty)];
    let run = |threads| {
        let plan = plan(&g, &Options::default()).unwrap();
        Executable::with_pool(plan, Arc::new(Pool::new(threads))).run(&args).unwrap()
    };
    let one = run(1);
    for threads in 2..5 {
        assert!(same_bits(&run(threads), &one), "{threads} threads");
    }
}

#[test]
fn loops_and_branches() {
    let scalar = Type::new(DType::F64, []);
    let body = build(&[scalar.clone(), scalar.clone(), scalar.clone()], |b, a| {
        let s = b.emit1(Unary::Sin, &[a[1]]).unwrap();
        let s = b.emit1(Binary::Mul, &[s, a[0]]).unwrap();
        let s = b.emit1(Binary::Add, &[s, a[2]]).unwrap();
        vec![s, a[1]]
    });
    for (length, reverse) in [(5, false), (4, true), (1, false), (0, false)] {
        let xs = Type::new(DType::F64, [length]);
        let g = build(&[scalar.clone(), scalar.clone(), xs.clone()], |b, a| {
            let scan = Scan {
                constants: 1,
                carry: 1,
                length,
                reverse,
                body: Arc::new(body.clone()),
                checkpoints: None,
            };
            b.emit(scan, a).unwrap().to_vec()
        });
        let mut rng = Rng::new(7);
        let args = [rng.array(&scalar), rng.array(&scalar), rng.array(&xs)];
        check(&g, &args, 1e-12);
        if length > 0 {
            let grad = build(&g.input_types(), |b, a| {
                let out = b.inline(&g, a).unwrap();
                vec![out[0]]
            });
            check(&value_and_grad(&grad, &[true; 3]).unwrap(), &args, 1e-12);
        }
    }
    let types = [scalar.clone(), scalar.clone()];
    let cond = build(&types, |b, a| vec![b.emit1(Compare::Lt, &[a[1], a[0]]).unwrap()]);
    let body = build(&types, |b, a| vec![b.emit1(Binary::Add, &[a[1], a[1]]).unwrap()]);
    let g = build(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints: None };
        vec![b.emit1(w, a).unwrap()]
    });
    let value = |v: f64| Array::scalar(v);
    check(&g, &[value(10.0), value(1.5)], 0.0);
    check(&g, &[value(1.0), value(1.5)], 0.0);
    check(
        &vmap(&g, &[false, true], 3).unwrap(),
        &[value(10.0), Array::new([3], vec![1.5, 11.0, 6.0]).unwrap()],
        0.0,
    );
    let pass = build(&types, |_, a| vec![a[1], a[1], a[0]]);
    let swap = build(&types, |b, a| vec![a[0], b.emit1(Unary::Neg, &[a[1]]).unwrap(), a[0]]);
    let g = build(&[Type::new(DType::Bool, []), scalar.clone(), scalar.clone()], |b, a| {
        b.emit(Cond { on_true: Arc::new(pass), on_false: Arc::new(swap) }, a).unwrap().to_vec()
    });
    for p in [true, false] {
        check(&g, &[Array::scalar(p), value(2.0), value(3.0)], 0.0);
    }
}

#[test]
fn results_that_are_arguments_or_each_other() {
    let ty = f32s(&[2, 3]);
    let g = build(std::slice::from_ref(&ty), |b, a| {
        let flat = b.emit1(Reshape([6].into()), &[a[0]]).unwrap();
        let n = b.emit1(Unary::Neg, &[flat]).unwrap();
        let back = b.emit1(Reshape([3, 2].into()), &[n]).unwrap();
        let full = b.full(&f32s(&[2]), 4.0);
        let part = b.emit1(Slice::along(&[2, 3].into(), 0, 0, 1), &[a[0]]).unwrap();
        vec![a[0], flat, n, back, full, part]
    });
    check(&g, &[Rng::new(2).array(&ty)], 0.0);
}

#[test]
fn given_arguments_are_updated_in_place() {
    let ty = f32s(&[1000]);
    let g = build(&[ty.clone(), ty.clone()], |b, a| {
        let rate = b.full(&f32s(&[1000]), 0.1);
        let step = b.emit1(Binary::Mul, &[a[1], rate]).unwrap();
        vec![b.emit1(Binary::Sub, &[a[0], step]).unwrap()]
    });
    let executable = ready(&g);
    let p = Array::full([1000], DType::F32, 1.0);
    let at = p.elements::<f32>().unwrap().as_ptr();
    let out = executable.run_owned(vec![p, Array::full([1000], DType::F32, 2.0)]).unwrap();
    assert_eq!(out[0].elements::<f32>().unwrap().as_ptr(), at);
    assert_eq!(out[0].to_f64()[999], f64::from(1.0f32 - 2.0 * 0.1));
    let kept = Array::full([1000], DType::F32, 1.0);
    executable.run_owned(vec![kept.clone(), kept.clone()]).unwrap();
    assert_eq!(kept.to_f64()[0], 1.0);
}

#[test]
fn errors_of_data_come_back() {
    let ty = Type::new(DType::I32, [2]);
    let g = build(&[ty.clone(), ty.clone()], |b, a| vec![b.emit1(Binary::Div, a).unwrap()]);
    let (x, y) = (Array::new([2], vec![1i32, 2]).unwrap(), Array::new([2], vec![1i32, 0]).unwrap());
    assert!(ready(&g).run(&[x.clone(), y]).unwrap_err().to_string().contains("zero"));
    assert!(ready(&g).run(&[x]).unwrap_err().to_string().contains("2 arguments"));
}

#[test]
fn convolution_pooling_and_indexing() {
    let f = |shape: &[usize]| Type::new(DType::F64, shape);
    let (x, k) = (f(&[3, 4, 9, 8]), f(&[6, 2, 3, 3]));
    let g = build(&[x.clone(), k.clone()], |b, a| {
        let conv = Conv {
            stride: axes([2, 1]),
            low: [1, 1].into_iter().collect(),
            high: [1, 0].into_iter().collect(),
            feature_groups: 2,
            ..Conv::new(2)
        };
        let y = b.emit1(conv, a).unwrap();
        let low = b.full(&b.ty(y).clone(), 0.5);
        let high = b.full(&b.ty(y).clone(), 4.0);
        let y = b.emit1(Clamp, &[y, low, high]).unwrap();
        let window = Window { low: axes([1, 0]), ..Window::tiles(&[2, 2]) };
        let pooled = b.emit(MaxPool { window: window.clone() }, &[y]).unwrap();
        let summed = b.emit1(SumPool { window }, &[y]).unwrap();
        let both = b.emit1(Binary::Mul, &[pooled[0], summed]).unwrap();
        let all = (0..b.shape(both).rank()).collect();
        vec![b.emit1(Reduce { kind: ReduceKind::Sum, axes: all }, &[both]).unwrap()]
    });
    let mut rng = Rng::new(11);
    let args = [rng.array(&x), rng.array(&k)];
    check(&g, &args, 1e-12);
    check(&value_and_grad(&g, &[true, true]).unwrap(), &args, 1e-11);

    let ids = Type::new(DType::I64, [2, 5]);
    let table = f(&[7, 3]);
    let g = build(&[table.clone(), ids.clone()], |b, a| {
        let rows = b.emit1(Gather { axis: 0, batch: 0, from_end: true }, a).unwrap();
        let rows = b.emit1(Unary::Sin, &[rows]).unwrap();
        vec![b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([0, 1, 2]) }, &[rows]).unwrap()]
    });
    let ids = Array::new([2, 5], vec![0i64, 6, -1, 3, 3, 2, -7, 0, 1, 1]).unwrap();
    let args = [rng.array(&table), ids];
    check(&g, &args, 1e-13);
    check(&value_and_grad(&g, &[true, false]).unwrap(), &args, 1e-13);
    let outside = Array::new([2, 5], vec![7i64; 10]).unwrap();
    let error = ready(&g).run(&[args[0].clone(), outside]).unwrap_err().to_string();
    assert!(error.contains("index 7"), "{error}");
}

#[test]
fn running_sums_and_products_have_the_bits_of_the_interpreter() {
    for dtype in [DType::F32, DType::F64] {
        for (shape, axis) in [(&[5][..], 0), (&[1, 1], 1), (&[3, 300, 2], 1), (&[130, 257], 0), (&[4, 0], 1)]
        {
            for kind in CumulativeKind::ALL {
                for reverse in [false, true] {
                    let graph = build(&[Type::new(dtype, shape)], |b, a| {
                        vec![b.emit1(Cumulative { kind, axis, reverse }, &[a[0]]).unwrap()]
                    });
                    let n: usize = shape.iter().product();
                    let x = |i: usize| if i.is_multiple_of(7) { -0.0 } else { (i as f64).sin() + 0.9 };
                    let x = Array::new(shape, (0..n).map(x).collect::<Vec<f64>>()).unwrap().cast(dtype);
                    let want = interpret(&graph, std::slice::from_ref(&x)).unwrap();
                    assert!(same_bits(&ready(&graph).run(&[x]).unwrap(), &want), "{graph}");
                }
            }
        }
    }
}

/// What a special value is: a zero or an infinity with its sign, NaN, or a number.
fn kind(x: f64) -> String {
    if x == 0.0 || !x.is_finite() { format!("{x}").replace("-NaN", "NaN") } else { "a number".into() }
}

#[test]
fn zeros_infinities_and_nan_have_the_signs_of_the_interpreter() {
    let points = [0.0, -0.0, 1.0, -1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let pairs: Vec<(f64, f64)> = points.iter().flat_map(|&x| points.map(|y| (x, y))).collect();
    let mut wrong = Vec::new();
    // As many elements as small programs take, and as many as tiles do.
    for (repeats, dtype) in [(1, DType::F32), (1, DType::F64), (100, DType::F32), (100, DType::F64)] {
        let of = |f: &dyn Fn(&(f64, f64)) -> f64| {
            let values: Vec<f64> = (0..repeats).flat_map(|_| pairs.iter().map(f)).collect();
            Array::new([values.len()], values).unwrap().cast(dtype)
        };
        let args = [of(&|p| p.0), of(&|p| p.1)];
        let ty = Type::new(dtype, [args[0].size()]);
        let unary = Unary::ALL.iter().map(|&u| Op::from(u)).map(|op| (op, 1));
        for (op, n) in unary.chain(Binary::ALL.iter().map(|&b| (Op::from(b), 2))) {
            let graph = build(&vec![ty.clone(); n], |b, v| b.emit(op.clone(), v).unwrap().to_vec());
            let want = interpret(&graph, &args[..n]).unwrap()[0].to_f64();
            let got = ready(&graph).run(&args[..n]).unwrap()[0].to_f64();
            let differs = |i: &usize| kind(got[*i]) != kind(want[*i]);
            if let Some(i) = (0..got.len()).find(differs) {
                let at = &pairs[i % pairs.len()];
                wrong.push(format!("{op:?} {dtype}, {repeats}: {} and {} at {at:?}", got[i], want[i]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
