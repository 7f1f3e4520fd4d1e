//! A program as a value: inputs, constants and steps over slots, each step with the Rust text it stands for.
//!
//! The text and what runs come from one expression ([`step!`]), so that a printed program is the one that failed.

use std::fmt::Write;
use std::rc::Rc;

use gradus::{DType, Shape, Tensor};

/// A function of tensors, as every transform takes and gives it.
pub(crate) type Function = Rc<dyn Fn(&Vec<Tensor>) -> Vec<Tensor>>;

/// One operation; its operands are earlier slots.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) args: Vec<usize>,
    /// Rust text with `{i}` for operand `i`.
    text: Rc<str>,
    run: Rc<dyn Fn(&[&Tensor]) -> Tensor>,
}

impl Operation {
    pub(crate) fn new(text: impl Into<Rc<str>>, run: impl Fn(&[&Tensor]) -> Tensor + 'static) -> Self {
        Operation { args: Vec::new(), text: text.into(), run: Rc::new(run) }
    }

    /// The step on the values of these slots.
    pub(crate) fn on(mut self, args: &[usize]) -> Self {
        self.args = args.to_vec();
        self
    }
}

/// What a slot holds.
#[derive(Clone)]
pub(crate) enum Node {
    /// An argument, with the value it had while the program was grown.
    Input(Tensor),
    /// A value that the function captures.
    Constant(Tensor),
    Operation(Operation),
}

/// A program over slots.
#[derive(Clone, Default)]
pub(crate) struct Program {
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<usize>,
}

impl Program {
    /// The arguments it was grown on.
    pub(crate) fn arguments(&self) -> Vec<Tensor> {
        let input = |n: &Node| if let Node::Input(t) = n { Some(t.clone()) } else { None };
        self.nodes.iter().filter_map(input).collect()
    }

    /// Whether the text of a step, or of a program inside, has these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Operation(step) if step.text.contains(words)))
    }

    pub(crate) fn steps(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n, Node::Operation(_))).count()
    }

    /// The values of all slots; `each` sees them as they are computed.
    pub(crate) fn values(&self, args: &[Tensor], mut each: impl FnMut(&Tensor)) -> Vec<Tensor> {
        let mut args = args.iter();
        let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let value = match node {
                Node::Input(_) => args.next().expect("an argument an input").clone(),
                Node::Constant(t) => t.clone(),
                Node::Operation(step) => run(step, &values),
            };
            each(&value);
            values.push(value);
        }
        values
    }

    pub(crate) fn function(&self) -> Function {
        let program = self.clone();
        Rc::new(move |args| {
            let values = program.values(args, |_| ());
            program.outputs.iter().map(|&o| values[o].clone()).collect()
        })
    }

    /// Without the steps and constants that no result depends on; inputs stay.
    pub(crate) fn pruned(&self) -> Program {
        self.without_dead(self.nodes.iter().map(|n| matches!(n, Node::Input(_))).collect())
    }

    /// Without anything that no result depends on.
    pub(crate) fn closed(&self) -> Program {
        self.without_dead(vec![false; self.nodes.len()])
    }

    fn without_dead(&self, mut live: Vec<bool>) -> Program {
        self.outputs.iter().for_each(|&o| live[o] = true);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if let (true, Node::Operation(step)) = (live[i], node) {
                step.args.iter().for_each(|&a| live[a] = true);
            }
        }
        self.keeping(&live)
    }

    /// The marked slots only, which read no other.
    fn keeping(&self, live: &[bool]) -> Program {
        let mut to = vec![usize::MAX; self.nodes.len()];
        let mut nodes = Vec::new();
        for (i, node) in self.nodes.iter().enumerate().filter(|&(i, _)| live[i]) {
            to[i] = nodes.len();
            let mut node = node.clone();
            if let Node::Operation(step) = &mut node {
                step.args.iter_mut().for_each(|a| *a = to[*a]);
            }
            nodes.push(node);
        }
        Program { nodes, outputs: self.outputs.iter().map(|&o| to[o]).collect() }
    }

    /// The body of a Rust closure over `x: &[Tensor]`, each line indented.
    pub(crate) fn body(&self, indent: &str) -> String {
        let inputs: Vec<String> = (0..self.nodes.len())
            .filter(|&i| matches!(self.nodes[i], Node::Input(_)))
            .map(|i| format!("v{i}"))
            .collect();
        let mut text = format!("{indent}let [{}] = &x[..] else {{ unreachable!() }};\n", inputs.join(", "));
        for (i, node) in self.nodes.iter().enumerate() {
            let value = match node {
                Node::Input(_) => continue,
                Node::Constant(t) => tensor(t),
                Node::Operation(step) => {
                    let mut line = step.text.to_string();
                    for (k, a) in step.args.iter().enumerate() {
                        line = line.replace(&format!("{{{k}}}"), &format!("v{a}"));
                    }
                    line
                }
            };
            let _ = writeln!(text, "{indent}let v{i} = &({value});");
        }
        let outputs: Vec<String> = self.outputs.iter().map(|o| format!("v{o}.clone()")).collect();
        let _ = writeln!(text, "{indent}vec![{}]", outputs.join(", "));
        text
    }
}

