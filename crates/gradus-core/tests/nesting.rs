//! Programs inside programs, as deep as is promised, on a small stack, and what deriving them costs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gradus_core::nest::{DEEPEST, emitted};
use gradus_core::ops::{Call, CallKind, Cond, Custom, Full, Reshape, Scan, While};
use gradus_core::transforms::{jvp, linearize, transpose, value_and_grad, vjp, vmap};
use gradus_core::{
    Array, Binary, Builder, DType, Error, ErrorKind, Graph, Result, Shape, Type, Unary, Var, interpret,
};

const KINDS: [&str; 5] = ["cond", "scan", "while", "checkpoint", "custom"];

fn scalar() -> Type {
    Type::new(DType::F64, [])
}

/// `x -> sin(x)`, with `depth` bodies of a kind around it, each adding an operation. A scan takes one step; a loop takes
/// steps while its number is below 4.
fn nested(kind: &str, depth: usize) -> Result<Graph> {
    let mut inner: Option<Arc<Graph>> = None;
    for _ in 0..=depth {
        let mut b = Builder::new();
        let x = b.input(scalar());
        let y = b.emit1(Unary::Sin, &[x])?;
        let out = match &inner {
            None => y,
            Some(body) => around(kind, &mut b, y, body)?,
        };
        inner = Some(Arc::new(b.finish(vec![out])));
    }
    Ok(Graph::clone(&inner.unwrap()))
}

fn around(kind: &str, b: &mut Builder, y: Var, body: &Arc<Graph>) -> Result<Var> {
    match kind {
        "cond" => {
            let yes = b.emit1(Full { value: 1.0, dtype: DType::Bool, shape: Shape::from([]) }, &[])?;
            let mut f = Builder::new();
            let x = f.input(scalar());
            let on_false = Arc::new(f.finish(vec![x]));
            b.emit1(Cond { on_true: body.clone(), on_false }, &[yes, y])
        }
        "scan" => {
            let rows = b.emit1(Reshape([1].into()), &[y])?;
            let mut f = Builder::new();
            let (c, row) = (f.input(scalar()), f.input(scalar()));
            let sum = f.emit1(Binary::Add, &[c, row])?;
            let out = f.inline(body, &[sum])?;
            let body = Arc::new(f.finish(out));
            let scan = Scan { constants: 0, carry: 1, length: 1, reverse: false, body, checkpoints: None };
            b.emit1(scan, &[y, rows])
        }
        "while" => {
            let zero = b.full(&Type::new(DType::I64, []), 0.0);
            let mut f = Builder::new();
            let (_, k) = (f.input(scalar()), f.input(Type::new(DType::I64, [])));
            let one = f.full(&Type::new(DType::I64, []), 1.0);
            let more = f.emit1(gradus_core::ops::Compare::Lt, &[k, one])?;
            let cond = Arc::new(f.finish(vec![more]));
            let mut f = Builder::new();
            let (c, k) = (f.input(scalar()), f.input(Type::new(DType::I64, [])));
            let one = f.full(&Type::new(DType::I64, []), 1.0);
            let next = f.emit1(Binary::Add, &[k, one])?;
            let out = f.inline(body, &[c])?;
            let body = Arc::new(f.finish(vec![out[0], next]));
            Ok(b.emit(While { constants: 0, cond, body, checkpoints: Some(2) }, &[y, zero])?[0])
        }
        "checkpoint" => b.emit1(Call { kind: CallKind::Checkpoint, body: body.clone() }, &[y]),
        _ => {
            let mut f = Builder::new();
            let (x, _, dx) = (f.input(scalar()), f.input(scalar()), f.input(scalar()));
            let slope = f.inline(body, &[x])?[0];
            let dy = f.emit1(Binary::Mul, &[slope, dx])?;
            let rule = Arc::new(f.finish(vec![dy]));
            b.emit1(
                Call { kind: CallKind::Custom(Custom { rule, args: 1, results: 1 }), body: body.clone() },
                &[y],
            )
        }
    }
}