/// Runs a step on the values of the slots before it.
pub(crate) fn run(step: &Operation, values: &[Tensor]) -> Tensor {
    let args: Vec<&Tensor> = step.args.iter().map(|&a| &values[a]).collect();
    (step.run)(&args)
}

/// A concrete tensor as Rust.
pub(crate) fn tensor(t: &Tensor) -> String {
    let shape = t.shape().iter().copied().collect::<Vec<_>>();
    let of = |elements: String| format!("Tensor::new({shape:?}, vec!{elements}).unwrap()");
    let floats = |v: Vec<f64>| {
        let words: Vec<String> = v
            .into_iter()
            .map(|x| match x {
                x if x.is_nan() => "f64::NAN".into(),
                x if x.is_infinite() => (if x > 0.0 { "f64::INFINITY" } else { "f64::NEG_INFINITY" }).into(),
                x => format!("{x:?}"),
            })
            .collect();
        format!("[{}]", words.join(", "))
    };
    match t.dtype() {
        _ if t.size() == 0 => format!("Tensor::zeros({shape:?}, {})", t.dtype().show()),
        _ if t.size() > 4096 => {
            let v = t.cast(DType::F64).to_vec::<f64>();
            let (n, first) = (v.len(), v[0]);
            format!(
                "/* {n} elements, the first {first:?} */ \
                 (Key::new(1).uniform({shape:?}, DType::F64) - 0.5).cast({})",
                t.dtype().show()
            )
        }
        DType::F64 => of(floats(t.to_vec::<f64>())),
        // The first element says the type.
        // The last element says the type.
        DType::I64 => of(format!("{:?}", t.to_vec::<i64>()).replacen(']', "_i64]", 1)),
        DType::Bool => of(format!("{:?}", t.to_vec::<bool>())),
        dtype => format!("{}.cast({})", of(floats(t.cast(DType::F64).to_vec::<f64>())), dtype.show()),
    }
}

/// A fixed parameter of a step, shown as Rust.
pub(crate) trait Show: Clone {
    /// What the step's expression sees.
    type Value;
    fn show(&self) -> String;
    fn value(&self) -> Self::Value;
}
macro_rules! shown {
    ($($t:ty),+) => { $(impl Show for $t {
        type Value = Self;
        fn show(&self) -> String { format!("{self:?}") }
        fn value(&self) -> Self { self.clone() }
    })+ };
}
shown!(usize, isize, i64, u64, i32, u32, f64, bool, Vec<usize>, Vec<isize>, Vec<(usize, usize)>, String);

impl Show for DType {
    type Value = Self;
    fn show(&self) -> String {
        format!("DType::{self:?}")
    }
    fn value(&self) -> Self {
        *self
    }
}

/// A sub-program as a parameter: the body of a branch or a loop.
#[derive(Clone)]
pub(crate) struct Body(pub(crate) Program);

impl Show for Body {
    type Value = Function;
    fn show(&self) -> String {
        format!("(|x: &Vec<Tensor>| -> Vec<Tensor> {{\n{}    }})", self.0.body("        "))
    }
    fn value(&self) -> Function {
        self.0.function()
    }
}

/// Rust text with names replaced: operands by `{i}`, parameters by their values.
pub(crate) fn substituted(text: &str, args: &[&str], params: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let is_member = out.trim_end().ends_with('.') && !out.trim_end().ends_with("..");
        match args.iter().position(|a| a == word) {
            _ if word.is_empty() => {}
            Some(i) if !is_member => out.push_str(&format!("{{{i}}}")),
            _ => match params.iter().find(|p| p.0 == word) {
                Some((_, value)) if !is_member => out.push_str(value),
                _ => out.push_str(word),
            },
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// A step from an expression over its operands and the parameters named after `;`.
macro_rules! step {
    (|| $body:expr $(; $($p:ident),+)?) => { step!(| | $body $(; $($p),+)?) };
    (|$($arg:ident),*| $body:expr $(; $($p:ident),+)?) => {{
        #[allow(unused_imports)]
        use $crate::programs::step::{Show, Operation, substituted};
        let text = substituted(
            stringify!($body),
            &[$(stringify!($arg)),*],
            &[$($((stringify!($p), Show::show(&$p))),+)?],
        );
        $($(let $p = Show::value(&$p);)+)?
        Operation::new(text, move |args: &[&gradus::Tensor]| {
            let mut args = args.iter();
            $(let $arg: &gradus::Tensor = args.next().expect("an operand a name");)*
            let _ = args.next();
            $body
        })
    }};
}
pub(crate) use step;

/// Dtype and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
}

impl Kind {
    pub(crate) fn of(t: &Tensor) -> Self {
        Kind { dtype: t.dtype(), shape: t.shape().clone() }
    }
}