/// Runs `f` on a thread with 256 KiB of stack.
fn on_small_stack<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    std::thread::Builder::new().stack_size(256 << 10).spawn(f).unwrap().join().unwrap()
}

fn hash(graph: &Graph) -> u64 {
    let mut hasher = DefaultHasher::new();
    graph.hash(&mut hasher);
    hasher.finish()
}

/// The programs that the transforms make. Loops back through loops run the levels below again: their gradient is large.
fn transformed(kind: &str, graph: &Graph) -> Result<Vec<(&'static str, Graph)>> {
    let wrt = [true];
    let gradient = value_and_grad(graph, &wrt)?;
    if kind == "while" {
        return Ok(vec![("jvp", jvp(graph, &wrt)?), ("vmap", vmap(graph, &[true], 2)?), ("grad", gradient)]);
    }
    let linear = linearize(graph, &wrt)?;
    let known: Vec<bool> =
        (0..linear.linear.inputs().len()).map(|i| i + 1 == linear.linear.inputs().len()).collect();
    Ok(vec![
        ("jvp", jvp(graph, &wrt)?),
        ("vjp", vjp(graph, &wrt)?),
        ("transpose", transpose(&linear.linear, &known)?),
        ("hvp", jvp(&gradient, &wrt)?),
        ("vmap", vmap(graph, &[true], 2)?),
        ("vmap of grad", vmap(&gradient, &[true], 2)?),
        ("grad", gradient),
    ])
}

#[test]
fn the_deepest_nesting_fits_on_a_small_stack() {
    for kind in KINDS {
        // A rule that calls its function has twice the equations at every level.
        let depth = if kind == "custom" { 8 } else { DEEPEST };
        on_small_stack(move || {
            let graph = nested(kind, depth).unwrap();
            assert_eq!(graph.depth(), depth);
            let again = nested(kind, depth).unwrap();
            assert!(graph == again && hash(&graph) == hash(&again));
            assert!(graph.to_string().len() > depth && graph.len() > depth);
            drop(again);
            let x = [Array::scalar(0.3)];
            assert_eq!(interpret(&graph, &x).unwrap().len(), 1);
            for (name, made) in transformed(kind, &graph).unwrap_or_else(|e| panic!("{kind}: {e}")) {
                assert!(made.depth() > 0 || kind == "custom", "{kind} {name}");
                assert_eq!(hash(&made), hash(&made.clone()), "{kind} {name}");
            }
        });
    }
}

#[test]
fn deeper_nesting_is_an_error() {
    for kind in KINDS.into_iter().filter(|k| *k != "custom") {
        let error: Error = on_small_stack(move || nested(kind, DEEPEST + 1).unwrap_err());
        assert!(matches!(error.kind(), ErrorKind::Nesting { .. }), "{kind}: {error}");
        assert!(error.to_string().contains("256"), "{error}");
    }
}

/// Equations emitted to derive a program.
fn work(kind: &str, depth: usize, which: usize) -> usize {
    let graph = nested(kind, depth).unwrap();
    let before = emitted();
    drop(match which {
        0 => jvp(&graph, &[true]),
        1 => value_and_grad(&graph, &[true]),
        2 => value_and_grad(&graph, &[true]).and_then(|g| jvp(&g, &[true])),
        3 => vmap(&graph, &[true], 2),
        4 => value_and_grad(&graph, &[true]).and_then(|g| vmap(&g, &[true], 2)),
        _ => value_and_grad(&graph, &[true]).and_then(|g| vjp(&g, &[true])),
    });
    emitted() - before
}

#[test]
fn bodies_are_derived_once() {
    for kind in ["cond", "scan", "while", "checkpoint"] {
        for which in 0..6 {
            let [few, twice] = [12, 24].map(|depth| work(kind, depth, which));
            // Derived twice at each level it would be 4,096 times as many. Residuals of inner levels pass through all
            // outer ones, and what goes back through a loop runs the levels below again.
            assert!(twice <= 4 * few, "{kind} {which}: {few} and {twice} equations");
        }
    }
}
